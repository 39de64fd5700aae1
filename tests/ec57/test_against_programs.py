"""Against the programs bxb and rxr of the WFDB software package, where they are installed.

They are no part of any package index, so this runs where a person built them:
https://github.com/bemoody/wfdb. The generators leave out what the documentation says we do
differently (docs/ecg-evaluation.md).
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_dx import ec57
from edge_dx.wfdb import Annotation, Annotations, write_annotations
from tests.ec57 import drawn

PROTOCOL = ec57.Protocol(ec57.MAPPINGS["bxb-S"])


def installed(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def told(program: str, directory: Path, reference: list[Annotation], test: list[Annotation],
         *, known_length: bool) -> str:  # fmt: skip
    samples = drawn.SAMPLES if known_length else 0
    (directory / "r.hea").write_text(f"r 0 {drawn.RATE_HZ} {samples}\n")
    write_annotations(directory / "r.ref", reference)
    write_annotations(directory / "r.tst", test)
    command = [program, "-r", "r", "-a", "ref", "tst", "-S", "-"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def table(lines: list[str]) -> np.ndarray:
    """Cells of a printed matrix; those that are not printed are 0."""
    found = np.zeros((7, 7), int)
    for row, line in enumerate(lines):
        cells = [int(cell) for cell in line.partition("|")[2].split()]
        found[row, 7 - len(cells) if line.lstrip().startswith("0") else 0 :][: len(cells)] = cells
    return found


def ours(reference: list[Annotation], test: list[Annotation], samples: int | None) -> ec57.Tally:
    return ec57.compare(Annotations(tuple(reference)), Annotations(tuple(test)), PROTOCOL,
                        rate_hz=drawn.RATE_HZ, samples=samples, record="r")  # fmt: skip


@installed("bxb")
@pytest.mark.parametrize("known_length", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_beats_are_counted_as_bxb_counts_them(
    tmp_path: Path, seed: int, known_length: bool
) -> None:
    dice = random.Random(seed)
    reference = drawn.reference(dice)
    test = drawn.test_of(dice, reference)
    text = told("bxb", tmp_path, reference, test, known_length=known_length)
    lines = [line for line in text.splitlines() if re.match(r"^ [NSVFQOX] \|", line)]
    tally = ours(reference, test, drawn.SAMPLES if known_length else None)
    assert np.array_equal(table(lines), tally.counts["beats"])
    error = re.search(r"RMS RR interval error: +([0-9.]+) ms", text)
    figure = ec57.FIGURES["rr_error_rms_ms"].of(tally.vector)
    assert error is not None
    assert float(error[1]) == pytest.approx(float(figure), abs=0.006)


@installed("rxr")
@pytest.mark.parametrize("seed", range(60))
def test_runs_are_counted_as_rxr_counts_them(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    # A run of fibrillation that a beat ends before its own end mark has no end in rxr.
    reference = drawn.reference(dice, fibrillation=False)
    test = drawn.test_of(dice, reference)
    text = told("rxr", tmp_path, reference, test, known_length=True)
    lines = [line for line in text.splitlines() if re.match(r"^ +(\d|>5) \|", line)]
    tables = [table(lines[k : k + 7]) for k in range(0, 28, 7)]
    tally = ours(reference, test, drawn.SAMPLES)
    assert np.array_equal(tables[:2], tally.counts["ventricular_runs"])
    assert np.array_equal(tables[2:], tally.counts["supraventricular_runs"])
