"""From the wire into edge_dx: what a link gives goes through the signal path as if from disk."""

from __future__ import annotations

import numpy as np

import firmware_bridge
from edge_dx.signal import Bandpass, Gap, Resample, Samples, SignalPath
from firmware_bridge import Block, Simulator
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.simulator import SimulatedDevice
from tests.bridge.hearts import heart
from tests.bridge.test_link import blocks_of
from tests.signal.feeding import feed, same

RATE_HZ = 360


def path() -> SignalPath:
    return SignalPath(
        [Resample(to_hz=250), Bandpass(low_hz=0.5, high_hz=40.0)], rate_hz=RATE_HZ, leads=["II"]
    )


def as_samples(block: Block) -> Samples:
    return Samples(block.samples * 1e-3, block.first_index)


def test_over_a_good_cable_it_is_the_record_to_the_bit() -> None:
    counts, record = heart(30, RATE_HZ, per_message=20)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator.tcp()) as link,
    ):
        stream = link.stream("ecg", on_full="block")
        blocks = blocks_of(stream, len(counts))
    _, heard = feed(path(), map(as_samples, blocks))
    _, read = feed(path(), [Samples(counts * 0.5 * 1e-3, 0)])
    assert same(heard, read)


def test_over_a_bad_cable_its_gaps_are_those_of_the_link_and_nothing_else_changes() -> None:
    counts, record = heart(60, RATE_HZ, per_message=20)
    plan = Plan(seed=9, to_host=Lane(drop=2e-4))
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(bad_opener(simulator.memory(), plan)) as link,
    ):
        stream = link.stream("ecg", on_full="block", room=4096)
        blocks: list[Block] = []
        while isinstance(block := stream.get(1.0), Block):
            blocks.append(block)
        stream.close()
    _, heard = feed(path(), map(as_samples, blocks))
    told = [event for event in heard.events if isinstance(event, Gap)]
    inner = [block.gap for block in blocks[1:] if block.gap is not None]
    assert inner
    assert [(gap.index, gap.n) for gap in told] == [(gap.first, gap.count) for gap in inner]
    # The same record from disk, without what was lost.
    kept = [Samples(counts[b.first_index : b.first_index + len(b)] * 0.5 * 1e-3, b.first_index)
            for b in blocks]  # fmt: skip
    _, read = feed(path(), kept)
    assert same(heard, read)
    assert np.isfinite(heard.values).all()
