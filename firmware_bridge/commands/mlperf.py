"""`edge-dx-bridge mlperf`: measures an MLPerf Tiny device, or answers as one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED
from firmware_bridge.errors import BadMessage, NotServed
from firmware_bridge.mlperf_tiny import Runner
from firmware_bridge.port import Settings, open_port
from firmware_bridge.simulator import Simulator

if TYPE_CHECKING:
    from firmware_bridge.mlperf_tiny.serve import Answering

_LONGEST = 2**24
_POLL_S = 0.2


def act(options: argparse.Namespace) -> int:
    """Measures, or answers until interrupted."""
    return _answer(options) if options.answer else _measure(options)


def _measure(options: argparse.Namespace) -> int:
    """Prints what each input took, and the score."""
    if options.target is None or options.input is None:
        raise BadMessage("give a DEVICE and --input to measure, or --answer BUNDLE to be measured")
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


def _answer(options: argparse.Namespace) -> int:
    """Prints where it answers, and does."""
    try:
        from firmware_bridge.mlperf_tiny import serve
    except ImportError as error:
        raise NotServed(
            f"--answer needs edge_dx ({error}): pip install 'edge-dx[bridge]'"
        ) from error
    end = time.monotonic() + options.seconds if options.seconds else None

    def ended() -> bool:
        return end is not None and time.monotonic() >= end

    with serve.own_model(
        options.answer, variant=options.variant, engine=options.engine,
        allow_unsigned=options.allow_unsigned, name=options.model_name,
    ) as model:  # fmt: skip
        device = serve.answering(model)
        if options.target is not None:
            _on_a_line(options, device, ended)
            return EXIT_DONE
        with Simulator(device) as simulator:
            place = simulator.pty() if options.pty else simulator.tcp(port=options.port)
            print(f"{model.name} answers on {place}; inputs of {model.max_input} bytes", flush=True)
            while not ended():
                time.sleep(_POLL_S)
    return EXIT_DONE


def _on_a_line(options: argparse.Namespace, device: Answering, ended: Callable[[], bool]) -> None:
    """On a serial line to the host that measures."""
    port = open_port(options.target, Settings(baud=options.baud))
    try:
        print(f"answers on {options.target}", flush=True)
        while not ended():
            device.receive(port.read(_POLL_S))
            while piece := device.take():
                port.write(piece)
    finally:
        port.close()


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
    if rows.shape[1] > _LONGEST:  # the device says itself what it has room for
        raise BadMessage(f"{path}: an input has at most {_LONGEST} bytes, not {rows.shape[1]}")
    return [row.tobytes() for row in rows]
