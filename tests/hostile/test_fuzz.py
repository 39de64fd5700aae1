"""The fuzzers' files, read in each run of the tests; atheris is not needed for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx, which makes the tests' bundles, is not installed")

from fuzz.__main__ import HOME, TARGETS
from fuzz.make_corpus import LARGEST
from tests.hostile import attempts
from tests.hostile.mutate import repaired
from tests.hostile.seeds import own

FILES = sorted(
    path for folder in ("corpus", "regressions") for path in (HOME / folder).rglob("*")
    if path.is_file() and path.name != ".gitkeep"
)  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: "-".join(path.parts[-3:]))
def test_every_file_of_the_fuzzers_has_an_outcome(path: Path, tmp_path: Path) -> None:
    kind = path.parent.name
    assert attempts.outcome(kind, repaired(kind, path.read_bytes()), tmp_path)


def test_every_target_has_a_corpus_of_small_files() -> None:
    for target in TARGETS:
        found = list((HOME / "corpus" / target).iterdir())
        assert found, target
        assert all(path.stat().st_size <= LARGEST for path in found)


def test_the_corpus_is_of_the_kinds_that_the_tests_make() -> None:
    names = {(seed.kind, seed.name) for seed in own() if len(seed.raw) <= LARGEST}
    assert {(p.parent.name, p.name) for p in (HOME / "corpus").rglob("*") if p.is_file()} == names


def test_without_atheris_it_says_that_it_skips() -> None:
    code = "import sys; sys.modules['atheris'] = None; sys.argv = ['fuzz', 'npy']\n"
    code += "from fuzz.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME.parent, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "edge-dx[fuzz]" in done.stdout) == (0, True), done
