"""What a port is, and a port on any file descriptor: serial lines, ptys and sockets.

The reader wakes when bytes arrive and when the other side hangs up, takes all there is at once, and
burns no time in between.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

from firmware_bridge.errors import LinkLost, PortError

_AT_ONCE = 65_536
_POLL_S = 0.05


class Port(Protocol):
    """What a link needs of a port. One thread reads, any may write."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, as soon as something has; empty after `timeout_s` without anything.

        Raises:
            LinkLost: the other side is gone.
        """

    def write(self, data: bytes) -> None:
        """Sends all of it, not mixed with what another thread sends.

        Raises:
            LinkLost: the other side is gone.
            PortError: the other side takes no more bytes.
        """

    def close(self) -> None:
        """Lets go of it; more than once does no harm. A read that waits ends at once."""


Opener = Callable[[], Port]
"""Opens the same device, also again after it was lost."""


class DescriptorPort:
    """A port on a file descriptor, which it makes non-blocking.

    Args:
        name: what a person calls it.
        descriptor: open for reading and writing.
        close: lets go of it.
        write_timeout_s: how long the other side may take no bytes.
    """

    def __init__(
        self,
        name: str,
        descriptor: int,
        close: Callable[[], None],
        write_timeout_s: float = 2.0,
    ) -> None:
        self._name = name
        self._close = close
        self._timeout_s = write_timeout_s
        self._fd = descriptor
        self._closing = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._incoming, self._outgoing = select.poll(), select.poll()
        self._incoming.register(self._fd, select.POLLIN)
        self._incoming.register(self._wake_read, select.POLLIN)
        self._outgoing.register(self._fd, select.POLLOUT)
        os.set_blocking(self._fd, False)

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; see `Port.read`."""
        with self._reading:
            if self._closing.is_set():
                raise LinkLost(f"{self._name}: closed")
            try:
                ready = [fd for fd, _ in self._incoming.poll(timeout_s * 1000)]
                if self._fd not in ready:
                    return b""
                data = os.read(self._fd, _AT_ONCE)
            except BlockingIOError:
                return b""
            except (OSError, ValueError) as error:
                raise LinkLost(f"{self._name}: the device is gone ({error})") from error
        if not data:
            raise LinkLost(f"{self._name}: the device hung up")
        return data

    def write(self, data: bytes) -> None:
        """Sends all of it; see `Port.write`."""
        with self._writing:
            until, left = time.monotonic() + self._timeout_s, memoryview(data)
            while left:
                if self._closing.is_set():
                    raise LinkLost(f"{self._name}: closed")
                try:
                    if self._outgoing.poll(_POLL_S * 1000):
                        left = left[os.write(self._fd, left) :]
                        continue
                except BlockingIOError:
                    pass
                except (OSError, ValueError) as error:
                    raise LinkLost(f"{self._name}: the device is gone ({error})") from error
                if time.monotonic() > until:
                    raise PortError(
                        f"{self._name}: the device took no bytes for {self._timeout_s:g} s"
                    )

    def close(self) -> None:
        """Lets go of it; see `Port.close`."""
        if self._closing.is_set():
            return
        self._closing.set()
        os.write(self._wake_write, b"x")
        with self._reading, self._writing:  # nobody uses the descriptor any more
            with contextlib.suppress(OSError):
                self._close()
            os.close(self._wake_read)
            os.close(self._wake_write)
