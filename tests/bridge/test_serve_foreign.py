"""Devices of others through the model: counts with a unit of the user's, loss unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import edge_dx
import firmware_bridge
from edge_dx.ecg.events import Beat
from edge_dx.signal import Samples
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic
from firmware_bridge import Simulator
from firmware_bridge.devices.csv import Csv, CsvDouble
from firmware_bridge.devices.foreign import Double
from firmware_bridge.devices.heartypatch import HeartyPatch, HeartyPatchDouble
from firmware_bridge.errors import NotServed
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.serve import Serving
from firmware_bridge.told import Break, LinkIs
from tests.bridge.test_serve_command import Kept

MV = 0.001


@pytest.fixture(scope="module")
def model() -> Iterator[SignalModel]:
    with edge_dx.load("ecg-beats", "onnx-fp32", "onnx") as found:
        assert isinstance(found, SignalModel)
        yield found


def heart(rate_hz: int, seconds: int) -> Any:
    """(n) counts of a microvolt each."""
    made = Synthetic(seconds=seconds, rate_hz=rate_hz)
    mv = np.concatenate([block.mv for block in made.blocks()])[:, 0]
    return np.rint(mv / MV).astype(np.int32)


def switched_on(double: Double, kept: Kept, samples: int) -> Callable[[], bool]:
    """Begins the double's stream once it is heard, for `events`; true after so many samples."""
    begun: list[bool] = []

    def until() -> bool:
        if not begun:
            double.begin()
            begun.append(True)
        return kept.length >= samples

    return until


def test_a_patch_without_unit_is_judged_once_somebody_says_the_unit(
    model: SignalModel,
) -> None:
    counts, kept = heart(128, 40), Kept()
    double = HeartyPatchDouble(counts.reshape(-1, 8))
    double.end()
    with (
        Simulator(double, "fast") as simulator,
        firmware_bridge.connect(simulator, HeartyPatch()) as link,
    ):
        with pytest.raises(NotServed, match="--mv-per-count"):
            Serving(link, model)
        serving = Serving(link, model, mv_per_count=MV, on_full="block")
        told = list(serving.events(switched_on(double, kept, 20 * 128), lambda run: [kept]))
    assert serving.signal.info.leads == ("ecg",)
    heard = np.concatenate([samples.mv for samples in kept.heard])
    np.testing.assert_allclose(heard[:, 0], np.resize(counts, len(heard)) * MV)
    state, events = serving.signal.step(serving.signal.start(), Samples(heard, 0))
    expected = events + serving.signal.finish(state)
    assert [one.event for one in told if not isinstance(one.event, LinkIs)] == expected
    assert sum(isinstance(event, Beat) for event in events) > 10


def test_where_nobody_knows_how_much_is_lost_all_begins_anew(model: SignalModel) -> None:
    """Lines of text without a number: one that is damaged is a break, not a gap of so many."""
    counts, kept = heart(250, 60), Kept()
    double = CsvDouble(counts[:, None], 250)
    double.end()
    plan = Plan(seed=6, to_host=Lane(flip=4e-6))
    with (
        Simulator(double, "fast") as simulator,
        firmware_bridge.connect(
            bad_opener(simulator.memory(), plan), Csv(250, leads=("II",), unit="uV", step=1.0)
        ) as link,
    ):
        stream = link.hello.streams[0].name
        serving = Serving(link, model, stream=stream, on_full="block")
        events = serving.events(switched_on(double, kept, 100 * 250), lambda run: [kept])
        told = [one for one in events if not isinstance(one.event, LinkIs)]
    breaks = [n for n, one in enumerate(told) if isinstance(one.event, Break)]
    assert breaks
    for at in breaks:
        said = told[at].as_json()
        assert (said["type"], said["n"], said["restart"]) == ("gap", None, False)
        assert "begins anew" in told[at].in_words()
    pieces = [told[a + 1 : b] for a, b in zip([-1, *breaks], [*breaks, len(told)], strict=True)]
    judged = [[one.event for one in piece if isinstance(one.event, Beat)] for piece in pieces]
    assert sum(map(len, judged)) > 10
    for beats in filter(None, judged):
        assert beats[0].label == "Q"
        assert beats[0].rr_s is None
