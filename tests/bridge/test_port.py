"""Real ports by way of pyserial: ptys, sockets and rfc2217, busy, missing, hung up, moved."""

from __future__ import annotations

import builtins
import contextlib
import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import port as ports
from firmware_bridge.descriptor import DescriptorPort, Port
from firmware_bridge.errors import (
    Incompatible,
    LinkLost,
    MissingExtra,
    PortBusy,
    PortError,
    PortMissing,
)
from firmware_bridge.port import Found, Settings, open_port, opener
from firmware_bridge.profiles import PROFILES, known_by
from tests.bridge.test_link import LONG_S


@pytest.fixture
def pair() -> Iterator[tuple[int, str, int]]:
    """The device's end, and the path and descriptor of the host's."""
    ours, theirs = pty.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs), theirs
    for descriptor in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read(port: Port, length: int) -> bytes:
    found, until = b"", time.monotonic() + LONG_S
    while len(found) < length and time.monotonic() < until:
        found += port.read(0.2)
    return found


def read_for_ever(port: Port, *, talking: bool = False) -> None:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        port.read(0.1 if talking else LONG_S)
        if talking:
            port.write(b"x")


def test_every_byte_goes_through_a_pty_both_ways(pair: tuple[int, str, int]) -> None:
    ours, path, _ = pair
    port = open_port(path)
    every = bytes(range(256)) * 4
    os.write(ours, every)
    assert read(port, len(every)) == every
    port.write(every)
    got = b""
    while len(got) < len(every):
        got += os.read(ours, 4096)
    assert got == every
    assert port.read(0.0) == b""
    port.close()
    port.close()
    with pytest.raises(LinkLost, match="closed"):
        port.read(0.1)
    with pytest.raises(LinkLost, match="closed"):
        port.write(b"x")


def test_a_hang_up_is_one_error(pair: tuple[int, str, int]) -> None:
    ours, path, theirs = pair
    os.close(theirs)
    port = open_port(path)
    begin = time.monotonic()
    threading.Timer(0.05, os.close, (ours,)).start()
    with pytest.raises(LinkLost, match=r"is gone|hung up"):
        read_for_ever(port)
    assert time.monotonic() - begin < LONG_S / 2, "a read that waits wakes up"
    with pytest.raises(LinkLost):
        port.write(b"x")
    port.close()


def test_a_socket_that_is_closed_is_the_same_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = open_port(f"socket://127.0.0.1:{server.getsockname()[1]}")
        peer, _ = server.accept()
        peer.sendall(b"abc")
        assert read(port, 3) == b"abc"
        peer.close()
        with pytest.raises(LinkLost):
            read_for_ever(port)
        port.close()


def test_closing_wakes_whoever_reads(pair: tuple[int, str, int]) -> None:
    port = open_port(pair[1])
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            while True:
                port.read(LONG_S)
        except LinkLost as error:
            ended.append(error)

    reader = threading.Thread(target=wait)
    reader.start()
    time.sleep(0.05)
    port.close()
    reader.join(LONG_S / 2)
    assert len(ended) == 1


def test_a_device_that_takes_no_bytes() -> None:
    near, far = socket.socketpair()
    port = DescriptorPort("full", near.fileno(), near.close, write_timeout_s=0.1)
    with pytest.raises(PortError, match=r"took no bytes for 0\.1 s"):
        port.write(bytes(50_000_000))
    port.close()
    far.close()


def test_a_second_program_is_told_that_the_port_is_busy(pair: tuple[int, str, int]) -> None:
    first = open_port(pair[1])
    with pytest.raises(PortBusy, match=r"another program has this port; close it there first"):
        open_port(pair[1])
    first.close()
    open_port(pair[1]).close()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/dev/none", "no such serial port"),
        ("/dev", "no such serial port"),
        ("nul\0l", "no such serial port"),
        ("socket://127.0.0.1:1", "cannot be reached"),
        ("socket://127.0.0.1:x", "cannot be reached"),
        ("rfc2217://127.0.0.1:1", "cannot be reached"),
        ("carrier-pigeon://x", "cannot be reached"),
    ],
)
def test_ports_that_are_not_there(target: str, why: str) -> None:
    with pytest.raises(PortMissing, match=why):
        open_port(target)


