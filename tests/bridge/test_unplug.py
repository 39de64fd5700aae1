"""Real ptys that are pulled in every state and come back under another name.

A link under `/dev/serial/by-id` names a USB device wherever it is; here a symbolic link does so,
which is pointed at the new pty when the device is plugged in again.
"""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firmware_bridge
from firmware_bridge import Block, Link, LinkLost, Simulator, State
from firmware_bridge.descriptor import DescriptorPort
from firmware_bridge.errors import PortBusy
from firmware_bridge.faults import Lane, Plan
from firmware_bridge.mcuboot import firmware_image, read_image
from firmware_bridge.recording import Recorder
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from firmware_bridge.update import images, upload
from tests.bridge.hearts import heart
from tests.bridge.test_link import LONG_S, blocks_of, check

COUNTS, _RECORD = heart(4)


class Usb:
    """A device on a pty, with a link to wherever it is.

    Args:
        path: of the link.
        plan: of its cable; each connection begins it anew.
    """

    def __init__(self, path: Path, plan: Plan | None = None) -> None:
        self.path, self.names = path, list[str]()
        self.device = SimulatedDevice([RecordStream(_RECORD.info, COUNTS, repeat=True)])
        self.simulator = Simulator(self.device, plan=plan)
        self._elsewhere: list[int] = []
        self.plug()

    def plug(self) -> None:
        # Something else takes the name that is free, so that the device comes back under another.
        self._elsewhere += pty.openpty()
        self.simulator.plug()
        self.point_at(self.simulator.pty())

    def point_at(self, name: str) -> None:
        self.names.append(name)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(name)

    def unplug(self) -> None:
        self.path.unlink(missing_ok=True)
        self.simulator.unplug()

    def close(self) -> None:
        self.simulator.close()
        for descriptor in self._elsewhere:
            os.close(descriptor)


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Usb]:
    found = Usb(tmp_path / "usb-edge-dx")
    yield found
    found.close()


@contextlib.contextmanager
def plugged_in_again(usb: Usb, link: Link) -> Iterator[None]:
    """Whenever the cable is out, somebody puts it in again."""
    stop = threading.Event()

    def put_in() -> None:
        while not stop.is_set():
            if link.wait_for(State.LOST, timeout_s=0.1):
                usb.unplug()
                usb.plug()
                link.wait_for(State.CONNECTING, State.READY, State.STREAMING, timeout_s=1.0)

    thread = threading.Thread(target=put_in)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_while_it_streams(usb: Usb) -> None:
    with firmware_bridge.connect(usb.path) as link:
        stream = link.stream("ecg")
        found = blocks_of(stream, 50)
        for _ in range(3):
            usb.unplug()
            assert link.wait_for(State.LOST, timeout_s=1.0)  # within a second, as promised
            usb.plug()
            assert link.wait_for(State.STREAMING, timeout_s=LONG_S)
            found += blocks_of(stream, found[-1].first_index + 100)
        check(found, np.tile(COUNTS, (40, 1)))
        assert link.reconnects >= 3
        assert all(block.run == 0 for block in found)
    assert len(set(usb.names)) == 4, "it was another pty each time"


def test_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    """The cable goes after 777 bytes of each connection, whatever they are."""
    usb = Usb(tmp_path / "usb", Plan(to_host=Lane(disconnect_after_bytes=777)))
    found: list[Block] = []
    with firmware_bridge.connect(usb.path) as link, plugged_in_again(usb, link):
        stream = link.stream("ecg")
        while link.reconnects < 3:
            block = stream.get(LONG_S)
            assert isinstance(block, Block)
            found.append(block)
    usb.close()
    assert check_from(found, found[0].first_index) > 0


def check_from(blocks: list[Block], expected: int) -> int:
    lost = 0
    for block in blocks:
        at = np.arange(block.first_index, block.first_index + len(block)) % len(COUNTS)
        np.testing.assert_array_equal(block.counts, COUNTS[at])
        if block.gap is not None and block is not blocks[0]:
            assert block.gap.count == block.first_index - expected
            lost += block.gap.count
        elif block is not blocks[0]:
            assert block.first_index == expected
        expected = block.first_index + len(block)
    return lost


