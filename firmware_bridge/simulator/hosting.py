"""Where a simulated device lives: a cable in memory, a TCP port, or a pty.

One thread moves bytes and time. At real pace the device's world runs with the clock; `fast` lets it
run as fast as the host reads, and times are then those of the simulated world.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Protocol

from firmware_bridge.descriptor import DescriptorPort, Opener, Port
from firmware_bridge.errors import LinkLost, PortError, PortMissing
from firmware_bridge.faults import BadPort, Plan
from firmware_bridge.memory import pair

_AT_ONCE = 4096
_IDLE_S = 0.02


class Living(Protocol):
    """What can be hosted: our device, and the doubles of others' devices."""

    @property
    def next_due_us(self) -> int | None:
        """When, in the world's time, it will have something to send; None: never."""

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""

    def advance(self, now_us: int) -> None:
        """Lets the device's world reach a moment."""

    def take(self, at_most: int | None = None) -> bytes:
        """What leaves now."""


class Simulator:
    """A device that a program can connect to; a context manager that ends it.

    Args:
        device: what lives.
        pace: `real` or `fast`.
        plan: of a bad cable to it; each connection begins it anew.
    """

    def __init__(
        self,
        device: Living,
        pace: Literal["real", "fast"] = "real",
        plan: Plan | None = None,
    ) -> None:
        self.device = device
        self._plan = plan
        self._fast = pace == "fast"
        self._patience_s = 3600.0 if self._fast else 2.0  # at full speed the host sets the pace
        self._world_us = 0
        self._since = time.monotonic()
        self._stop = threading.Event()
        self._plugged = threading.Event()
        self._plugged.set()
        self._device_lock = threading.Lock()
        self._ports: list[Port] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._held: list[int] = []

    # --- where it is ---

    def memory(self) -> Opener:
        """Opens a cable in memory to it."""

        def opener() -> Port:
            if self._stop.is_set() or not self._plugged.is_set():
                raise PortMissing("memory: the simulated device is unplugged")
            host, device = pair(write_timeout_s=self._patience_s)
            self._attach(device)
            return host

        return opener

    def tcp(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens, for one host at a time; the URL to open."""
        listener = socket.create_server((host, port))
        listener.settimeout(_IDLE_S)
        self._listener = listener
        self._thread(self._accept, listener)
        return f"socket://{host}:{listener.getsockname()[1]}"

    def pty(self) -> str:
        """Opens a pseudo terminal; the path of the host's end."""
        ours, theirs = pty.openpty()
        tty.setraw(ours)
        tty.setraw(theirs)
        self._held.append(theirs)  # kept open, so that ours does not hang up between two hosts
        path = os.ttyname(theirs)
        self._attach(DescriptorPort(path, ours, lambda: os.close(ours), self._patience_s))
        return path

    # --- what can happen to it ---

    def unplug(self) -> None:
        """The cable is pulled: every port ends, and none opens."""
        self._plugged.clear()
        ports, self._ports = self._ports, []
        for port in ports:
            port.close()
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def plug(self) -> None:
        """The cable is back: ports in memory and on TCP open again; a pty is a new one."""
        self._plugged.set()

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self.unplug()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- its thread ---

    def _thread(self, act: Callable[[Any], None], argument: object) -> None:
        thread = threading.Thread(target=act, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _attach(self, port: Port) -> None:
        self._ports.append(port)
        self._thread(self._live, port)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            try:
                found, _ = listener.accept()
            except (TimeoutError, OSError):
                continue
            if not self._plugged.is_set():
                found.close()
                continue
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = DescriptorPort("simulator", found.fileno(), found.close, self._patience_s)
            self._ports.append(port)
            self._live(port)

    def _now_us(self) -> int:
        if not self._fast:
            return int((time.monotonic() - self._since) * 1e6)
        due = self.device.next_due_us
        self._world_us = max(self._world_us, due or 0)
        return self._world_us

    def _live(self, port: Port) -> None:
        if self._plan is not None:
            port = BadPort(port, self._plan, turned=True)
        try:
            while not self._stop.is_set():
                with self._device_lock:
                    self.device.advance(self._now_us())
                    out = self.device.take(_AT_ONCE)
                    due = self.device.next_due_us
                if out:
                    with contextlib.suppress(PortError):  # the host reads nothing: they are lost
                        port.write(out)
                data = port.read(self._wait_s(bool(out), due))
                if data:
                    with self._device_lock:
                        self.device.advance(self._now_us())  # they came now
                        self.device.receive(data)
        except LinkLost:
            pass
        finally:
            port.close()

    def _wait_s(self, sent: bool, due_us: int | None) -> float:
        if sent or (self._fast and due_us is not None):
            return 0.0
        if due_us is None:
            return _IDLE_S
        return min(max(due_us / 1e6 - (time.monotonic() - self._since), 0.0), _IDLE_S)
