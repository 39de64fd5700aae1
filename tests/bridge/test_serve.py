"""A wearable's ECG over the link: the events are those of the record on disk, gaps are told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edge_dx
import firmware_bridge
from edge_dx.ecg.events import Beat, StreamEvent, as_json
from edge_dx.signal import Gap as SignalGap
from edge_dx.signal import LeadOff, Samples
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic, open_samples
from firmware_bridge import Block, Link, Moment, Simulator, State
from firmware_bridge.__main__ import main
from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.errors import Incompatible, LinkLost, NoAnswer, NotServed
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.messages import Flags
from firmware_bridge.serve import Serving, Told, millivolts_of, opened, verdict_of
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from firmware_bridge.simulator.streams import record_of
from firmware_bridge.told import Break, LinkIs
from firmware_bridge.verdicts import ROOM, Verdict, Verdicts

RECORD = Path(__file__).parents[3] / "shared" / "data" / "ecg_mitbih" / "records" / "119.hea"
RATE_HZ, SECONDS, PER_MESSAGE = 360, 90, 20
UV = 5.0
NEAR = round(0.15 * RATE_HZ)
LONG_S = 20.0


@pytest.fixture(scope="module")
def model() -> Iterator[SignalModel]:
    with edge_dx.load("ecg-beats", "onnx-fp32") as found:
        assert isinstance(found, SignalModel)
        yield found


@pytest.fixture(scope="module")
def record() -> RecordStream:
    """A minute and a half of a patient with ventricular beats, else of a made-up heart."""
    if RECORD.is_file():
        source = open_samples(RECORD, leads=["MLII"])
        mv = np.concatenate([block.mv for block in source.blocks()])[: SECONDS * RATE_HZ]
        source.close()
    else:
        made = Synthetic(seconds=SECONDS, rate_hz=RATE_HZ, premature_every=7)
        mv = np.concatenate([block.mv for block in made.blocks()])[:, :1]
    return record_of("ecg", RATE_HZ, ["MLII"], mv, uv_per_count=UV, per_message=PER_MESSAGE)


def from_disk(model: SignalModel, counts: Any, first: int = 0, **asked: Any) -> list[StreamEvent]:
    """What the model says of the same samples, read all at once."""
    stream = model.stream(
        rate_hz=RATE_HZ, leads=("MLII",), full_scale_mv=2**23 * UV / 1000, **asked
    )
    state, events = stream.step(stream.start(), Samples(counts * (UV / 1000), first))
    return events + stream.finish(state)


def lines(events: Sequence[StreamEvent]) -> list[dict[str, Any]]:
    return [as_json(event, Fraction(RATE_HZ)) for event in events]


def judged(told: Sequence[Told]) -> list[StreamEvent]:
    return [t.event for t in told if not isinstance(t.event, Break | LinkIs)]  # type: ignore[misc]


def beats(events: Sequence[StreamEvent]) -> list[int]:
    return [event.sample for event in events if isinstance(event, Beat)]


def silent(serving: Serving, until: int) -> Any:
    """True once the record is over: its last sample was heard or lost."""
    return lambda: serving.heard_to >= until


def serve(link: Link, model: SignalModel, length: int, **asked: Any) -> list[Told]:
    serving = Serving(link, model, on_full="block", **asked)
    return list(serving.events(silent(serving, length)))


def invented(events: Sequence[StreamEvent], true: Sequence[int]) -> list[int]:
    """Beats that are not within 150 ms of a true one."""
    known = np.array(true)
    return [beat for beat in beats(events) if np.abs(known - beat).min(initial=10**9) > NEAR]


def test_over_tcp_the_events_are_those_of_the_record_on_disk(
    model: SignalModel, record: RecordStream
) -> None:
    device = SimulatedDevice([record])
    with Simulator(device, "fast") as simulator, firmware_bridge.connect(simulator.tcp()) as link:
        told = serve(link, model, len(record.counts))
    expected = from_disk(model, record.counts)
    assert len(beats(expected)) > 80
    assert lines(judged(told)) == lines(expected)


def test_the_late_answer_and_another_variant_too(record: RecordStream) -> None:
    with edge_dx.load("ecg-beats", "onnx-int8", "onnx") as other:
        assert isinstance(other, SignalModel)
        with (
            Simulator(SimulatedDevice([record]), "fast") as simulator,
            firmware_bridge.connect(simulator) as link,
        ):
            told = serve(link, other, len(record.counts), answer="one_beat_late")
        expected = from_disk(other, record.counts, answer="one_beat_late")
    assert lines(judged(told)) == lines(expected)


@pytest.mark.parametrize(("per_message", "found"), [(20, 0.5), (10, 0.75)])
@pytest.mark.parametrize("seed", range(3))
def test_with_one_frame_in_a_hundred_lost_the_gaps_show_and_no_beat_is_invented(
    model: SignalModel, record: RecordStream, seed: int, per_message: int, found: float
) -> None:
    """A lost message of 28 ms is concealed; after one of 56 ms the filters begin anew."""
    told_so = msgspec.structs.replace(record.info, per_message=per_message)
    device = SimulatedDevice([RecordStream(told_so, record.counts)])
    plan = Plan(seed=seed, to_host=Lane(drop=0.01 / (31 + 3 * per_message)))  # of each byte
    with (
        Simulator(device, "fast") as simulator,
        firmware_bridge.connect(bad_opener(simulator.memory(), plan)) as link,
    ):
        told = serve(link, model, len(record.counts) - per_message)
        account = link.counts["ecg"]
    events = judged(told)
    gaps = [event for event in events if isinstance(event, SignalGap)]
    assert 0.002 < account.lost_link / len(record.counts) < 0.05
    # What was lost in front of the first block, or behind the last one, is no gap between two.
    assert 0 <= account.lost_link - sum(gap.n for gap in gaps) <= 4 * per_message
    causes = [t.as_json()["lost"] for t in told if isinstance(t.event, SignalGap)]
    assert causes == [{"link": gap.n, "device": 0, "host": 0} for gap in gaps]
    true = beats(from_disk(model, record.counts))
    assert invented(events, true) == []
    away = [(gap.index, gap.index + gap.n) for gap in gaps if not gap.concealed]
    assert not [beat for beat in beats(events) for a, b in away if a <= beat < b]
    assert len(beats(events)) > found * len(true)


def test_a_beat_that_is_invented_would_be_seen() -> None:
    assert invented([Beat(1000, 1100, "N", 0.9)], [500, 1100]) == [1000]
    assert invented([Beat(1000, 1100, "N", 0.9)], [500, 1050]) == []
    assert invented([Beat(1000, 1100, "N", 0.9)], []) == [1000]


def test_what_a_restarted_device_says_is_judged_afresh(
    model: SignalModel, record: RecordStream
) -> None:
    half = record.counts[: 30 * RATE_HZ]
    device = SimulatedDevice([RecordStream(record.info, half)])
    simulator_restarts: list[bool] = []
    with Simulator(device, "fast") as simulator, firmware_bridge.connect(simulator) as link:
        serving = Serving(link, model, on_full="block")
        told: list[Told] = []
        for one in serving.events(lambda: serving.run == 1 and serving.heard_to >= len(half)):
            told.append(one)
            if serving.run == 0 and serving.heard_to >= 20 * RATE_HZ and not simulator_restarts:
                simulator_restarts.append(True)
                threading.Thread(target=link.restart).start()
    (at,) = [n for n, one in enumerate(told) if isinstance(one.event, Break)]
    assert isinstance(told[at].event, Break)
    assert told[at].as_json()["restart"] is True
    assert {one.run for one in told[:at] if not isinstance(one.event, LinkIs)} == {0}
    after = [one for one in told[at + 1 :] if not isinstance(one.event, LinkIs)]
    assert {one.run for one in after} == {1}
    assert lines(judged(after)) == lines(from_disk(model, half))


def test_a_loose_electrode_is_told_and_nothing_is_judged_meanwhile(
    model: SignalModel, record: RecordStream
) -> None:
    counts = record.counts[: 40 * RATE_HZ]
    off, on = 15 * RATE_HZ, 20 * RATE_HZ
    device = SimulatedDevice(
        [RecordStream(record.info, counts, leads_off=lambda at: int(off <= at < on))]
    )
    with Simulator(device, "fast") as simulator, firmware_bridge.connect(simulator) as link:
        events = judged(serve(link, model, len(counts)))
    told = [(event.index, event.off) for event in events if isinstance(event, LeadOff)]
    assert told == [(off, True), (on, False)]
    assert beats(events)
    assert not [beat for beat in beats(events) if off <= beat < on]


def test_an_unplugged_device_is_told_and_what_was_missed_is_a_gap(
    model: SignalModel, record: RecordStream
) -> None:
    small = RecordStream(record.info, record.counts, repeat=True)
    device = SimulatedDevice([small], room=600)  # a third of a second of it
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        serving = Serving(link, model)
        told: list[Told] = []
        ends = time.monotonic() + LONG_S
        unplugged = False

        def states() -> list[State]:
            return [one.event.state for one in told if isinstance(one.event, LinkIs)]

        def over() -> bool:
            back = State.LOST in states() and states()[-1] is State.STREAMING
            gap = any(isinstance(one.event, SignalGap) for one in told)
            return (back and gap) or time.monotonic() > ends

        for one in serving.events(over):
            told.append(one)
            if not unplugged and serving.heard_to > RATE_HZ // 2:
                simulator.unplug()
                unplugged = True
            elif isinstance(one.event, LinkIs) and one.event.state is State.LOST:
                threading.Timer(1.0, simulator.plug).start()
    assert time.monotonic() < ends
    (gap,) = [one for one in told if isinstance(one.event, SignalGap)]
    assert gap.lost is not None
    assert gap.lost.device > 0  # it had no room for a second


def test_without_reconnecting_what_was_certain_is_told_and_then_the_error(
    model: SignalModel, record: RecordStream
) -> None:
    counts = record.counts[: 20 * RATE_HZ]
    with (
        Simulator(SimulatedDevice([RecordStream(record.info, counts)]), "fast") as simulator,
        firmware_bridge.connect(simulator, reconnect=False) as link,
    ):
        serving = Serving(link, model, on_full="block")
        told: list[Told] = []

        def looked_at() -> bool:
            if serving.heard_to >= len(counts):
                simulator.unplug()
            return False

        with pytest.raises(LinkLost):
            told.extend(serving.events(looked_at))
    assert lines(judged(told)) == lines(from_disk(model, counts))


# --- what fits and what does not ---


def info(**told: Any) -> StreamInfo:
    return StreamInfo(**({"id": 0, "name": "ecg", "rate": (250, 1), "leads": ("II",),
                          "unit": "uV", "scale": 0.5} | told))  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [("uV", 0.5, 0.0005), ("mV", 0.01, 0.01), ("V", 1e-6, 0.001), ("µV", 2.0, 0.002)],
)
def test_units_are_those_of_the_device(unit: str, scale: float, expected: float) -> None:
    assert millivolts_of(info(unit=unit, scale=scale)) == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["", "counts", "g"])
def test_counts_are_no_voltage_until_somebody_says_so(unit: str) -> None:
    with pytest.raises(NotServed, match="--mv-per-count"):
        millivolts_of(info(unit=unit))
    assert millivolts_of(info(unit=unit), 0.003) == 0.003


def test_nobody_corrects_a_device_that_knows_its_unit() -> None:
    with pytest.raises(NotServed, match="leave --mv-per-count out"):
        millivolts_of(info(), 0.003)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_measures_nothing_is_refused(scale: float) -> None:
    with pytest.raises(NotServed, match="nothing to measure with"):
        millivolts_of(info(scale=scale))


@contextlib.contextmanager
def connected(*streams: Any, **told: Any) -> Iterator[Link]:
    with (
        Simulator(SimulatedDevice(streams, told=told)) as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        yield link


def test_streams_and_leads_that_do_not_fit_are_refused(
    model: SignalModel, record: RecordStream
) -> None:
    with connected(record) as link:
        with pytest.raises(Incompatible, match="no stream 'eeg'"):
            Serving(link, model, stream="eeg")
        with pytest.raises(NotServed, match="has no lead V1; it has MLII"):
            Serving(link, model, leads=["V1"])
    two = np.repeat(record.counts[:1000], 2, axis=1)
    unknown = RecordStream(msgspec.structs.replace(record.info, leads=("a", "b")), two)
    with connected(unknown) as link:
        with pytest.raises(NotServed, match=r"knows none of the leads .*a, b.*--judge"):
            Serving(link, model)
        assert Serving(link, model, leads=["b"]).signal.info.leads == ("b",)
    slow = RecordStream(msgspec.structs.replace(record.info, rate=(20, 1)), record.counts)
    with connected(slow) as link, pytest.raises(NotServed, match=r"stream 'ecg' of .*20"):
        Serving(link, model)


def test_the_power_line_is_what_the_device_says_or_the_caller(
    model: SignalModel, record: RecordStream
) -> None:
    with connected(record, mains_hz=50) as link:
        assert Serving(link, model).signal.info.mains_hz == 50
        assert Serving(link, model, mains_hz=60).signal.info.mains_hz == 60
    with connected(record) as link:
        assert Serving(link, model).signal.info.mains_hz is None


def test_a_bundle_of_pictures_serves_no_wearable() -> None:
    with pytest.raises(NotServed, match="chest-tb judges single inputs"), opened("chest-tb"):
        pass
    with pytest.raises(NotServed, match="no-such"), opened("no-such"):
        pass


def test_an_index_that_goes_back_begins_anew_and_is_no_error(
    model: SignalModel, record: RecordStream
) -> None:
    with connected(record) as link:
        serving = Serving(link, model)
    counts = np.ones((5, 1), np.int32)
    for first, anew in ((40, None), (45, None), (60, None), (60, False), (0, False), (5, None)):
        block = Block(record.info, counts, first, 0, Moment(0, 0))
        assert serving._begins_anew(block) is anew
        serving._meet(block)
    gap = firmware_bridge.Gap(7, None, restart=True)
    assert serving._begins_anew(Block(record.info, counts, 7, 1, Moment(0, 0), gap)) is True


def test_values_that_the_device_made_up_are_none(model: SignalModel, record: RecordStream) -> None:
    with connected(record) as link:
        serving = Serving(link, model)
    told = record.info
    counts = np.ones((5, 1), np.int32)
    made_up = Block(told, counts, 40, 0, Moment(0, 0), flags=Flags.CONCEALED)
    found = serving.samples_of(made_up)
    assert np.isnan(found.mv).all()
    assert found.start == 40
    assert serving.samples_of(Block(told, counts, 45, 0, Moment(0, 0))).mv[0, 0] == UV / 1000


# --- verdicts ---


def test_verdicts_reach_the_device_and_name_its_own_samples(
    model: SignalModel, record: RecordStream
) -> None:
    device = SimulatedDevice([record], boot_id=7)
    with Simulator(device, "fast") as simulator, firmware_bridge.connect(simulator) as link:
        serving = Serving(link, model, on_full="block", verdicts=("beat",))
        events = judged(list(serving.events(silent(serving, len(record.counts)))))
    found = [told for told in device.verdicts if told["type"] == "beat"]
    assert serving.verdicts.sent == len(found)
    assert serving.verdicts.sent + serving.verdicts.dropped == len(beats(events))
    true = {event.sample: event for event in events if isinstance(event, Beat)}
    assert found
    for told in found:
        event = true[told["index"]]
        assert (told["boot"], told["stream"], told["label"]) == (7, 0, event.label)
        assert told["p"] == pytest.approx(event.probability, abs=1e-3)


class Deaf(SimulatedDevice):
    """Takes no verdicts, and says so."""

    def hello(self) -> Hello:
        return msgspec.structs.replace(super().hello(), features=("image",))


def test_a_device_that_takes_no_verdicts_gets_none(
    model: SignalModel, record: RecordStream
) -> None:
    device = Deaf([record])
    with Simulator(device, "fast") as simulator, firmware_bridge.connect(simulator) as link:
        assert beats(judged(serve(link, model, 10 * RATE_HZ)))
    assert device.verdicts == []


def test_alarms_stay_where_beats_find_no_room() -> None:
    go, taken = threading.Event(), list[Verdict]()

    def send(verdict: Verdict) -> None:
        go.wait(LONG_S)
        taken.append(verdict)

    with Verdicts(send, ("beat", "alarm")) as verdicts:
        verdicts.give({"type": "beat", "n": -1})
        while verdicts.waiting:  # the first one is on its way
            time.sleep(0.001)
        for n in range(ROOM + 10):
            verdicts.give({"type": "alarm" if n == 3 else "beat", "n": n})
        verdicts.give({"type": "rhythm"})  # not wanted
        go.set()
    assert verdicts.dropped == 10
    assert verdicts.sent == ROOM + 1
    assert {"type": "alarm", "n": 3} in taken
    assert taken[-1]["n"] == ROOM + 9


def test_verdicts_that_fail_are_counted_and_at_the_end_none_is_waited_for() -> None:
    tried = list[Verdict]()

    def send(verdict: Verdict) -> None:
        tried.append(verdict)
        raise NoAnswer("nobody answers")

    verdicts = Verdicts(send, ("beat",))
    for n in range(5):
        verdicts.give({"type": "beat", "n": n})
    with verdicts:
        pass
    assert verdicts.failed == 5
    assert verdicts.trouble == "nobody answers"
    assert len(tried) <= 5


def test_a_verdict_survives_the_wrap_of_the_index() -> None:
    assert verdict_of(Beat(2**32 + 5, 2**32 + 9, "V", 0.81234), 3, 9) == {
        "stream": 3, "boot": 9, "index": 5, "type": "beat", "label": "V", "p": 0.812,
        "noisy": False,
    }  # fmt: skip


# --- the command ---


def recorded(path: Path, record: RecordStream) -> None:
    with Simulator(SimulatedDevice([record]), "fast") as simulator:
        assert main(["record", simulator.tcp(), "-o", str(path), "--seconds", "3"]) == 0


def test_the_command_serves_a_recording_line_by_line(
    record: RecordStream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = RecordStream(record.info, record.counts[: 30 * RATE_HZ])
    recorded(tmp_path / "walk.edxr", short)
    capsys.readouterr()
    assert main(["serve", "ecg-beats", str(tmp_path / "walk.edxr"), "--variant", "onnx-fp32"]) == 0
    out, err = capsys.readouterr()
    told = [json.loads(line) for line in out.splitlines()]
    with edge_dx.load("ecg-beats", "onnx-fp32") as model:
        assert isinstance(model, SignalModel)
        expected = lines(from_disk(model, short.counts))
    own = [
        {k: v for k, v in line.items() if k not in ("run", "host_ns", "uncertainty_s")}
        for line in told if line["type"] not in ("link", "device")
    ]  # fmt: skip
    assert own == expected
    assert "one count is 5 µV" in err
    assert "lost on the way" in err
    assert main(["serve", "ecg-beats", str(tmp_path / "walk.edxr"), "--words"]) == 0
    assert "judged from here on" in capsys.readouterr().out


def test_the_command_says_what_does_not_fit(
    record: RecordStream, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = msgspec.structs.replace(record.info, unit="")
    with Simulator(SimulatedDevice([RecordStream(unknown, record.counts)])) as simulator:
        url = simulator.tcp()
        assert main(["serve", "ecg-beats", url]) == 1
        assert "--mv-per-count" in capsys.readouterr().err
        assert main(["serve", "chest-tb", url]) == 1
        assert "not a signal" in capsys.readouterr().err
        assert main(["serve", "ecg-beats", url, "--mv-per-count", "0.005", "--seconds", "0.5"]) == 3
        assert "never enough signal" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_says_the_rest_and_gives_its_account(number: int) -> None:
    with Simulator(SimulatedDevice([_repeating()])) as simulator:
        running = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge", "serve", "ecg-beats", simulator.tcp()],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        for line in running.stdout:
            if json.loads(line)["type"] == "judging":
                break
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert all(json.loads(line) for line in out.splitlines())
    assert "samples heard" in err


def _repeating() -> RecordStream:
    made = Synthetic(seconds=30, rate_hz=RATE_HZ)
    mv = np.concatenate([block.mv for block in made.blocks()])[:, :1]
    stream = record_of("ecg", RATE_HZ, ["MLII"], mv)
    return RecordStream(stream.info, stream.counts, repeat=True)