def test_in_the_handshake_and_in_that_of_a_reconnect(usb: Usb) -> None:
    """It is pulled after the hello was asked, and before it is answered."""
    mute, host = _mute_pty()
    usb.point_at(os.ttyname(host))
    os.close(host)
    pulled = _pulled_once_asked(mute)
    with pytest.raises(LinkLost):
        firmware_bridge.connect(usb.path)
    pulled.join()
    usb.unplug()
    usb.plug()
    with firmware_bridge.connect(usb.path) as link:
        stream = link.stream("ecg")
        found = blocks_of(stream, 50)
        mute, host = _mute_pty()
        usb.unplug()
        usb.point_at(os.ttyname(host))
        os.close(host)
        _pulled_once_asked(mute).join()  # by now it is reconnecting, and fails
        usb.unplug()
        usb.plug()
        assert link.wait_for(State.STREAMING, timeout_s=LONG_S)
        found += blocks_of(stream, found[-1].first_index + 100)
        check(found, np.tile(COUNTS, (40, 1)))


def _mute_pty() -> tuple[int, int]:
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    return ours, theirs


def _pulled_once_asked(mute: int) -> threading.Thread:
    port = DescriptorPort("mute", mute, lambda: os.close(mute))

    def pull() -> None:
        # Until the host opens it, its other end is closed, which looks like a hang-up.
        asked = b""
        while b"\0" not in asked:
            with contextlib.suppress(LinkLost):
                asked += port.read(0.01)
        port.close()

    thread = threading.Thread(target=pull)
    thread.start()
    return thread


def test_in_the_middle_of_a_piece_of_an_upload(tmp_path: Path) -> None:
    """Every connection takes 3,000 bytes and is cut within a piece; the upload goes on there."""
    usb = Usb(tmp_path / "usb", Plan(to_device=Lane(disconnect_after_bytes=3000)))
    new = read_image(firmware_image(bytes(range(256)) * 32, (2, 0, 0, 0)))
    seen: list[int] = []
    with (
        firmware_bridge.connect(usb.path) as link,
        plugged_in_again(usb, link),
    ):
        upload(link, new.data, progress=lambda done, _: seen.append(done), patience_s=LONG_S)
        assert seen == sorted(seen), "it never began anew"
        assert seen[-1] == len(new.data)
        assert link.reconnects >= 2
    usb.close()
    assert [one["version"] for one in usb.device.slots.state()["images"]] == ["1.0.0.0", "2.0.0.0"]


def test_a_recording_holds_all_that_was_heard_over_unplugging(usb: Usb, tmp_path: Path) -> None:
    path, heard = tmp_path / "walk.edxr", list[Block]()
    with Recorder(path) as recorder, firmware_bridge.connect(usb.path, tap=recorder.tap) as link:
        stream = link.stream("ecg", room=4096)
        for _ in range(2):
            heard += blocks_of(stream, (heard[-1].first_index if heard else 0) + 50)
            usb.unplug()
            assert link.wait_for(State.LOST, timeout_s=LONG_S)
            usb.plug()
            assert link.wait_for(State.STREAMING, timeout_s=LONG_S)
        stream.close()
        while isinstance(block := stream.get(0), Block):
            heard.append(block)
    again = replayed(path)
    assert [(b.first_index, b.gap) for b in again] == [(b.first_index, b.gap) for b in heard]
    for one, other in zip(again, heard, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)


def replayed(path: Path) -> list[Block]:
    with firmware_bridge.connect(path) as link:
        return [block for block in link.stream("ecg") if isinstance(block, Block)]


def test_a_recorder_that_is_killed_on_a_pty_keeps_every_whole_frame(
    usb: Usb, tmp_path: Path
) -> None:
    path = tmp_path / "walk.edxr"
    command = [sys.executable, "-m", "firmware_bridge", "record", str(usb.path), "-o", str(path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as recorder:
        while not path.exists() or path.stat().st_size < 3000:
            assert recorder.poll() is None
            time.sleep(0.02)
        recorder.send_signal(signal.SIGKILL)
    found = replayed(path)
    assert sum(len(block) for block in found) >= 100
    assert check_from(found, found[0].first_index) == 0


def test_a_second_program_is_told_who_has_it(usb: Usb) -> None:
    with (
        firmware_bridge.connect(usb.path) as link,
        pytest.raises(PortBusy, match=r"another program has this port; close it there first"),
    ):
        firmware_bridge.connect(usb.path)
    assert link.state is State.CLOSED
    assert images_of(usb) == ["1.0.0.0"]


def images_of(usb: Usb) -> list[Any]:
    """The port is free again."""
    with firmware_bridge.connect(usb.path) as link:
        return [one["version"] for one in images(link)]
