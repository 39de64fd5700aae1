"""`edge-dx evaluate REFERENCE TEST`: how well annotations of an ECG fit those of experts.

Both are annotation files, or directories of them. See docs/ecg-evaluation.md for every figure.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

from edge_dx import ec57, wfdb
from edge_dx.errors import NotFound, UnreadableInput
from edge_dx.wfdb import Header

NOT_ANNOTATORS = {".hea", ".dat", ".csv", ".txt", ".xws", ".json", ".mat", ".md", ".html"}


def act(options: argparse.Namespace) -> int:
    """Prints the figures."""
    protocol = ec57.Protocol(
        ec57.MAPPINGS[options.mapping],
        from_s=options.from_s,
        to_s=options.to_s,
        window_s=options.window_ms / 1000,
    )
    pairs, left_out = pairs_of(options)
    patients = _patients(Path(options.patients), list(pairs)) if options.patients else (
        ec57.patients_of(pairs))  # fmt: skip
    tallies = []
    for record, (reference, test) in pairs.items():
        header = _header(record, reference, test)
        expert, judged = wfdb.read_annotations(reference), wfdb.read_annotations(test)
        rate = header.rate_hz if header else options.rate or expert.rate_hz
        if rate is None:
            raise NotFound(f"{reference}: no header {record}.hea beside it, so how many samples "
                           "make a second? Give --rate HZ")  # fmt: skip
        tallies.append(ec57.compare(
            expert, judged, protocol, rate_hz=rate, samples=header.samples if header else None,
            record=record, patient=patients[record]))  # fmt: skip
    found = ec57.evaluate(tallies, protocol)
    if options.json:
        told = ec57.to_dict(found, records=options.per_record)
        print(json.dumps({**told, "left_out": left_out}, indent=1))
    else:
        print(ec57.to_text(found, records=options.per_record))
        if left_out:
            print(f"\nleft out, with pacemakers (EC57): {' '.join(left_out)}")
    return 0


def pairs_of(options: argparse.Namespace) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """The two files of each record, and the records that were left out for their pacemakers."""
    reference, test = _files(Path(options.reference), options.reference_annotator), _files(
        Path(options.test), options.test_annotator)  # fmt: skip
    if len(reference) == 1 and Path(options.reference).is_file():
        name, file = next(iter(reference.items()))
        if Path(options.test).is_file():
            return {name: (file, Path(options.test))}, []
        return {name: (file, _one(test, name, options.test))}, []
    if options.records:
        wanted = list(ec57.SETS.get(options.records, options.records.split(",")))
    else:
        wanted = sorted(reference)
    left_out = []
    if not options.with_paced and not options.records and ec57.MITBIH.issuperset(wanted):
        left_out = [name for name in wanted if name in ec57.PACED]
        wanted = [name for name in wanted if name not in left_out]
    if not wanted:
        raise NotFound(f"{options.reference}: no annotation files *.{options.reference_annotator}")
    return {
        name: (_one(reference, name, options.reference), _one(test, name, options.test))
        for name in wanted
    }, left_out


def _one(files: dict[str, Path], name: str, where: str) -> Path:
    if name not in files:
        raise NotFound(f"{where}: no annotations of record {name}; name the records that are meant "
                       "with --records")  # fmt: skip
    return files[name]


def _files(path: Path, annotator: str | None) -> dict[str, Path]:
    """Record to annotation file."""
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise NotFound(f"{path}: no such file or directory")
    found = [file for file in sorted(path.iterdir())
             if file.is_file() and file.suffix and file.suffix not in NOT_ANNOTATORS]  # fmt: skip
    kinds = sorted({file.suffix[1:] for file in found})
    if annotator is None and len(kinds) != 1:
        raise NotFound(f"{path}: annotations of {', '.join(kinds) or 'nobody'}; say whose with "
                       "--test-annotator")  # fmt: skip
    suffix = f".{annotator or kinds[0]}"
    return {file.stem: file for file in found if file.suffix == suffix}


def _header(record: str, *files: Path) -> Header | None:
    for file in files:
        path = file.with_name(f"{record}.hea")
        if path.is_file():
            return wfdb.read_header(path)
    return None


def _patients(path: Path, records: list[str]) -> dict[str, str]:
    """Who each record is of: a table with the columns `record` (or `file`) and `patient_id`."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInput(f"{path}: {error}", "unreadable") from error
    found = {
        Path(row.get("record") or row.get("file") or "").stem: row.get("patient_id") or ""
        for row in rows
    }
    lacking = [record for record in records if not found.get(record)]
    if lacking:
        raise NotFound(f"{path}: no patient_id for {', '.join(lacking[:5])}")
    return {record: found[record] for record in records}


def seconds(told: str) -> float:
    """A time as in 5:00 or 300, in seconds."""
    parts = told.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(number < 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{told!r} is no time like 5:00")
    return sum(number * 60.0**place for place, number in enumerate(reversed(numbers)))