def test_a_regular_file_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"")
    with pytest.raises(PortMissing, match="no such serial port"):
        open_port(str(path))


def test_a_usb_device_is_found_again_under_another_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whatever took its old path meanwhile is not opened."""
    here = [Found("/dev/ttyACM0", "a", "1209:0001:A"), Found("/dev/ttyACM1", "b", "1209:0001:B")]
    opened: list[str] = []
    monkeypatch.setattr(ports, "ports", lambda: here)
    monkeypatch.setattr(ports, "open_port", lambda path, _: opened.append(path))
    reopen = opener("/dev/ttyACM0")
    reopen()
    here[:] = [Found("/dev/ttyACM0", "b", "1209:0001:B")]
    with pytest.raises(PortMissing, match="1209:0001:A is not plugged in"):
        reopen()
    here.append(Found("/dev/ttyACM7", "a", "1209:0001:A"))
    reopen()
    assert opened == ["/dev/ttyACM0", "/dev/ttyACM7"]


def test_a_port_among_several_of_one_device_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A debugger with two ports: the second one stays the second one."""
    here = [Found("/dev/ttyACM0", "a", "1366:1051:A", "1.0"),
            Found("/dev/ttyACM1", "a", "1366:1051:A", "1.2")]  # fmt: skip
    opened: list[str] = []
    monkeypatch.setattr(ports, "open_port", lambda path, _: opened.append(path))
    reopen = opener("/dev/ttyACM1", listed=lambda: here)
    reopen()
    here[:] = [Found("/dev/ttyACM2", "a", "1366:1051:A", "1.2"),
               Found("/dev/ttyACM3", "a", "1366:1051:A", "1.0")]  # fmt: skip
    reopen()
    assert opened == ["/dev/ttyACM1", "/dev/ttyACM2"]


def test_a_device_that_goes_while_it_is_listed_is_a_port_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """pyserial reads its numbers one by one, and converts the None of a file that has gone."""
    from serial.tools import list_ports

    def gone() -> list[Any]:
        raise TypeError("int() can't convert non-string with explicit base")

    monkeypatch.setattr(list_ports, "comports", gone)
    with pytest.raises(PortError, match="cannot be listed"):
        ports.ports()


@pytest.mark.parametrize(
    ("usb", "name"),
    [
        ("2fe3:0001:A", "cdc-acm"),
        ("2341:0043:A", "arduino"),
        ("2341:8036:A", "cdc-acm"),
        ("303a:1001:A", "esp32"),
        ("0403:6015:A", "plain"),  # a bridge chip: on a Cyton's dongle and on a thousand others
        ("10c4:ea60:A", "plain"),
        ("", "plain"),
    ],
)
def test_the_lines_of_a_board_that_is_known(
    usb: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Settings] = []
    monkeypatch.setattr(ports, "open_port", lambda _, settings: used.append(settings))
    here = [Found("/dev/ttyACM0", "a", usb)]
    opener("/dev/ttyACM0", listed=lambda: here)()
    assert used.pop() == PROFILES[name].settings
    opener("/dev/ttyACM0", baud=9600, listed=lambda: here)()
    assert used.pop() == replace(PROFILES[name].settings, baud=9600)
    opener("/dev/ttyACM0", Settings(dtr=None), listed=lambda: here)()
    assert used.pop() == Settings(dtr=None)  # whoever says it is believed


def test_no_two_profiles_claim_one_device() -> None:
    claims = [usb for found in PROFILES.values() for usb in found.usb]
    for one in claims:
        assert sum(one.startswith(other) for other in claims) == 1
        vendor, _, product = one.partition(":")
        assert len(vendor) == 4
        assert len(product) in (0, 4)
        assert one == one.lower()
    assert all(found.why and found.source for found in PROFILES.values())


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_profiles_lines_are_set_before_the_port_opens(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import serial

    did: list[Any] = []

    class Handle:
        def __setattr__(self, name: str, value: Any) -> None:
            did.append((name, value))

        def open(self) -> None:
            did.append("open")

        def set_low_latency_mode(self, wanted: bool) -> None:
            did.append(("low latency", wanted))
            raise NotImplementedError("no such driver")  # which is no reason not to open it

        def fileno(self) -> int:
            return os.open("/dev/null", os.O_RDWR)

        def close(self) -> None:
            did.append("close")

    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: Handle())
    monkeypatch.setattr(time, "sleep", lambda s: did.append(("waited", s)))
    wanted = PROFILES[name].settings
    open_port("/dev/null", wanted).close()
    expected: list[Any] = [("exclusive", True)]
    expected += [(line, level) for line, level in (("dtr", wanted.dtr), ("rts", wanted.rts))
                 if level is not None]  # fmt: skip
    expected += ["open"] + [("waited", wanted.settle_s)] * bool(wanted.settle_s)
    expected += [("low latency", True), "close"]
    assert did == expected


