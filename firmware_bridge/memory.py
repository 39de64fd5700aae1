"""Two ends of a cable within this process: for the simulator, demonstrations and tests."""

from __future__ import annotations

import threading
import time

from firmware_bridge.errors import LinkLost, PortError

_ROOM = 65_536


class _Lane:
    """Bytes in one direction."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held = bytearray()
        self.closed = False


class MemoryPort:
    """One end; see `pair`."""

    def __init__(self, name: str, inward: _Lane, outward: _Lane, timeout_s: float) -> None:
        self._name = name
        self._in, self._out = inward, outward
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """What the other end wrote; see `Port.read`."""
        until = time.monotonic() + timeout_s
        lane = self._in
        with lane.changed:
            while not lane.held:
                if lane.closed:
                    raise LinkLost(f"{self._name}: the device hung up")
                left = until - time.monotonic()
                if left <= 0:
                    return b""
                lane.changed.wait(left)
            data = bytes(lane.held)
            lane.held.clear()
            lane.changed.notify_all()
            return data

    def write(self, data: bytes) -> None:
        """Waits for room as a real line does; see `Port.write`."""
        lane, at = self._out, 0
        with lane.changed:
            while at < len(data):
                room = lane.changed.wait_for(
                    lambda: lane.closed or len(lane.held) < _ROOM, self._timeout_s
                )
                if lane.closed:
                    raise LinkLost(f"{self._name}: the device is gone")
                if not room:
                    raise PortError(f"{self._name}: the device took no bytes")
                take = data[at : at + _ROOM - len(lane.held)]
                lane.held += take
                at += len(take)
                lane.changed.notify_all()

    def close(self) -> None:
        """Hangs up, for both ends."""
        for lane in (self._in, self._out):
            with lane.changed:
                lane.closed = True
                lane.changed.notify_all()


def pair(name: str = "memory", write_timeout_s: float = 2.0) -> tuple[MemoryPort, MemoryPort]:
    """The host's end and the device's end of one cable."""
    to_host, to_device = _Lane(), _Lane()
    return (
        MemoryPort(name, to_host, to_device, write_timeout_s),
        MemoryPort(f"{name} (device)", to_device, to_host, write_timeout_s),
    )
