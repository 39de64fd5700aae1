"""A wearable's ECG through the beat model, as its samples arrive, and what was found sent back.

    python examples/serve_wearable.py                     # a simulated wearable on a bad cable
    python examples/serve_wearable.py /dev/ttyACM0        # or socket://host:port, or walk.edxr

What the cable loses is a gap of known length, and nothing is judged across it; a device that was
restarted begins anew. With a program of your own do what `tell` does. Not for diagnosis.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import edge_dx
import firmware_bridge
from edge_dx.ecg.events import Alarm, Beat, Judging, Rhythm
from edge_dx.signal import Gap
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic
from firmware_bridge.faults import Lane, Plan
from firmware_bridge.serve import Serving, Told
from firmware_bridge.simulator import SimulatedDevice, Simulator
from firmware_bridge.simulator.streams import record_of
from firmware_bridge.told import Break, LinkIs

RATE_HZ = 250


def main() -> int:
    """Serves one device, and prints what becomes certain."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("device", nargs="?", help="without one a wearable is simulated")
    parser.add_argument("--bundle", default="ecg-beats")
    parser.add_argument("--allow-unsigned", action="store_true", help="for a bundle of your own")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the simulated signal")
    options = parser.parse_args()
    with edge_dx.load(options.bundle, allow_unsigned=options.allow_unsigned) as model:
        assert isinstance(model, SignalModel), f"{options.bundle} judges no signal"
        if options.device:
            with firmware_bridge.connect(options.device) as link:
                for told in Serving(link, model).events():
                    tell(told)
        else:
            simulate(model, options.seconds)
    return 0


def simulate(model: SignalModel, seconds: float) -> None:
    """A made-up heart with an early ventricular beat now and then, faster than life."""
    heart = Synthetic(seconds=seconds, rate_hz=RATE_HZ, premature_every=7)
    mv = np.concatenate([block.mv for block in heart.blocks()])[:, :1]
    device = SimulatedDevice([record_of("ecg", RATE_HZ, ["II"], mv, per_message=10)])
    cable = Plan(seed=4, to_host=Lane(drop=1e-4))  # of each byte: half a percent of the messages
    with Simulator(device, "fast", cable) as simulator, firmware_bridge.connect(simulator) as link:
        serving = Serving(link, model, on_full="block")
        for told in serving.events(lambda: serving.heard_to >= len(mv) - 2 * RATE_HZ):
            tell(told)
        lost = link.counts["ecg"].lost_link
    alarms = sum(1 for told in device.verdicts if told["type"] == "alarm")
    beats = sum(1 for told in device.verdicts if told["type"] == "beat")
    print(f"{lost} samples lost; the wearable was told {beats} beats and {alarms} alarms")


def tell(told: Told) -> None:
    """A line for what a person would want to know at once; `told.as_json()` has all of it."""
    event = told.event
    if isinstance(event, Beat) and event.label == "N":
        return
    if isinstance(event, Alarm | Beat | Break | Gap | Judging | LinkIs | Rhythm):
        print(told.in_words(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
