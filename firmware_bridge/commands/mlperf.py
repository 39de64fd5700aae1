"""`edge-dx-bridge mlperf`: measures an MLPerf Tiny device."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED
from firmware_bridge.errors import BadMessage
from firmware_bridge.mlperf_tiny import MAX_INPUT, Runner
from firmware_bridge.port import Settings, open_port


def act(options: argparse.Namespace) -> int:
    """Prints what each input took, and the score."""
    inputs = read_inputs(options.input)
    port = open_port(options.target, Settings(baud=options.baud))
    try:
        runner = Runner(port)
        print(f"{runner.name()}: {runner.model()}")
        score = runner.performance(inputs, options.inferences, options.warmups)
    finally:
        port.close()
    for number, one in enumerate(score.measured):
        told = ", ".join(f"{value:.3f}" for value in one.results[:12])
        print(f"input {number}: {one.per_second:.3f} inferences/s, {one.seconds:.3f} s, [{told}]")
    print(f"median: {score.per_second:.3f} inferences/s")
    for fault in score.faults:
        print(f"no valid result: {fault}")
    return EXIT_FAILED if score.faults else EXIT_DONE


def read_inputs(path: str) -> list[bytes]:
    """The rows of an array of bytes.

    Raises:
        BadMessage: no such array, or one that no device takes.
    """
    try:
        found = np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadMessage(f"{path}: no array of inputs ({error})") from error
    if not isinstance(found, np.ndarray) or found.dtype.itemsize != 1 or not found.size:
        raise BadMessage(f"{path}: inputs are bytes (int8 or uint8), one in each row")
    rows = found.reshape(1, -1) if found.ndim == 1 else found.reshape(len(found), -1)
    if rows.shape[1] > MAX_INPUT:
        raise BadMessage(f"{path}: an input has at most {MAX_INPUT} bytes, not {rows.shape[1]}")
    return [row.tobytes() for row in rows]
