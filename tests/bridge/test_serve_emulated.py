"""The emulated wearable to events: QEMU, TCP, pyserial's socket://, frames, the beat model.

The same samples as a file go through `edge-dx stream`, and both must say the same. An emulator
proves the protocol, never speed; it runs at the pace of life, so that each test takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
import firmware_bridge
from edge_dx.__main__ import main as device_main
from edge_dx.ecg.events import Beat, as_json
from edge_dx.signal import Gap, Samples
from edge_dx.signal_model import SignalModel
from firmware_bridge import Link
from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.frames import STREAM
from firmware_bridge.port import opener
from firmware_bridge.serve import Serving, Told
from firmware_bridge.state import State
from firmware_bridge.told import LinkIs
from tests.bridge import test_emulated
from tests.bridge.test_emulated import Emulator, beat

pytestmark = test_emulated.pytestmark
program, wearable = test_emulated.program, test_emulated.wearable

RATE_HZ, PER_MESSAGE, MV = 250, 25, 0.0005
NEAR = round(0.15 * RATE_HZ)
OWN = ("run", "host_ns", "uncertainty_s", "lost")


@pytest.fixture(scope="module")
def model() -> Iterator[SignalModel]:
    with edge_dx.load("ecg-beats", "onnx-fp32") as found:
        assert isinstance(found, SignalModel)
        yield found


def record(samples: int) -> Any:
    """(n, 1) mV of what the wearable streams from its start on."""
    return np.resize(beat(), samples)[:, None] * MV


def heard(link: Link, model: SignalModel, samples: int) -> tuple[Serving, list[Told]]:
    """Serves until so many samples were heard."""
    serving = Serving(link, model)
    return serving, list(serving.events(lambda: serving.heard_to >= samples))


def lines(told: list[Told]) -> list[dict[str, Any]]:
    """As `edge-dx stream --json` would say it."""
    found = [one.as_json() for one in told if not isinstance(one.event, LinkIs)]
    return [{key: it for key, it in line.items() if key not in OWN} for line in found]


def test_its_events_are_those_of_the_same_record_on_disk(
    wearable: Emulator, model: SignalModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with wearable.connect() as link:
        serving, told = heard(link, model, 9 * RATE_HZ)
        verdicts = {line.text for line in iter(lambda: link.logs.get(0), None)}
    file = tmp_path / "walk.csv"
    values = record(serving.heard_to)[:, 0].tolist()
    file.write_text("\n".join(["# rate_hz: 250", "II (mV)", *map(repr, values)]) + "\n")
    capsys.readouterr()
    mains = str(serving.signal.info.mains_hz or "none")
    assert device_main(["stream", "ecg-beats", str(file), "--json", "--variant", "onnx-fp32",
                        "--mains", mains]) == 0  # fmt: skip
    on_disk = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in on_disk].count("beat") >= 5
    assert lines(told) == on_disk
    assert serving.verdicts.sent == [line["type"] for line in on_disk].count("beat")
    assert "verdict N" in verdicts
    late = [one for one in told if isinstance(one.event, Beat)][-1].as_json()
    assert late["host_ns"] > 0
    assert 0 < late["uncertainty_s"] < 1


class Loses:
    """A port on which one stream frame gets damaged."""

    def __init__(self, inner: Port, frame: int) -> None:
        self._inner, self._frame = inner, frame
        self._kept = bytearray()
        self.write, self.close = inner.write, inner.close
        self.seen = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, timeout_s: float) -> bytes:
        """What came up to the last whole frame."""
        self._kept += self._inner.read(timeout_s)
        out = bytearray()
        while (end := self._kept.find(0)) >= 0:
            frame = self._kept[: end + 1]
            del self._kept[: end + 1]
            if frame[1:2] == bytes([STREAM]):  # behind the first of COBS's own bytes
                if self.seen == self._frame:
                    del frame[len(frame) // 2]
                self.seen += 1
            out += frame
        return bytes(out)


def losing(way: Opener, frame: int) -> Opener:
    return lambda: Loses(way(), frame)


def test_of_a_lost_frame_the_gap_is_exact_and_no_beat_is_invented(
    wearable: Emulator, model: SignalModel
) -> None:
    frame = 55
    wearable.connect().close()  # it listens
    with firmware_bridge.connect(losing(opener(wearable.url), frame)) as link:
        serving, told = heard(link, model, 12 * RATE_HZ)
    events = [one.event for one in told if not isinstance(one.event, LinkIs)]
    (at,) = [n for n, event in enumerate(events) if isinstance(event, Gap)]
    gap = events[at]
    assert isinstance(gap, Gap)
    lost = [one.as_json()["lost"] for one in told if one.event is gap]
    assert (gap.index, gap.n) == (frame * PER_MESSAGE, PER_MESSAGE)
    assert lost == [{"link": PER_MESSAGE, "device": 0, "host": 0}]
    whole, behind = record(serving.heard_to), gap.index + gap.n
    stream = model.stream(
        rate_hz=RATE_HZ, leads=("II",), full_scale_mv=2**23 * MV,
        mains_hz=serving.signal.info.mains_hz,
    )  # fmt: skip
    state, expected = stream.step(stream.start(), Samples(whole[: gap.index], 0))
    state, more = stream.step(state, Samples(whole[behind:], behind))
    expected += more + stream.finish(state)
    assert lines(told) == [as_json(event, stream.info.rate_hz) for event in expected]
    found = [event.sample for event in events if isinstance(event, Beat)]
    true = np.flatnonzero(np.resize(beat(), len(whole)) == beat().max())
    assert all(np.abs(true - one).min() <= NEAR for one in found)
    assert not [one for one in found if gap.index <= one < behind]
    assert [one for one in found if one < gap.index]
    assert [one for one in found if one > behind]


def test_switched_off_and_on_again_it_is_judged_afresh(
    wearable: Emulator, model: SignalModel
) -> None:
    with wearable.connect() as link:
        serving = Serving(link, model)
        told: list[Told] = []
        for one in serving.events(lambda: serving.run == 1 and serving.heard_to > 5 * RATE_HZ):
            told.append(one)
            if isinstance(one.event, Beat) and one.run == 0:
                wearable.off()
            elif isinstance(one.event, LinkIs) and one.event.state is State.LOST:
                wearable.on()
    said = lines(told)
    (again,) = [n for n, line in enumerate(said) if line.get("restart")]
    before = [line for line in said[:again] if line["type"] == "beat"]
    after = [line for line in said[again:] if line["type"] == "beat"]
    assert before
    assert after[0]["label"] == "Q"
    assert after[0]["rr_s"] is None
    assert after[0]["sample"] == before[0]["sample"]  # it streams the same from its start on
