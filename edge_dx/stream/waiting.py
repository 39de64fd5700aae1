"""Frames between the thread that grabs them and the model: bounded, in order, counted.

What happens to a frame that finds no room is said beforehand, never left to chance (the policies
of NVIDIA's Holoscan queues). Every frame that was received is in exactly one of the counters, at
any moment: received = processed + dropped + skipped + waiting.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

from edge_dx.errors import Overrun
from edge_dx.sources.frames import Frame

Drop = Literal["oldest", "newest", "fault"]
"""Who goes when there is no room: the one that waited longest, the one that arrives, or nobody:
then the stream stops with an error."""


@dataclass(frozen=True)
class Counters:
    """What became of the frames, at one moment.

    Attributes:
        received: given by the source.
        processed: answered, with whatever answer.
        dropped: never judged, because there was no room.
        refused: those of the dropped that were turned away as they arrived (policy `newest`).
        skipped: not asked about, because only every n-th frame is judged.
        waiting: not answered yet, the one that is with the model included.
        missed: lost before they came here, by jumps of the source's sequence number. They were
            never received.
    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    refused: int = 0
    skipped: int = 0
    waiting: int = 0
    missed: int = 0


@dataclass(frozen=True, eq=False)
class Arrival:
    """A frame as it came in, with how long its picture has not changed."""

    frame: Frame
    still_s: float = 0.0


class Waiting:
    """A queue with one thread at each end.

    Args:
        room: how many frames may wait, the one with the model not counted.
        drop: what happens when there is no room; None where the source can be made to wait.
        every: keep the frames whose sequence number is a multiple of this, skip the others.
    """

    def __init__(self, room: int, drop: Drop | None, every: int = 1) -> None:
        if room < 1 or every < 1:
            raise ValueError("room and every are at least 1")
        self._room = room
        self._drop = drop
        self._every = every
        self._queue: deque[Arrival] = deque()
        self._changed = threading.Condition()
        self._received = self._processed = self._dropped = self._refused = 0
        self._skipped = self._missed = self._in_hand = 0
        self._number: int | None = None
        self._heard_ns: int | None = None
        self._ended = self._closed = False
        self._error: BaseException | None = None

    # --- the end of the grabber ---

    def offer(self, arrival: Arrival) -> bool:
        """Takes a frame in; waits for room where the source can wait.

        Returns:
            Whether more frames are wanted.
        """
        frame = arrival.frame
        with self._changed:
            if self._drop is None and not frame.number % self._every:
                self._changed.wait_for(lambda: len(self._queue) < self._room or self._closed)
            if self._closed:
                return False
            self._received += 1
            self._heard_ns = frame.host_ns
            if self._number is not None and frame.number > self._number + 1:
                self._missed += frame.number - self._number - 1
            self._number = frame.number
            if frame.number % self._every:
                self._skipped += 1
                return True
            if len(self._queue) >= self._room:
                self._dropped += 1
                if self._drop == "fault":
                    self._fault()
                    return False
                if self._drop == "newest":
                    self._refused += 1
                    return True
                self._queue.popleft()
            self._queue.append(arrival)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Says that no more frames come, and why if that is no ordinary end."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def _fault(self) -> None:
        self._ended = self._closed = True
        self._error = Overrun(
            f"frame {self._number} found no room: {len(self._queue)} frames wait already and the "
            "drop policy is fault; choose oldest or newest, judge every n-th frame, or take a "
            "faster engine"
        )
        self._changed.notify_all()

    # --- the end of the model ---

    def take(self, timeout_s: float | None = None) -> Arrival | None:
        """The next frame; None where none came in time or none will come (`over`).

        Raises:
            BaseException: what ended the source, once all frames before it were taken.
            Overrun: there was no room and the policy is `fault`; at once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended or self._closed, timeout_s)
            if self._queue and not self._closed:
                self._in_hand += 1
                found = self._queue.popleft()
                self._changed.notify_all()
                return found
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    def answered(self) -> None:
        """Says that a frame that was taken has its answer."""
        with self._changed:
            self._in_hand -= 1
            self._processed += 1

    def close(self) -> None:
        """Wants no more frames; wakes whoever waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # --- both ---

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing more comes."""
        with self._changed:
            return self._closed or (self._ended and not self._queue)

    @property
    def heard_ns(self) -> int | None:
        """When the last frame arrived, whatever became of it; None before the first."""
        with self._changed:
            return self._heard_ns

    @property
    def counters(self) -> Counters:
        """What became of the frames so far."""
        with self._changed:
            return Counters(
                received=self._received,
                processed=self._processed,
                dropped=self._dropped,
                refused=self._refused,
                skipped=self._skipped,
                waiting=len(self._queue) + self._in_hand,
                missed=self._missed,
            )
