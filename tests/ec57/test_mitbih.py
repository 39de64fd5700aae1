"""Exact beat counts of the sets of the MIT-BIH database under each mapping, on the real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_dx import ec57, wfdb
from edge_dx.__main__ import main

RECORDS = Path(__file__).parents[2].parent / "shared" / "data" / "ecg_mitbih" / "records"


def here(*sets: tuple[str, ...]) -> pytest.MarkDecorator:
    lacking = [n for names in sets for n in names if not (RECORDS / f"{n}.atr").is_file()]
    return pytest.mark.skipif(
        bool(lacking), reason=f"of the MIT-BIH records {len(lacking)} are not here"
    )


def counted(records: tuple[str, ...], mapping: str, *, from_s: float = 0) -> dict[str, int]:
    found = dict.fromkeys(ec57.LABELS, 0)
    for record in records:
        header = wfdb.read_header(RECORDS / record)
        for item in wfdb.read_annotations(RECORDS / f"{record}.atr").beats:
            if item.sample >= from_s * header.rate_hz:
                found[ec57.MAPPINGS[mapping].of(item.symbol)] += 1
    del found["O"], found["X"]  # flutter waves are no beats
    return found


TABLE = [
    (ec57.DS1, "ej-normal", 0, (45866, 944, 3788, 415, 8), 51021),
    (ec57.DS1, "bxb-S", 0, (45834, 976, 3788, 415, 8), 51021),
    (ec57.DS2, "ej-normal", 0, (44259, 1837, 3221, 388, 7), 49712),
    (ec57.DS2, "bxb-S", 0, (44046, 2050, 3221, 388, 7), 49712),
    (ec57.DS2, "ej-normal", 300, (36926, 1608, 2686, 288, 7), 41515),
]


@pytest.mark.parametrize(
    ("records", "mapping", "from_s", "counts", "total"),
    [pytest.param(*row, marks=here(row[0]), id=f"{'DS1' if row[0] is ec57.DS1 else 'DS2'}-{row[1]}"
                  f"-{row[2]}") for row in TABLE],
)  # fmt: skip
def test_beats_of_a_set(
    records: tuple[str, ...], mapping: str, from_s: float, counts: tuple[int, ...], total: int
) -> None:
    found = counted(records, mapping, from_s=from_s)
    assert tuple(found.values()) == counts
    assert sum(counts) == total


@here(ec57.DS1, ec57.DS2, ec57.PACED)
def test_all_beats_of_the_database() -> None:
    found = counted(tuple(sorted(ec57.MITBIH)), "ej-normal")
    assert sum(found.values()) == 109_494


@here(ec57.DS1)
def test_the_experts_agree_with_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    where = str(RECORDS)
    assert main(["evaluate", where, where, "--records", "DS1", "--mapping", "ej-normal",
                 "--test-annotator", "atr", "--json", "--per-record"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    matrix = told["counts"]["beats"]
    assert [matrix[k][k] for k in range(5)] == [38012, 894, 3214, 335, 8]
    assert sum(map(sum, matrix)) == 42463
    assert told["patients"] == 22
    for name, value in told["gross"].items():
        if value["value"] is not None and ("sensitivity" in name or "predictivity" in name):
            assert value["value"] == 1, name
    assert told["gross"]["af_duration_sensitivity"]["above"] == pytest.approx(1466.51, abs=0.01)
    assert len(told["per_record"]) == 22
