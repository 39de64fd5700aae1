"""The package `wfdb` reads the same, on the real files and on what we write."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from edge_dx.wfdb import (
    BEATS,
    Annotation,
    Annotations,
    physical,
    read_annotations,
    read_header,
    read_record,
    write_annotations,
)

with warnings.catch_warnings():  # pandas and its friends deprecate each other
    warnings.simplefilter("ignore")
    wfdb = pytest.importorskip("wfdb", reason="the package wfdb is not installed (extra dev)")

# What wfdb asks of pandas is on its way out there; it is their matter.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RECORDS = sorted((DATA / "ecg_mitbih" / "records").glob("*.hea")) + sorted(
    (DATA / "wearable_sequences" / "cpsc2021").glob("*.hea"))  # fmt: skip


@pytest.mark.skipif(not RECORDS, reason="the data are not here")
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_are_read_alike(path: Path) -> None:
    name = str(path.with_suffix(""))
    theirs = wfdb.rdrecord(name, physical=False)
    ours = read_header(path)
    assert (ours.rate_hz, ours.samples, list(ours.leads)) == (
        theirs.fs, theirs.sig_len, theirs.sig_name)  # fmt: skip
    samples = read_record(ours)
    assert np.array_equal(samples, theirs.d_signal)
    units = wfdb.rdrecord(name).p_signal
    assert np.allclose(physical(ours, samples), units, rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.skipif(not RECORDS, reason="the data are not here")
@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_annotations_are_read_alike(path: Path, tmp_path: Path) -> None:
    theirs = wfdb.rdann(str(path.with_suffix("")), "atr")
    ours = read_annotations(path.with_suffix(".atr"))
    _alike(ours, theirs)
    write_annotations(tmp_path / "again.atr", ours)
    assert read_annotations(tmp_path / "again.atr") == ours
    _alike(ours, wfdb.rdann(str(tmp_path / "again"), "atr"))


@pytest.mark.parametrize("seed", range(20))
def test_what_we_write_they_read(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    at, items = 0, []
    for _ in range(200):
        at += dice.choice([0, 1, 300, 1023, 1024, 40_000, 3_000_000])
        items.append(Annotation(
            at, dice.choice(sorted(BEATS | set("~+|[]"))), dice.randint(-128, 127),
            dice.randint(0, 127), dice.randint(-128, 127),
            dice.choice(["", "(N", "(AFIB", "odd"])))  # fmt: skip
    told = Annotations(tuple(items), dice.choice([None, 250.0, 128.5]))
    write_annotations(tmp_path / "r.tst", told)
    theirs = wfdb.rdann(str(tmp_path / "r"), "tst")
    _alike(told, theirs)
    assert theirs.fs == told.rate_hz


@pytest.mark.parametrize("seed", range(5))
def test_what_they_write_we_read(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    samples = np.cumsum([dice.randint(1, 5000) for _ in range(100)])
    symbols = [dice.choice(sorted(BEATS)) for _ in samples]
    wfdb.wrann("r", "tst", samples, symbols, fs=250, write_dir=str(tmp_path))
    found = read_annotations(tmp_path / "r.tst")
    assert found.rate_hz == 250
    assert [(item.sample, item.symbol) for item in found] == list(
        zip(samples.tolist(), symbols, strict=True))  # fmt: skip
    write_annotations(tmp_path / "ours.tst", found)
    assert (tmp_path / "ours.tst").read_bytes() == (tmp_path / "r.tst").read_bytes()


def _alike(ours: Annotations, theirs: object) -> None:
    for name, mine in (("sample", "sample"), ("symbol", "symbol"), ("subtype", "subtype"),
                       ("chan", "channel"), ("num", "number")):  # fmt: skip
        assert [getattr(item, mine) for item in ours] == list(getattr(theirs, name)), name
    notes = [note.rstrip("\0") for note in theirs.aux_note]  # type: ignore[attr-defined]
    assert [item.note for item in ours] == notes
