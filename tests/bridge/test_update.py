"""Updates: over cables that are pulled, to devices that refuse, and to the standard's clients."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firmware_bridge
from firmware_bridge import Link, Simulator, State
from firmware_bridge.__main__ import main
from firmware_bridge.devices import dialect
from firmware_bridge.errors import DeviceRefused, ImageRefused, NoAnswer
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.frames import ConsoleFramer, RawFramer
from firmware_bridge.mcuboot import firmware_image, read_image
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from firmware_bridge.update import images, read_file, update, upload
from tests.bridge.hearts import heart
from tests.bridge.test_link import LONG_S, blocks_of

NEW = read_image(firmware_image(bytes(range(256)) * 24, (2, 0, 0, 0)))


def versions(link: Link) -> list[Any]:
    return [one["version"] for one in images(link)]


def test_new_firmware_is_tried_and_confirmed() -> None:
    device = SimulatedDevice()
    told: list[tuple[int, int]] = []
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        assert update(link, NEW, progress=lambda *done: told.append(done)) == "2.0.0.0"
        assert versions(link) == ["2.0.0.0", "1.0.0.0"]
        assert images(link)[0]["confirmed"]
        assert link.hello.firmware == "2.0.0.0"
        assert told[-1] == (len(NEW.data), len(NEW.data))
        assert update(link, NEW) == "2.0.0.0"  # it runs already
        boot = link.hello.boot_id
        link.restart()
        while link.hello.boot_id == boot:
            link.look_again()
        assert versions(link)[0] == "2.0.0.0"


def test_the_cable_is_pulled_in_the_middle_and_the_upload_goes_on() -> None:
    """Several times, mid-upload, while a stream runs; no byte is sent twice that was taken."""
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    pulled, seen = [1000, 2500, 5000], []
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        stream = link.stream("ecg")

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if pulled and done > pulled[0]:
                pulled.pop(0)
                simulator.unplug()
                simulator.plug()

        upload(link, NEW.data, progress=progress, patience_s=LONG_S)
        assert not pulled
        assert seen == sorted(seen), "it never began anew"
        assert link.reconnects >= 3
        assert versions(link) == ["1.0.0.0", "2.0.0.0"]
        last = blocks_of(stream, 1)[-1].first_index
        blocks_of(stream, last + 100)
        assert link.counts["ecg"].restarts == 0


def test_over_a_cable_that_loses_bytes() -> None:
    bad = Lane(drop=4e-4)
    with (
        Simulator(SimulatedDevice()) as simulator,
        Link(
            bad_opener(simulator.memory(), Plan(seed=6, to_host=bad, to_device=bad)),
            measure_clock=False,
        ) as link,
    ):
        assert update(link, NEW) == "2.0.0.0"
        assert link.troubles["repeated_requests"] > 0


def test_unplugged_in_the_handshake_it_is_found_again() -> None:
    device = SimulatedDevice()
    with Simulator(device) as simulator:
        good = simulator.memory()
        attempts = []

        def opener() -> Any:
            attempts.append(1)
            if len(attempts) == 2:  # it goes away while hands are shaken
                return bad_opener(good, Plan(to_host=Lane(disconnect_after_bytes=10)))()
            return good()

        with firmware_bridge.connect(opener) as link:
            simulator.unplug()
            assert link.wait_for(State.LOST, timeout_s=1.0)
            simulator.plug()
            assert link.wait_for(State.READY, timeout_s=LONG_S)
            assert len(attempts) >= 3
            assert link.echo("x") == "x"


def test_older_firmware_is_sent_only_on_demand() -> None:
    old = read_image(firmware_image(b"old", (0, 9, 0, 0)))
    with Simulator(SimulatedDevice()) as simulator, firmware_bridge.connect(simulator) as link:
        with pytest.raises(ImageRefused, match=r"0\.9\.0\.0 is older than 1\.0\.0\.0"):
            update(link, old)
        assert update(link, old, allow_downgrade=True) == "0.9.0.0"


def test_a_device_that_does_not_come_back_or_takes_the_old_one() -> None:
    device = SimulatedDevice()
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        device.restart_soon = lambda: None  # type: ignore[method-assign]  # it says yes and stays
        with pytest.raises(NoAnswer, match="did not come back with the new firmware"):
            update(link, NEW, patience_s=0.3)
    device = SimulatedDevice()
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        device.slots.restart = lambda: None  # type: ignore[method-assign]  # its bootloader refuses
        with pytest.raises(ImageRefused, match=r"came back with version 1\.0\.0\.0"):
            update(link, NEW)
    small = SimulatedDevice()
    small.slots.size = 100
    with (
        Simulator(small) as simulator,
        firmware_bridge.connect(simulator) as link,
        pytest.raises(DeviceRefused, match="corrupt"),
    ):
        update(link, NEW)


@pytest.mark.parametrize("kind", ["smp-console", "smp-raw"])
def test_a_server_that_knows_the_standard_alone(kind: str) -> None:
    framer = ConsoleFramer() if kind == "smp-console" else RawFramer()
    device = SimulatedDevice(framer=framer)
    device._out.clear()  # raw SMP has no room for a log
    if kind == "smp-raw":
        device.log = lambda text: None  # type: ignore[method-assign]  # likewise after a restart
    with (
        Simulator(device) as simulator,
        firmware_bridge.connect(simulator, dialect(kind)) as link,
    ):
        assert link.hello.max_frame == 1024
        assert link.echo("hi") == "hi"
        assert update(link, NEW) == "2.0.0.0"


# Its transport looks for a feature that pytest's capture lacks, and says so.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_package_smpclient_updates_our_device() -> None:
    smpclient = pytest.importorskip("smpclient", reason="a peer: pip install smpclient")
    from smp.os_management import EchoWriteRequest
    from smpclient.transport.serial import SMPSerialTransport

    async def talk(path: str) -> Any:
        async with smpclient.SMPClient(SMPSerialTransport(), path) as client:
            from smpclient.requests.os_management import EchoWrite

            answer = await client.request(EchoWrite(d="hello"))
            offsets = [offset async for offset in client.upload(NEW.data)]
            return answer.r, offsets

    assert EchoWriteRequest is not None
    device = SimulatedDevice(framer=ConsoleFramer())
    with Simulator(device) as simulator:
        echoed, offsets = asyncio.run(talk(simulator.pty()))
    assert echoed == "hello"
    assert offsets[-1] == len(NEW.data)
    assert [one["version"] for one in device.slots.state()["images"]] == ["1.0.0.0", "2.0.0.0"]


def test_files_that_are_no_firmware(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with pytest.raises(ImageRefused, match="cannot be read"):
        read_file(path)
    good = NEW.data
    for data, why in (
        (b"", "too short"),
        (bytes(100), "no firmware image"),
        (good[:-20], "cut off"),
        (good[:100] + b"x" + good[101:], "digest is not that"),
        (good[:-36] + b"\x11\0" + good[-34:], "no SHA-256 digest"),
    ):
        path.write_bytes(data)
        with pytest.raises(ImageRefused, match=why):
            read_file(path)
    path.write_bytes(good)
    assert read_file(path) == NEW


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.bin"
    path.write_bytes(NEW.data)
    with Simulator(SimulatedDevice()) as simulator:
        assert main(["update", "--unsigned", simulator.tcp(), str(path)]) == 0
    told = capsys.readouterr().out
    assert "edge-dx simulator SIM-1: 1.0.0.0 -> 2.0.0.0, 6216 bytes" in told
    assert "2.0.0.0 runs and is confirmed" in told
    assert main(["update", "--unsigned", "/dev/none", str(tmp_path)]) == 1


def test_the_mlperf_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from firmware_bridge.mlperf_tiny import Dut
    from tests.bridge.test_mlperf_tiny import SIZE, Sums, ticking

    class Living:
        """A DUT where a simulator hosts devices."""

        next_due_us = None

        def __init__(self) -> None:
            self._dut = Dut(Sums(), clock_us=ticking())
            self._out = self._dut.boot()

        def advance(self, now_us: int) -> None:
            pass

        def receive(self, data: bytes) -> None:
            self._out += self._dut.receive(data)

        def take(self, at_most: int | None = None) -> bytes:
            out, self._out = self._out, b""
            return out

    path = tmp_path / "x.npy"
    np.save(path, np.ones((5, SIZE), np.int8))
    with Simulator(Living()) as simulator:
        url = simulator.tcp()
        assert main(["mlperf", url, "--input", str(path)]) == 0
        told = capsys.readouterr().out
        assert told.startswith("edge-dx: ecg01\n")
        assert "median: 10000.000 inferences/s" in told
        np.save(path, np.ones((2, SIZE), np.int8))
        assert main(["mlperf", url, "--input", str(path)]) == 1
        assert "no valid result: 2 inputs, not 5" in capsys.readouterr().out
    np.save(path, np.ones(3))
    assert main(["mlperf", url, "--input", str(path)]) == 1
    assert "inputs are bytes" in capsys.readouterr().err