def test_the_page_shows_each_profile_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
    word = {True: "high", False: "low", None: "as they come"}
    for name, found in PROFILES.items():
        one = found.settings
        lines = word[None] if one.dtr is None else f"{word[one.dtr]}, {word[one.rts]}"
        waits = f"{one.settle_s:g} s" if one.settle_s else ""
        assert f"| `{name}` | {lines} | {waits}{' ' * bool(waits)}|" in page


def test_a_profile_is_chosen_by_name(pair: tuple[int, str, int]) -> None:
    with pytest.raises(Incompatible, match="these are: plain, arduino"):
        firmware_bridge.connect(pair[1], profile="teensy")
    assert known_by("2fe3:0100:") == "cdc-acm"
    assert known_by("2fe30:0100:") == "plain"


def test_lines_are_set_before_the_port_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    import serial

    did: list[Any] = []

    class Handle:
        exclusive = False

        def __setattr__(self, name: str, value: Any) -> None:
            did.append((name, value))

        def open(self) -> None:
            did.append("open")
            raise serial.SerialException(13, "Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: Handle())
    with pytest.raises(PortError, match="not allowed; join the group"):
        open_port("/dev/tty" if Path("/dev/tty").exists() else "/dev/null")
    assert did == [("exclusive", True), ("dtr", False), ("rts", False), "open"]
    did.clear()
    with pytest.raises(PortError):
        open_port("/dev/null", Settings(dtr=None, rts=True))
    assert did == [("exclusive", True), ("rts", True), "open"]


def test_without_pyserial_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "serial":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtra, match=r"pip install 'edge-dx\[bridge\]'"):
        open_port("/dev/null")


# pyserial's client uses old names of the threading module, and on Python 3.10 it leaves its socket
# to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:set(Daemon|Name).. is deprecated:DeprecationWarning")
def test_a_port_of_another_machine() -> None:
    """pyserial's own rfc2217 server, as its example runs it, in front of a line of ours."""
    from serial import rfc2217

    near, far = socket.socketpair()
    stop = threading.Event()

    class Local:
        """What the server needs of the serial port in front of it."""

        name, baudrate, bytesize, parity, stopbits = "local", 9600, 8, "N", 1
        xonxoff = rtscts = dsrdtr = dtr = rts = break_condition = False
        cts = dsr = ri = cd = False

        def reset_input_buffer(self) -> None:
            pass

        reset_output_buffer = reset_input_buffer

    def serve(server: socket.socket) -> None:
        peer, _ = server.accept()
        peer.settimeout(0.02)
        near.settimeout(0.02)

        class Writer:
            def write(self, data: bytes) -> None:
                peer.sendall(data)

        manager: Any = rfc2217.PortManager(Local(), Writer())  # type: ignore[arg-type]  # stubs
        with peer:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    peer.sendall(b"".join(manager.escape(near.recv(1024))))
                with contextlib.suppress(TimeoutError):
                    near.sendall(b"".join(manager.filter(peer.recv(1024))))

    with socket.create_server(("127.0.0.1", 0)) as server, near, far:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        port = open_port(f"rfc2217://127.0.0.1:{server.getsockname()[1]}")
        far.sendall(b"\xff\0hello")
        assert read(port, 7) == b"\xff\0hello"
        port.write(b"\xff\0back")
        far.settimeout(LONG_S)
        got = b""
        while len(got) < 6:
            got += far.recv(100)
        assert got == b"\xff\0back"
        stop.set()
        thread.join(LONG_S)
        with pytest.raises(LinkLost):
            read_for_ever(port, talking=True)
        port.close()
        port.close()
