"""Recordings: what is replayed is what was heard, and whole records outlive their writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge import Block, Simulator
from firmware_bridge.errors import BadRecording, LinkLost
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.recording import IN, MAGIC, NOTE, OUT, Record, Recorder, Recording
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from tests.bridge.hearts import heart
from tests.bridge.test_link import LONG_S, blocks_of, check


def written(path: Path, bodies: list[tuple[str, bytes]]) -> None:
    with Recorder(path, {"target": "x"}) as recorder:
        for n, (direction, body) in enumerate(bodies):
            recorder.tap(direction, 1000 + n, body)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    with Recorder(path, {"target": "x"}) as recorder:
        recorder.tap("in", 5, b"abc")
        recorder.tap("out", 6, b"d")
        recorder.note("the cable was pulled")
    found = Recording(path)
    assert found.told["target"] == "x"
    assert abs(found.told["wall_clock_s"] - time.time()) < 100
    records = list(found.records())
    assert records[0] == Record(IN, 5, b"abc")
    assert (records[1].kind, records[1].body) == (OUT, b"d")
    assert (records[2].kind, records[2].body) == (NOTE, b"the cable was pulled")
    assert found.cut_off == 0


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    written(path, [])
    with pytest.raises(BadRecording, match="is there already"):
        Recorder(path)
    with pytest.raises(BadRecording, match="cannot be written"):
        Recorder(tmp_path / "none" / "a.edxr")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_off_anywhere_all_whole_records_are_there(tmp_path: Path, data: Any) -> None:
    path = tmp_path / f"{time.monotonic_ns()}.edxr"
    body = st.tuples(st.sampled_from(["in", "out"]), st.binary(min_size=1, max_size=30))
    bodies = data.draw(st.lists(body, max_size=6))
    written(path, bodies)
    whole = path.read_bytes()
    begin = len(whole) - sum(17 + len(body) for _, body in bodies)
    end = data.draw(st.integers(begin, len(whole)))
    os.truncate(path, end)
    found = Recording(path)
    records = list(found.records())
    sizes = np.cumsum([17 + len(body) for _, body in bodies])
    complete = int((begin + sizes <= end).sum()) if bodies else 0
    assert [r.body for r in records] == [body for _, body in bodies[:complete]]
    assert found.cut_off == end - begin - (int(sizes[complete - 1]) if complete else 0)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    written(path, [("in", b"one"), ("in", b"two"), ("in", b"three")])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"two")] ^= 1
    path.write_bytes(raw)
    records = Recording(path).records()
    assert next(records).body == b"one"
    with pytest.raises(BadRecording, match="damaged at byte"):
        next(records)


@pytest.mark.parametrize(
    "content", [b"", b"EDX", MAGIC, MAGIC + b"\xff" * 40, b"EDXR\x02\n" + bytes(40)]
)
def test_what_is_no_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.edxr"
    path.write_bytes(content)
    with pytest.raises(BadRecording):
        Recording(path)
    with pytest.raises(BadRecording, match="no such recording"):
        Recording(tmp_path / "none.edxr")
    os.mkfifo(tmp_path / "pipe.edxr")
    with pytest.raises(BadRecording, match="no such recording"):
        Recording(tmp_path / "pipe.edxr")


def test_a_replay_is_what_was_heard(tmp_path: Path) -> None:
    """Losses, an unplugging and a restart included; to the nanosecond."""
    path = tmp_path / "a.edxr"
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    bad = Plan(seed=2, to_host=Lane(drop=1e-3))
    with (
        Simulator(device) as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(bad_opener(simulator.memory(), bad), tap=recorder.tap) as link,
    ):
        stream = link.stream("ecg", on_full="block")
        heard = blocks_of(stream, 200)
        simulator.unplug()
        simulator.plug()
        heard += blocks_of(stream, 300)
        link.restart()
        while heard[-1].run == 0 or heard[-1].first_index < 100:
            block = stream.get(LONG_S)
            assert isinstance(block, Block)
            heard.append(block)
        stream.close()
        account = link.counts["ecg"]

    with firmware_bridge.connect(path) as replay:
        assert replay.hello.device == "edge-dx simulator"
        again = [block for block in replay.stream("ecg") if isinstance(block, Block)]
        found = replay.counts["ecg"]
    assert len(again) >= len(heard)
    for one, other in zip(heard, again, strict=False):
        np.testing.assert_array_equal(one.counts, other.counts)
        assert (one.first_index, one.run, one.gap, one.flags, one.at.arrived_ns) == (
            other.first_index, other.run, other.gap, other.flags, other.at.arrived_ns
        )  # fmt: skip
    assert found.restarts == account.restarts == 1
    assert found.lost_link == account.lost_link


def test_a_replay_knows_the_devices_clock(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    with (
        Simulator(device) as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(simulator, tap=recorder.tap) as link,
    ):
        until = time.monotonic() + LONG_S
        while link.fit is None and time.monotonic() < until:
            time.sleep(0.01)
        stream = link.stream("ecg")
        block = stream.get(LONG_S)
        assert isinstance(block, Block)
    with firmware_bridge.connect(path) as replay:
        again = next(iter(replay.stream("ecg")))
        assert again.at == block.at
        assert block.at.t_host_ns is not None


def test_at_real_pace_it_takes_as_long_as_it_took(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    counts, record = heart(0.5)
    with (
        Simulator(SimulatedDevice([record])) as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(simulator, tap=recorder.tap) as link,
    ):
        blocks = blocks_of(link.stream("ecg"), len(counts))
    took_s = (blocks[-1].at.arrived_ns - blocks[0].at.arrived_ns) * 1e-9
    with firmware_bridge.connect(path, pace="real") as replay:
        begin = time.monotonic()
        stream = replay.stream("ecg", on_full="block")
        again = [block for block in stream if isinstance(block, Block)]
        assert time.monotonic() - begin >= took_s
    assert check(again, counts) == 0


def test_a_recording_without_a_device_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    written(path, [("in", b"\0\0\0")])
    with pytest.raises(BadRecording, match="no handshake was recorded"):
        firmware_bridge.connect(path)


def test_a_damaged_recording_ends_in_an_error_after_what_was_good(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    counts, record = heart(4)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(simulator, tap=recorder.tap) as link,
    ):
        blocks_of(link.stream("ecg", on_full="block"), len(counts))
    raw = bytearray(path.read_bytes())
    raw[-60] ^= 1
    path.write_bytes(raw)
    with firmware_bridge.connect(path) as replay:
        stream = replay.stream("ecg")
        assert stream.get(LONG_S) is not None
        with pytest.raises(LinkLost, match="damaged at byte"):
            list(stream)


RECORDER = """
import sys, firmware_bridge
from firmware_bridge.recording import Recorder
with Recorder(sys.argv[2]) as recorder:
    link = firmware_bridge.connect(sys.argv[1], tap=recorder.tap)
    for block in link.stream("ecg", on_full="block"):
        print(block.first_index + len(block), flush=True)
