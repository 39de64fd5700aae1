"""The demo wearable on an emulated Cortex-M3: QEMU, TCP, pyserial's socket://, frames, samples.

It proves the protocol, never speed.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firmware_bridge
from firmware_bridge import Block, Link, State
from firmware_bridge.errors import PortMissing
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.mcuboot import firmware_image, read_image
from firmware_bridge.port import opener
from firmware_bridge.update import images, update, upload
from tests.bridge.c_device import FIRMWARE, WARNINGS
from tests.bridge.test_link import LONG_S, blocks_of, check

GCC, QEMU = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")
pytestmark = pytest.mark.skipif(
    GCC is None or QEMU is None, reason="needs arm-none-eabi-gcc and qemu-system-arm"
)
SEED = 40


def beat() -> Any:
    text = (FIRMWARE / "demo" / "beat.h").read_text("utf-8")
    return np.array(re.findall(r"-?\d+", text[text.index("{") :]), np.int32)


class Emulator:
    """The wearable; it can be switched off and on."""

    def __init__(self, program: Path) -> None:
        self._program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"socket://127.0.0.1:{self._port}"
        self._seed = SEED
        self.on()

    def on(self) -> None:
        self._seed += 100  # a board would know its last boot id
        # Without nodelay each small answer waits for an acknowledgement, 40 ms.
        console = (f"socket,id=console,host=127.0.0.1,port={self._port},server=on,wait=off,"
                   "nodelay=on")  # fmt: skip
        assert QEMU is not None
        self._running = subprocess.Popen(
            [QEMU, "-machine", "lm3s6965evb", "-display", "none", "-monitor", "none",
             "-kernel", str(self._program), "-chardev", console, "-serial", "chardev:console",
             "-device", f"loader,addr=0x20006000,data={self._seed},data-len=4"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def off(self) -> None:
        self._running.kill()
        self._running.wait(LONG_S)

    def connect(self, plan: Plan | None = None) -> Link:
        """Waits for the emulator to listen."""
        good = opener(self.url)
        way = good if plan is None else bad_opener(good, plan)
        until = time.monotonic() + LONG_S
        while time.monotonic() < until:
            try:
                return firmware_bridge.connect(way)
            except PortMissing:
                assert self._running.poll() is None
                time.sleep(0.02)
        raise AssertionError("the emulator does not listen")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo") / "demo.elf"
    assert GCC is not None
    sources = [*sorted(FIRMWARE.glob("edx_*.c")), FIRMWARE / "demo" / "main.c"]
    warnings = [word for word in WARNINGS if word != "-Wpedantic"]  # a vector table is none of C's
    subprocess.run(
        [GCC, "-std=c11", "-O2", "-mcpu=cortex-m3", "-mthumb", *warnings, "-ffunction-sections",
         "-fdata-sections", "-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-T",
         str(FIRMWARE / "demo" / "lm3s6965.ld"), *map(str, sources), "-o", str(made)],
        check=True, timeout=300,
    )  # fmt: skip
    return made


@pytest.fixture
def wearable(program: Path) -> Iterator[Emulator]:
    emulator = Emulator(program)
    yield emulator
    emulator.off()


def test_both_streams_arrive_as_they_are(wearable: Emulator) -> None:
    with wearable.connect() as link:
        assert link.hello.device == "edge-dx demo wearable"
        assert link.echo("hällo") == "hällo"
        slow, fast = link.stream("ecg"), link.stream("ecg500")
        once, twice = blocks_of(slow, 300), blocks_of(fast, 600)
        assert check(once, np.tile(beat(), 9)[:, None]) == 0
        assert check(twice, np.tile(np.repeat(beat(), 2), 9)[:, None]) == 0
        link.verdict({"label": "N", "probability": 0.98})
        line = link.logs.get(LONG_S)
        while line is not None and line.text == "boot":  # said before anybody was there, or not
            line = link.logs.get(LONG_S)
        assert line is not None
        assert line.text == "verdict N"
        slow.close()
        fast.close()
        assert all(count.lost_link == count.lost_device == 0 for count in link.counts.values())


def test_over_a_bad_cable_the_gaps_show_and_nothing_is_made_up(wearable: Emulator) -> None:
    with wearable.connect(Plan(seed=2, to_host=Lane(drop=2e-3, chop=64))) as link:
        stream = link.stream("ecg500", on_full="block")
        blocks = blocks_of(stream, 1000)
        while all(block.gap is None for block in blocks):  # pings are on the line as well
            blocks += blocks_of(stream, 0)
        stream.close()
        lost = check(blocks, np.tile(np.repeat(beat(), 2), 200)[:, None])
        assert lost > 0
        assert link.counts["ecg500"].lost_link >= lost
        assert link.counts["ecg500"].lost_device == 0


def test_switched_off_and_on_its_streams_go_on(wearable: Emulator) -> None:
    with wearable.connect() as link:
        stream = link.stream("ecg")
        blocks_of(stream, 50)
        wearable.off()
        assert link.wait_for(State.LOST, timeout_s=1.0)
        wearable.on()
        block = stream.get(LONG_S)
        while isinstance(block, Block) and block.run == 0:
            block = stream.get(LONG_S)
        assert isinstance(block, Block)
        assert block.gap is not None
        assert block.gap.restart
        np.testing.assert_array_equal(block.counts[:, 0], beat()[:25])


def test_firmware_is_tried_and_taken_back_or_kept(wearable: Emulator) -> None:
    new = read_image(firmware_image(bytes(5000), (2, 0, 0, 0)))
    with wearable.connect() as link:
        cut: list[int] = []

        def progress(done: int, total: int) -> None:
            if done > 2000 and not cut:
                cut.append(done)
                port = link._port
                assert port is not None
                port.close()  # the cable, not the device

        upload(link, new.data, progress=progress, patience_s=LONG_S)
        assert link.reconnects == 1
        assert [one["version"] for one in images(link)] == ["1.0.0.0", "2.0.0.0"]
        assert update(link, new) == "2.0.0.0"
        assert [one["version"] for one in images(link)] == ["2.0.0.0", "1.0.0.0"]
        assert images(link)[0]["confirmed"]
