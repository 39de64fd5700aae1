"""Ports: bytes in and out of a device, and one error when it is gone. pyserial lives here alone.

A device file (`/dev/ttyACM0`, a pty) and `socket://host:port` are read with a loop of our own on
their file descriptor (`descriptor.py`), because pyserial's `in_waiting` is 0 or 1 on sockets and
its `is_open` stays true after a hang-up. `rfc2217://` has no descriptor and is read through it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firmware_bridge.descriptor import DescriptorPort, Opener, Port
from firmware_bridge.errors import LinkLost, MissingExtra, PortBusy, PortError, PortMissing
from firmware_bridge.profiles import PROFILES, Settings, known_by

__all__ = ["Found", "Settings", "open_port", "opener", "ports"]

_POLL_S = 0.05
_PLAIN = Settings()


@dataclass(frozen=True)
class Found:
    """A serial port of this machine.

    Attributes:
        path: to open it.
        told: what the system says it is.
        usb: vendor, product and serial number as `1209:0001:ABC`, or empty.
        interface: which of several ports of one USB device; empty where it has one.
    """

    path: str
    told: str
    usb: str
    interface: str = ""

    @property
    def profile(self) -> str:
        """The name of the profile that it is known to need, else `plain`."""
        return known_by(self.usb)


def ports() -> list[Found]:
    """The serial ports of this machine.

    Raises:
        MissingExtra: pyserial is not installed.
        PortError: they cannot be listed, as while a device is going away.
    """
    _pyserial("listing ports")
    from serial.tools import list_ports

    try:
        found = list_ports.comports()
    except (OSError, TypeError, ValueError) as error:  # what was listed is gone when it is read
        raise PortError(f"the serial ports cannot be listed ({error}); try again") from error
    return sorted(
        (Found(p.device, p.description or "", _usb(p), _interface(p)) for p in found),
        key=lambda one: one.path,
    )


def opener(
    target: str,
    settings: Settings | None = None,
    *,
    baud: int | None = None,
    listed: Callable[[], list[Found]] | None = None,
) -> Opener:
    """Opens a path or URL, and afterwards the same device wherever it turns up.

    A USB device that comes back under another path is known by its vendor, product and serial
    number, as long as it has one, and by which of its ports it was. Other paths, such as those of
    `/dev/serial/by-id`, are followed anew each time.

    Args:
        target: as of `open_port`.
        settings: how to open it; None: as the profile of the USB device says, else `plain`.
        baud: bits per second, whatever the settings say.
        listed: gives the ports of this machine; None for `ports`.
    """
    known: Found | None = None

    def reopen() -> Port:
        nonlocal known
        device_file = "://" not in target
        here = (listed or ports)() if device_file else []
        path = target
        if known is not None:
            # Whatever has the old path by now may be another device.
            at = [f for f in here if (f.usb, f.interface) == (known.usb, known.interface)]
            if not at:
                raise PortMissing(f"{target}: the device {known.usb} is not plugged in")
            path = at[0].path
        real = str(Path(path).resolve()) if device_file and "\0" not in path else path
        found = next((f for f in here if f.path in (path, real)), None)
        used = settings or PROFILES[found.profile if found else "plain"].settings
        port = open_port(path, used if baud is None else replace(used, baud=baud))
        if known is None and found is not None and found.usb:
            known = found
        return port

    return reopen


def open_port(target: str, settings: Settings = _PLAIN) -> Port:
    """Opens a device file, `socket://host:port` or `rfc2217://host:port`, for this program alone.

    Raises:
        PortMissing: no such port, or nobody listens there.
        PortBusy: another program has it.
        PortError: it cannot be opened for another reason.
        MissingExtra: pyserial is not installed.
    """
    serial = _pyserial(f"opening {target}")
    device_file = "://" not in target
    if device_file and not _is_character_device(target):
        raise PortMissing(f"{target}: no such serial port; `edge-dx-bridge list` shows those here")
    try:
        handle = serial.serial_for_url(
            target, do_not_open=True, baudrate=settings.baud, timeout=_POLL_S
        )
        if device_file:
            handle.exclusive = True
        for line, level in (("dtr", settings.dtr), ("rts", settings.rts)):
            # Before opening: the level must not change while the port opens.
            if level is not None:
                setattr(handle, line, level)
        handle.open()
    except (serial.SerialException, OSError, ValueError) as error:
        raise _not_opened(target, error) from error
    if settings.settle_s:
        time.sleep(settings.settle_s)
    if target.startswith("rfc2217://"):
        return _Rfc2217(target, handle)
    if device_file:
        _keep_for_us(handle)
    else:
        _without_delay(handle.fileno())
    return DescriptorPort(target, handle.fileno(), _closing(handle), settings.write_timeout_s)


def _pyserial(needed_for: str) -> Any:
    try:
        import serial
    except ImportError as error:
        raise MissingExtra("serial", needed_for) from error
    return serial


def _usb(port: Any) -> str:
    if port.vid is None or not port.serial_number:
        return ""
    return f"{port.vid:04x}:{port.pid:04x}:{port.serial_number}"


def _interface(port: Any) -> str:
    return str(port.location or "").partition(":")[2]


def _is_character_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def _not_opened(target: str, error: Exception) -> PortError:
    code = getattr(error, "errno", None)
    told = str(error).split(": ", 1)[-1]
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return PortBusy(
            f"{target}: another program has this port; close it there first (`fuser {target}` "
            "names it)"
        )
    if code == errno.EACCES:
        return PortError(f"{target}: not allowed; join the group that owns it (often `dialout`)")
    if "://" in target or code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return PortMissing(f"{target}: cannot be reached ({told})")
    return PortError(f"{target}: cannot be opened ({told})")


def _keep_for_us(handle: Any) -> None:
    """Locks out plain opens too, and asks the driver for low latency; as far as each is there."""
    import fcntl
    import termios

    with contextlib.suppress(OSError):
        fcntl.ioctl(handle.fileno(), termios.TIOCEXCL)
    with contextlib.suppress(OSError, ValueError, NotImplementedError, AttributeError):
        handle.set_low_latency_mode(True)


def _closing(handle: Any) -> Callable[[], None]:
    """Closes it for good: pyserial 3.5 keeps a socket open whose other side has hung up."""
    inner = getattr(handle, "_socket", None)

    def close() -> None:
        handle.close()
        if inner is not None:
            inner.close()

    return close


def _without_delay(descriptor: int) -> None:
    """Small requests leave at once; else each waits for the last one's acknowledgement."""
    with contextlib.suppress(OSError):
        held = socket.socket(fileno=os.dup(descriptor))
        try:
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        finally:
            held.close()


class _Rfc2217:
    """A port of another machine, by way of pyserial's own client."""

    def __init__(self, name: str, handle: Any) -> None:
        self._name = name
        self._handle = handle

    @property
    def name(self) -> str:
        return self._name

    def read(self, timeout_s: float) -> bytes:
        try:
            data: bytes = self._handle.read(1)  # waits as long as was set when it was opened
            more = self._handle.in_waiting if data else 0
            return data + (self._handle.read(more) if more else b"")
        except (OSError, TypeError, AttributeError) as error:  # SerialException is an OSError
            raise LinkLost(f"{self._name}: the device is gone ({error})") from error

    def write(self, data: bytes) -> None:
        try:
            self._handle.write(data)
        except (OSError, TypeError, AttributeError) as error:
            raise LinkLost(f"{self._name}: the device is gone ({error})") from error

    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._handle.close()