"""


def test_a_recorder_that_is_killed_keeps_all_that_it_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.edxr"
    counts, record = heart(600)
    with Simulator(SimulatedDevice([record]), "fast") as simulator:
        running = subprocess.Popen(
            [sys.executable, "-c", RECORDER, simulator.tcp(), str(path)], stdout=subprocess.PIPE
        )
        assert running.stdout is not None
        heard = 0
        while heard < 20_000:
            heard = int(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
        heard = max([heard, *map(int, running.stdout.read().split(b"\n")[:-1])])
        running.stdout.close()
        running.wait(LONG_S)
    with firmware_bridge.connect(path) as replay:
        blocks = [block for block in replay.stream("ecg") if isinstance(block, Block)]
    assert check(blocks, counts) == 0
    assert blocks[-1].first_index + len(blocks[-1]) >= heard


def test_a_disk_that_is_full_ends_the_link_and_says_so(tmp_path: Path) -> None:
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    full = threading.Event()

    def tap(direction: str, t_ns: int, data: bytes) -> None:
        if direction == "in" and full.is_set():
            raise BadRecording("walk.edxr: cannot go on (No space left on device)")

    with Simulator(device) as simulator, firmware_bridge.connect(simulator, tap=tap) as link:
        stream = link.stream("ecg")
        full.set()
        with pytest.raises(BadRecording, match="No space left"):
            list(stream)
        assert link.ended


def test_a_recorder_that_cannot_write_says_that_what_is_there_is_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.edxr") as recorder:
        kept, recorder._fd = recorder._fd, os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(BadRecording, match="what was recorded is kept"):
            recorder.tap("in", 0, b"x")
        os.close(recorder._fd)
        recorder._fd = kept
