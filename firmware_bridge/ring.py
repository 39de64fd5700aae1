"""Between the thread that reads the port and whoever uses what came: bounded, and never silent.

`block` makes the port's reader wait, and through it the device: for files, where nothing may be
missing. `drop` throws away the oldest and counts it: for live use, where the newest matters.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
OnFull = Literal["block", "drop"]


class Ring(Generic[Item]):
    """A queue with one thread at each end.

    Args:
        room: how many items may wait.
        on_full: what happens to one that finds no room.
        joined: of an item that was dropped and the one that follows it, what to keep of both.
    """

    def __init__(
        self,
        room: int,
        on_full: OnFull,
        joined: Callable[[Item, Item], Item] | None = None,
    ) -> None:
        if room < 1:
            raise ValueError("a ring has room for at least one")
        if on_full not in ("block", "drop"):
            raise ValueError(f"on_full is block or drop, not {on_full!r}")
        self._room = room
        self._block = on_full == "block"
        self._joined = joined
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._ended = False
        self._error: BaseException | None = None

    @property
    def dropped(self) -> int:
        """Items that found no room, or had to make it."""
        return self._dropped

    @property
    def waits(self) -> bool:
        """It is full, and whoever puts waits for whoever takes."""
        return self._block and len(self._items) >= self._room and not self._ended

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Adds an item; whether anyone will still take it."""
        with self._changed:
            if self._block:
                self._changed.wait_for(lambda: len(self._items) < self._room or self._ended)
            if self._ended:
                return False
            self._items.append(item)
            if len(self._items) > self._room:
                dropped = self._items.popleft()
                self._dropped += 1
                if self._joined is not None:
                    self._items[0] = self._joined(dropped, self._items[0])
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The oldest item; None at the end, or when `timeout_s` has passed.

        Raises:
            BaseException: the error that `end` was given, once everything before it was taken.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    return None
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def ended(self) -> bool:
        """No more items will come, and all were taken."""
        with self._changed:
            return self._ended and not self._items

    def end(self, error: BaseException | None = None) -> None:
        """Says that no more items come, and why if that is no ordinary end."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()
