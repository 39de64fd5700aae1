"""The C reference under libFuzzer, for as many inputs as a test may take; see `c_fuzz`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.bridge import c_fuzz


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return c_fuzz.build(tmp_path_factory.mktemp("c_fuzz"))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    except subprocess.CalledProcessError as error:
        if b"libclang_rt.fuzzer" in error.stderr:
            pytest.skip("this clang has no libFuzzer")
        raise AssertionError(error.stderr.decode()) from error


def test_a_short_run_finds_nothing_and_goes_beyond_the_sessions(
    target: Path, tmp_path: Path
) -> None:
    found = c_fuzz.run(target, tmp_path, "-runs=30000", "-seed=1")
    assert found.returncode == 0, found.stderr[-3000:]
    added = re.search(r"new_units_added:\s+(\d+)", found.stderr)
    assert added is not None
    assert int(added[1]) > 100


def test_the_sessions_are_understood(target: Path, tmp_path: Path) -> None:
    """They reach far more of the code than noise does, so they get past frames and requests."""

    def edges(corpus: list[bytes]) -> int:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for number, one in enumerate(corpus):
            (folder / str(number)).write_bytes(one)
        done = subprocess.run([str(target), str(folder), "-runs=0"], capture_output=True,
                              text=True, errors="replace", check=True, cwd=tmp_path)  # fmt: skip
        return int(re.findall(r"cov: (\d+)", done.stderr)[-1])

    noise = [c_fuzz.step(c_fuzz.RAW, bytes(range(1, 250)))]
    assert edges(c_fuzz.sessions()) > 3 * edges(noise)
