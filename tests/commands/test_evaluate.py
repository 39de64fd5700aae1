"""`edge-dx evaluate`: annotations against an expert's, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_dx.__main__ import main
from edge_dx.commands.evaluate import seconds
from edge_dx.wfdb import Annotation, Annotations, write_annotations

RATE = 250


def written(directory: Path, record: str, symbols: str, annotator: str = "atr",
            *, header: bool = True, rate_hz: float | None = None) -> Path:  # fmt: skip
    directory.mkdir(exist_ok=True)
    items = tuple(Annotation(75_000 + 250 * k, symbol)
                  for k, symbol in enumerate(symbols, start=1) if symbol != ".")  # fmt: skip
    path = directory / f"{record}.{annotator}"
    write_annotations(path, Annotations(items, rate_hz))
    if header:
        (directory / f"{record}.hea").write_text(f"{record} 0 {RATE} 100000\n")
    return path


def test_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = written(tmp_path / "ref", "a", "NNVNAN")
    test = written(tmp_path / "mine", "a", "NNVN.V", "edge", header=False)
    assert main(["evaluate", str(reference), str(test), "--per-record"]) == 0
    told = capsys.readouterr().out
    assert "QRS sensitivity [bxb-S]" in told
    assert "83.33 % (5/6)" in told
    assert "50.00 % (1/2)" in told  # VEB positive predictivity
    assert "no intervals" in told
    assert "NOT AS EC57" not in told


def test_directories_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record, right, wrong in (("a", "NNVN", "NNVN"), ("b", "NNNN", "NN.N"), ("c", "NjN", "NAN")):
        written(tmp_path / "ref", record, right)
        written(tmp_path / "mine", record, wrong, "edge", header=False)
    told = {}
    for mapping in ("bxb-S", "ej-normal"):
        assert main(["evaluate", str(tmp_path / "ref"), str(tmp_path / "mine"), "--json",
                     "--mapping", mapping, "--per-record"]) == 0  # fmt: skip
        told[mapping] = json.loads(capsys.readouterr().out)
    assert [one["record"] for one in told["bxb-S"]["per_record"]] == ["a", "b", "c"]
    assert told["bxb-S"]["gross"]["qrs_sensitivity"]["below"] == 11
    assert told["bxb-S"]["gross"]["sveb_sensitivity"]["value"] == 1
    assert told["ej-normal"]["gross"]["sveb_sensitivity"]["value"] is None
    assert told["ej-normal"]["gross"]["sveb_positive_predictivity"]["value"] == 0
    low, high = (told["bxb-S"]["gross"]["qrs_sensitivity"][end] for end in ("low", "high"))
    assert low < 10 / 11 < high


def test_patients_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record in "ab":
        written(tmp_path / "ref", record, "NNN")
        written(tmp_path / "ref", record, "NNN", "edge")
    table = tmp_path / "labels.csv"
    table.write_text("file,patient_id\nrecords/a,one\nrecords/b,one\n")
    where = str(tmp_path / "ref")
    command = ["evaluate", where, where, "--test-annotator", "edge", "--patients", str(table)]
    assert main(command) == 0
    assert "2 records of 1 patients" in capsys.readouterr().out
    table.write_text("file,patient_id\nrecords/a,one\n")
    assert main(command) == 1
    assert "no patient_id for b" in capsys.readouterr().err


def test_paced_records_of_mit_bih_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in ("100", "102"):
        written(tmp_path / "ref", record, "NNN")
        written(tmp_path / "ref", record, "NNN", "edge")
    command = ["evaluate", str(tmp_path / "ref"), str(tmp_path / "ref"), "--test-annotator", "edge"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 records")
    assert "left out, with pacemakers (EC57): 102" in told
    assert main([*command, "--with-paced"]) == 0
    assert capsys.readouterr().out.startswith("2 records")


def test_departures_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path, "a", "NNN"))
    assert main(["evaluate", path, path, "--from", "1:30", "--to", "6:00", "--window", "50"]) == 0
    told = capsys.readouterr().out
    assert "NOT AS EC57 ASKS: from 90 s" in told
    assert "NOT AS EC57 ASKS: to 360 s" in told
    assert "NOT AS EC57 ASKS: window of 50 ms" in told


def test_without_a_header_the_rate_must_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path, "a", "NNN", header=False))
    assert main(["evaluate", path, path]) == 1
    assert "Give --rate HZ" in capsys.readouterr().err
    assert main(["evaluate", path, path, "--rate", "250"]) == 0
    known = str(written(tmp_path, "b", "NNN", header=False, rate_hz=RATE))
    assert main(["evaluate", known, known]) == 0


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "ref", "a", "NNN")
    written(tmp_path / "ref", "b", "NNN")
    written(tmp_path / "mine", "a", "NNN", "edge")
    ref, mine = str(tmp_path / "ref"), str(tmp_path / "mine")
    assert main(["evaluate", ref, mine]) == 1
    assert "no annotations of record b" in capsys.readouterr().err
    assert main(["evaluate", ref, mine, "--records", "a"]) == 0
    assert main(["evaluate", str(tmp_path / "none"), mine]) == 1
    assert "no such file or directory" in capsys.readouterr().err
    written(tmp_path / "mine", "a", "NNN", "other")
    assert main(["evaluate", ref, mine, "--records", "a"]) == 1
    assert "annotations of edge, other; say whose" in capsys.readouterr().err
    (tmp_path / "mine" / "a.edge").write_bytes(b"x")
    assert (
        main(["evaluate", str(tmp_path / "ref" / "a.atr"), mine, "--test-annotator", "edge"]) == 1
    )
    assert "a.edge" in capsys.readouterr().err


def test_times() -> None:
    assert [seconds(told) for told in ("5:00", "300", "1:00:00", "0.5")] == [300, 300, 3600, 0.5]
    with pytest.raises(Exception, match="no time like"):
        seconds("five")
