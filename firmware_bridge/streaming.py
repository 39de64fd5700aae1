"""A stream that is being read: an iterator of blocks with a bounded ring behind it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from firmware_bridge.blocks import Block, Picture, without
from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.ring import OnFull, Ring

_SHORTEST_PERIOD_NS = 20_000_000
"""Below it a host's scheduling would look like a silent device."""


def _without(dropped: Block | Picture, following: Block | Picture) -> Block | Picture:
    if isinstance(dropped, Block) and isinstance(following, Block):
        return without(dropped, following)
    assert isinstance(dropped, Picture)
    assert isinstance(following, Picture)
    return without(dropped, following)


class Stream:
    """Blocks or pictures as they come; a context manager that stops the stream.

    Args:
        info: what the device said of it.
        on_full: as of `Ring`.
        room: likewise.
        stop: tells the device that it is no longer wanted.

    Attributes:
        info: as given.
        heard_ns: when something of it came last.
        since_ns: since when it is wanted; what was read before belongs to nobody.
        period_ns: how often something should come.
    """

    def __init__(
        self, info: StreamInfo, on_full: OnFull, room: int, stop: Callable[[StreamInfo], None]
    ) -> None:
        self.info = info
        self.heard_ns = self.since_ns = 0
        self.period_ns = max(int(info.per_message / info.rate_hz * 10**9), _SHORTEST_PERIOD_NS)
        self._stop = stop
        self._ring: Ring[Block | Picture] = Ring(room, on_full, _without)

    @property
    def dropped(self) -> int:
        """Blocks that found no room here; the gaps of those that follow tell them."""
        return self._ring.dropped

    @property
    def waits(self) -> bool:
        """The port's reader waits until some of it is taken; nothing else is read meanwhile."""
        return self._ring.waits

    @property
    def ended(self) -> bool:
        """No more will come, and all that came was taken."""
        return self._ring.ended

    def get(self, timeout_s: float | None = None) -> Block | Picture | None:
        """The next one; None where the stream ended, or `timeout_s` has passed.

        Raises:
            LinkLost: the device is gone and is not looked for.
            Incompatible: another device came back.
        """
        return self._ring.get(timeout_s)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Block | Picture:
        item = self._ring.get()
        if item is None:
            raise StopIteration
        return item

    def touch(self, now_ns: int) -> None:
        """Says that something of it came."""
        self.heard_ns = now_ns

    def put(self, item: Block | Picture) -> None:
        """Adds what came."""
        self._ring.put(item)

    def end(self, error: BaseException | None = None) -> None:
        """No more will come, and why."""
        self._ring.end(error)

    def close(self) -> None:
        """Stops it at the device, which then says what was lost at the end; what came stays."""
        self._ring.end()  # first, so that the reader of the port waits for nobody
        self._stop(self.info)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
