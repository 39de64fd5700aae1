"""A few hundred damaged files in each run of the tests; CI runs thousands (`.ci/mutations`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.hostile import mutations
from tests.hostile.mutate import mutated
from tests.hostile.seeds import KINDS, Seed, every, own

pytest.importorskip("onnx", reason="onnx, which makes the tests' bundles, is not installed")


def test_no_damaged_file_does_what_none_may(tmp_path: Path) -> None:
    account = mutations.run(400, 2, tmp_path / "kept", workers=2)
    print(mutations.table(account))
    assert account.outcomes.total() >= 400
    assert {kind for kind, _ in account.outcomes} == set(KINDS)
    assert not account.faults, "\n".join(account.faults)


def test_what_no_reader_may_do_is_noticed_and_the_file_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "DEADLINE_S", 1.0)
    account = mutations.run(300, 2, tmp_path, 2, attempts="tests.hostile.planted")
    found = {(kind, outcome) for kind, outcome in account.outcomes if outcome != "analysed"}
    assert found == {
        ("npy", mutations.CRASH), ("case", mutations.TIMEOUT), ("manifest", mutations.MEMORY),
        ("tflite", mutations.CRASH),
    }  # fmt: skip
    faults = account.outcomes.total() - sum(
        n for (_, outcome), n in account.outcomes.items() if outcome == "analysed"
    )
    assert len(account.faults) == faults == len(list(tmp_path.iterdir()))
    assert any("KeyError" in told for told in account.faults)


def test_the_same_seed_gives_the_same_damage() -> None:
    seed = Seed("dicom", "counted", bytes(range(256)) * 8)
    every_one = hashlib.sha256(b"".join(mutated(seed, n, 1) for n in range(50))).hexdigest()
    assert every_one == hashlib.sha256(b"".join(mutated(seed, n, 1) for n in range(50))).hexdigest()
    assert mutated(seed, 0, 1) != mutated(seed, 0, 2)
    assert len({mutated(seed, n, 1) for n in range(50)}) > 40


def test_every_reader_has_whole_files_to_begin_with() -> None:
    assert {seed.kind for seed in every()} == set(KINDS)
    assert {seed.kind for seed in own()} == set(KINDS) - {"video"}
