"""The promise of the clock, in simulated time: blocks of devices whose crystals are off.

    python -m tests.bridge.clocks [devices]

Each device's crystal is off by up to 100 millionths; a message takes 0.3 ms and 0 to 5 ms of jitter
each way, one in a hundred is lost, and after 30 s the device is restarted. From 60 s to 120 s ten
blocks a second get their time by what was known before they came. It ends with 1 where 95 % of
those times are not right to 2 ms.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge.clock import INTERVAL_S, PROBES, Clock, Fit, Probe

RESTART_S, FROM_S, UNTIL_S, BLOCKS_PER_S = 30.0, 60.0, 120.0, 10
WANTED_S = 2e-3
PPM = (-100.0, -50.0, 0.0, 50.0, 100.0)


class World:
    """A device whose crystal is off, behind a cable with jitter and loss."""

    def __init__(self, seed: int, ppm: float, jitter_s: float = 5e-3, loss: float = 0.01) -> None:
        self.dice = random.Random(seed)
        self.now_s = 1000.0
        self.ppm, self.jitter_s, self.loss = ppm, jitter_s, loss
        self.boot_s = 400.0

    def device_us(self, at_s: float) -> int:
        return int((at_s - self.boot_s) * (1 + self.ppm * 1e-6) * 1e6)

    def round(self) -> list[Probe]:
        found = []
        for _ in range(PROBES):
            sent = self.now_s
            there = sent + 3e-4 + self.dice.uniform(0, self.jitter_s)
            away = there + 5e-5
            back = away + 3e-4 + self.dice.uniform(0, self.jitter_s)
            self.now_s = back + 0.01
            if self.dice.random() >= self.loss:
                found.append(Probe(int(sent * 1e9), self.device_us(there), self.device_us(away),
                                   int(back * 1e9)))  # fmt: skip
        return found

    def error_s(self, fit: Fit, at_s: float) -> float:
        return fit.host_ns(self.device_us(at_s)) * 1e-9 - at_s


@dataclass
class Found:
    """Of the blocks of some devices: how far their times were off, and what they said of it."""

    errors_s: list[float] = field(default_factory=list)
    told_s: list[float] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """The promise, and that the uncertainty is no decoration."""
        within = np.mean(np.abs(self.errors_s) <= self.told_s)
        return bool(np.percentile(np.abs(self.errors_s), 95) <= WANTED_S and within >= 0.95)


def run(world: World, clock: Clock, seconds: float, found: Found | None = None) -> Fit:
    """So many seconds of rounds; blocks between them get their time where `found` is given."""
    end, fit = world.now_s + seconds, None
    while world.now_s < end:
        fit = clock.round(world.round())
        assert fit is not None
        for n in range(int(INTERVAL_S * BLOCKS_PER_S) if found else 0):
            at_s = world.now_s + n / BLOCKS_PER_S
            assert found is not None
            found.errors_s.append(world.error_s(fit, at_s))
            found.told_s.append(fit.uncertainty_at(world.device_us(at_s)))
        world.now_s += INTERVAL_S
    assert fit is not None
    return fit


def judged(ppm: float, devices: int) -> Found:
    """So many devices of one crystal, each restarted once."""
    found = Found()
    for seed in range(devices):
        world, clock = World(seed * 1000 + int(ppm), ppm), Clock()
        clock.restart(1)
        run(world, clock, RESTART_S)
        world.boot_s = world.now_s - 1
        assert clock.restart(2)
        run(world, clock, FROM_S - RESTART_S)
        fit = run(world, clock, UNTIL_S - FROM_S, found)
        assert fit.epoch == 1
    return found


def main(arguments: list[str]) -> int:
    devices = int(arguments[0]) if arguments else 200
    print(f"""### The devices' clocks

{devices} simulated devices for each crystal; 5 ms of jitter each way, 1 % loss, a restart after \
{RESTART_S:g} s; blocks from {FROM_S:g} s to {UNTIL_S:g} s. Wanted: 95 % within {WANTED_S * 1e3:g} \
ms, and 95 % within what they say of themselves.

| crystal, ppm | error p50 / p95 / p99 / most, ms | uncertainty told, median, ms | within it | |
| --- | --- | --- | --- | --- |""")
    kept = True
    for ppm in PPM:
        found = judged(ppm, devices)
        kept = kept and found.kept
        off = np.abs(found.errors_s) * 1e3
        told = " / ".join(f"{value:.2f}" for value in np.percentile(off, [50, 95, 99, 100]))
        print(f"| {ppm:+g} | {told} | {np.median(found.told_s) * 1e3:.2f} | "
              f"{np.mean(off <= np.array(found.told_s) * 1e3):.1%} | "
              f"{'kept' if found.kept else 'BROKEN'} |")  # fmt: skip
    print()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
