"""What follows the beats of a stream: rhythm and alarms, with what they are told and when."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_dx import manifest as contract
from edge_dx.ecg.events import Alarm, Beat, Judging, Rhythm
from edge_dx.ecg.rhythm import FEATURES, RhythmFeatures
from edge_dx.ecg.stream import SignalStream
from edge_dx.errors import ManifestError
from edge_dx.signal import Samples
from tests.ecg import tiny_stream
from tests.ecg.scripted import Scripted, ecg, feed, same_state, stream
from tests.signal.feeding import cut


def pauses(events: Any) -> list[str]:
    """Changes of asystole; the scripted classes ring other alarms at random."""
    return [e.change for e in events if isinstance(e, Alarm) and e.kind == "asystole"]


def pause(seconds: float) -> Any:
    """A heart that stops for so long, in a signal that goes on."""
    rng = np.random.default_rng(0)
    mv = ecg(250, 14)
    still = rng.normal(0, 0.003, (int(250 * seconds), 1))
    return np.concatenate([mv[:2000], mv[2000] + still, mv[2000:]])


def test_a_heart_that_stops_is_told_while_it_does() -> None:
    _, events = feed(stream(), [pause(6)])
    begins, ends = (e for e in events if isinstance(e, Alarm) and e.kind == "asystole")
    assert (begins.change, ends.change) == ("begins", "ends")
    last = max(e.sample for e in events if isinstance(e, Beat) and e.sample < 2010)
    first = min(e.sample for e in events if isinstance(e, Beat) and e.sample > 3000)
    assert begins.sample == last
    assert 3.0 < begins.value < 3.3
    assert begins.certain_at < last + 4 * 250
    assert ends.sample == first
    assert ends.value == pytest.approx((first - last) / 250)
    assert pauses(feed(stream(), [pause(1.5)])[1]) == []


def test_the_late_answer_does_not_take_its_own_waiting_for_a_pause() -> None:
    late = stream(answer="one_beat_late")
    assert pauses(feed(late, [pause(1.5)])[1]) == []
    assert pauses(feed(late, [pause(6)])[1]) == ["begins", "ends"]


def test_no_alarm_reaches_across_what_was_not_looked_at() -> None:
    mv = ecg(250, 20)
    _, events = feed(stream(), [Samples(mv[:2000], 0), Samples(mv[2900:], 2900)])
    assert pauses(events) == []
    stopped = pause(4)[:2900]
    _, events = feed(stream(), [Samples(stopped, 0), Samples(mv[:1500], 5000)])
    assert pauses(events) == ["begins", "ends"]
    ends = [e for e in events if isinstance(e, Alarm) and e.kind == "asystole"][1]
    assert ends.certain_at == 5000


def test_flutter_is_seen_in_the_signal_and_ends_with_it() -> None:
    t = np.arange(250 * 12) / 250
    wave = 0.8 * np.sin(2 * np.pi * 4.2 * t)[:, None]
    made, mv = stream(), np.concatenate([ecg(250, 10), wave, ecg(250, 10)])
    _, events = feed(made, [mv])
    found = [e for e in events if isinstance(e, Alarm) and e.kind == "ventricular_fibrillation"]
    assert [event.change for event in found] == ["begins", "ends"]
    assert 1700 < found[0].sample < 3500  # its window is 4 s long
    assert found[0].value == pytest.approx(252, rel=0.2)
    assert 5300 < found[1].sample < 7000
    state, whole = feed(made, cut(Samples(mv, 0), [7, 1000, 0, 331, 90]))
    assert whole == events
    assert same_state(state, feed(made, [mv])[0])


# --- rhythm ---


def _rhythm() -> bytes:
    """features → the logit of AF: how much the last intervals differ; it counts its beats."""
    weights = np.zeros((len(FEATURES), 1), np.float32)
    weights[FEATURES.index("change_6")] = 8.0
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["m"]),
        helper.make_node("Add", ["m", "bias"], ["af"]),
        helper.make_node("Add", ["state.h.in", "one"], ["state.h.out"]),
    ]

    def told(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])

    graph = helper.make_graph(
        nodes, "rhythm", [told("features", len(FEATURES)), told("state.h.in", 1)],
        [told("af", 1), told("state.h.out", 1)],
        [numpy_helper.from_array(weights, "weights"),
         numpy_helper.from_array(np.array([-4.0], np.float32), "bias"),
         numpy_helper.from_array(np.array([1.0], np.float32), "one")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def described() -> dict[str, Any]:
    """A bundle that finds beats, does not tell them apart, and tells the rhythm."""
    told = tiny_stream.described()
    told["name"] = "tiny-af"
    told["outputs"] = [{"kind": "beats", "name": "beats", "labels": ["Q"]},
                       {"kind": "episodes", "name": "rhythm", "labels": ["AF"]}]  # fmt: skip
    told["stream"]["beats"] = []
    told["stream"]["rhythm"] = {
        "features": {"names": list(RhythmFeatures.names)},
        "states": [{"input": "state.h.in", "output": "state.h.out", "shape": [1]}],
    }
    variant = told["variants"][0]
    variant["networks"] = {"rhythm": {"file": "variants/onnx-fp32.rhythm.onnx"}}
    variant["tolerance"] = {"frames": 1e-4, "af": 1e-4}
    found = variant["operating_points"][0]
    variant["operating_points"] = [found] + [
        {**found, "name": name, "output": "af", "label": "AF", "threshold": at, "band": [at, at]}
        for name, at in (("begins", 0.6), ("ends", 0.4))
    ]
    return told


FILES = {"variants/onnx-fp32.onnx": tiny_stream.detector(),
         "variants/onnx-fp32.rhythm.onnx": _rhythm()}  # fmt: skip


def beating(seconds: float, apart_s: tuple[float, float], seed: int = 0) -> Any:
    """Narrow beats at intervals between these two."""
    rng, rate = np.random.default_rng(seed), 250
    mv = rng.normal(0, 0.01, (int(seconds * rate), 1))
    at = 0.4
    while at < seconds - 0.5:
        place = int(at * rate)
        mv[place - 4 : place + 5, 0] += 1.1 * np.exp(-0.5 * (np.arange(-4, 5) / 2) ** 2)
        at += float(rng.uniform(*apart_s))
    return mv


REGULAR, IRREGULAR = (0.78, 0.82), (0.45, 1.25)


def test_the_manifest_of_such_a_bundle_is_valid() -> None:
    manifest = tiny_stream.built(described(), FILES)
    parsed = contract.parse(contract.encode(manifest))
    assert parsed.stream
    assert parsed.stream.names == ("detector", "rhythm")
    assert json.loads(contract.encode(parsed))["stream"]["beats"] == []


def test_episodes_begin_and_end_and_beats_are_not_told_apart() -> None:
    with tiny_stream.opened(described(), FILES) as model:
        made = model.stream(rate_hz=250, leads=("II",))
        assert (made.info.answer, made.info.rhythms) == (None, ("AF",))
        mv = np.concatenate([beating(30, REGULAR), beating(40, IRREGULAR), beating(40, REGULAR)])
        state, events = feed(made, [mv])
        events += made.finish(state)
        beats = [event for event in events if isinstance(event, Beat)]
        assert {beat.label for beat in beats} == {"Q"}
        assert all(0.5 <= beat.probability <= 1 for beat in beats)
        assert beats[0].rr_s is None
        told = [event for event in events if isinstance(event, Rhythm)]
        assert [event.change for event in told] == ["begins", "ends"]
        # It speaks of the beat 12 before, and this network knows no better than of the last ones.
        assert 18 * 250 < told[0].sample < 45 * 250
        assert 58 * 250 < told[1].sample < 85 * 250
        # An episode begins and ends at a beat.
        assert {event.sample for event in told} <= {beat.sample for beat in beats}
        _, parts = feed(made, cut(Samples(mv, 0), [13, 999, 4000, 1]))
        assert [e for e in parts if isinstance(e, Rhythm)] == told
        assert feed(made, [mv[:5000]])[0].parts["rhythm"]["memory"][0] == pytest.approx(
            sum(beat.certain_at < 5000 for beat in beats)
        )


def test_an_episode_ends_where_the_signal_does() -> None:
    with tiny_stream.opened(described(), FILES) as model:
        made = model.stream(rate_hz=250, leads=("II",))
        pieces = [Samples(beating(40, IRREGULAR), 0), Samples(beating(10, REGULAR), 60 * 250)]
        _, events = feed(made, pieces)
        told = [event for event in events if isinstance(event, Rhythm)]
        ended = [e for e in events if isinstance(e, Judging) and e.change == "ends"]
        assert [event.change for event in told[:2]] == ["begins", "ends"]
        assert told[1].sample <= 40 * 250
        assert told[1].certain_at == ended[0].certain_at == 60 * 250


def test_features_of_another_edge_dx_are_refused() -> None:
    told = described()
    with tiny_stream.opened(told, FILES) as model:
        told["stream"]["rhythm"]["features"]["names"].reverse()
        other = tiny_stream.built(told, FILES)
        with pytest.raises(ManifestError, match="features of a rhythm are others"):
            SignalStream(other, other.variants[0], model.networks, rate_hz=250, leads=("II",))


def test_the_scripted_detector_is_the_file() -> None:
    """So that what is tested with one holds for the other."""
    with tiny_stream.opened() as model:
        made = model.stream(rate_hz=250, leads=("II",))
        mv = ecg(250, 12)
        beats = [[e.sample for e in feed(one, [mv])[1] if isinstance(e, Beat)]
                 for one in (made, stream())]  # fmt: skip
        assert beats[0] == beats[1]
    assert Scripted(tiny_stream.built(described(), FILES), "detector").outputs[0].name == "frames"
