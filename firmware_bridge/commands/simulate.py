"""`edge-dx-bridge simulate`: a device double on a TCP port or a pty, or behind a bad cable."""

from __future__ import annotations

import argparse
import time

from firmware_bridge.commands import EXIT_DONE
from firmware_bridge.faults import Plan, read_plan
from firmware_bridge.simulator import RecordStream, SimulatedDevice, Simulator
from firmware_bridge.simulator.streams import made_up_heart, record_of


def act(options: argparse.Namespace) -> int:
    """Lives until interrupted."""
    plan = read_plan(options.faults) if options.faults else Plan()
    made = record_of("ecg", options.rate_hz, ["II"], made_up_heart(options.rate_hz, options.bpm))
    stream = RecordStream(made.info, made.counts, repeat=True)
    device = SimulatedDevice([stream], ppm=options.ppm)
    until = time.monotonic() + options.seconds if options.seconds else None
    with Simulator(device, plan=plan) as simulator:
        if options.pty:
            print(simulator.pty(), flush=True)
        else:
            print(simulator.tcp(port=options.port), flush=True)
        while until is None or time.monotonic() < until:
            time.sleep(min(0.2, max((until or 1e18) - time.monotonic(), 0.0)))
            while device.verdicts:
                print(f"verdict: {device.verdicts.pop(0)!r}", flush=True)
    return EXIT_DONE
