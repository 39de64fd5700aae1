"""Frames in time through a model: a camera, a clip, a cine.

One thread grabs, the caller's thread judges, and between them stands a short queue that says what
becomes of frames that come too fast (`waiting.py`). An answer belongs to one frame. Where the
picture stands still or nothing comes, the stream says so as a result that was not analysed, again
and again: it never lets an old answer stand for a new picture.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from edge_dx.model import Model
from edge_dx.result import Reason, Result, Status, Why
from edge_dx.signal_model import SignalModel
from edge_dx.sources.frames import Clock, Frame, FrameSource
from edge_dx.sources.study import Study
from edge_dx.stream.latencies import Latencies
from edge_dx.stream.stillness import Stillness
from edge_dx.stream.unseen import without_answer
from edge_dx.stream.waiting import Arrival, Counters, Drop, Waiting

__all__ = ["Answer", "Counters", "Drop", "Latencies", "Rate", "Stream", "takes_frames"]

Rate = Literal["all", "realtime"]
"""How a file is played: every frame as soon as the model has time, or as it was recorded."""

STALE_S = 2.0
"""An answer may be this old before it says nothing about the patient any more."""
_CLOSING_S = 2.0
"""A driver that is asked for a frame cannot be interrupted; its thread lets go of it later."""
_BACK_OFF_S = (0.1, 0.5, 2.0)
"""Pauses after a source gave nothing, once, twice and more often in a row."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the stream says at one moment.

    Attributes:
        result: of the frame; or not analysed, because the picture is stale.
        frame: which frame it is about; None where none came.
        study: the frame as a study, likewise.
        latency_ms: from the frame's arrival here to its answer, the wait in the queue included.
    """

    result: Result
    frame: Frame | None = None
    study: Study | None = None
    latency_ms: float | None = None


class Stream:
    """Answers about the frames of a source, in their order.

    Iterate over it once, in one thread. Leaving the loop in whatever way, or `close`, ends the
    grabbing thread and closes the source.

    Attributes:
        source: where the frames come from.
        latencies: from arrival to answer, of the frames that were judged.
    """

    def __init__(
        self,
        model: Model,
        source: FrameSource,
        *,
        drop: Drop = "oldest",
        room: int = 2,
        stale_s: float = STALE_S,
        every: int = 1,
        rate: Rate = "all",
        clock_ns: Clock = time.monotonic_ns,
    ) -> None:
        """Prepares a stream; nothing is grabbed yet.

        Args:
            model: judges the frames.
            source: gives them; the stream closes it.
            drop: what becomes of frames that come faster than they are judged. A file that is
                played at rate `all` waits instead, and nothing is dropped.
            room: how many frames may wait for the model.
            stale_s: how long a picture may stand still, or be waited for, in seconds; of a file
                that is played at rate `all`, in the file's own time.
            every: judge the frames whose number is a multiple of this.
            rate: see `Rate`; a camera gives its own.
            clock_ns: the monotonic clock that stamped the frames.

        Raises:
            ValueError: a number that makes no sense.
            UnsupportedInput: the model judges signals.
        """
        if isinstance(model, SignalModel):
            model.refuse()
        if not stale_s > 0:
            raise ValueError(f"stale_s is more than 0, not {stale_s}")
        self.source = source
        self.latencies = Latencies()
        self._model = model
        self._live = source.live or rate == "realtime"
        self._paced = not source.live and rate == "realtime"
        self._waiting = Waiting(room, drop if self._live else None, every)
        self._stale_s = stale_s
        self._clock_ns = clock_ns
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Answer]:
        """Answers until the source ends or the caller has enough.

        Raises:
            InputError: the source is damaged or gone, after the answers to all before that.
            Overrun: the drop policy is `fault` and a frame found no room.
            TensorMismatch: the frames do not fit the model.
        """
        if self._thread is not None or self._stopping.is_set():
            raise RuntimeError("a stream is read once; open the source anew")
        if not takes_frames(self._model):
            self.close()
            many = self.source.expected or "many"
            yield self._unseen(Reason.FRAMES, f"{many} frames; this model judges single images")
            return
        self._thread = threading.Thread(target=self._grab, name="edge_dx-grab", daemon=True)
        self._thread.start()
        try:
            yield from self._answers()
        finally:
            self.close()

    @property
    def counters(self) -> Counters:
        """What became of the frames so far."""
        return self._waiting.counters

    def close(self) -> None:
        """Ends the stream: no thread is left and the source is closed."""
        self._stopping.set()
        self._waiting.close()
        if self._thread is None:
            self.source.close()
        else:
            self._thread.join(_CLOSING_S)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # --- the thread that grabs ---

    def _grab(self) -> None:
        stillness, misses = Stillness(), 0
        first_s, started_ns = None, self._clock_ns()
        try:
            for frame in self.source.frames():
                if self._stopping.is_set():
                    return
                if frame is None:
                    self._stopping.wait(_BACK_OFF_S[min(misses, len(_BACK_OFF_S) - 1)])
                    misses += 1
                    continue
                misses = 0
                if self._paced and frame.device_time_s is not None:
                    first_s = frame.device_time_s if first_s is None else first_s
                    due_ns = started_ns + int((frame.device_time_s - first_s) * 1e9)
                    self._stopping.wait(max(0, due_ns - self._clock_ns()) / 1e9)
                    frame = replace(frame, host_ns=self._clock_ns())
                at_s = frame.host_ns / 1e9 if self._live else frame.device_time_s
                if not self._waiting.offer(Arrival(frame, stillness.of(frame.pixels, at_s))):
                    return
            self._waiting.end()
        except BaseException as error:  # told in the caller's thread, where somebody reads it
            self._waiting.end(error)
        finally:
            self.source.close()

    # --- the caller's thread ---

    def _answers(self) -> Iterator[Answer]:
        started_ns = told_ns = self._clock_ns()
        while True:
            arrival = self._waiting.take(self._patience_s(told_ns))
            if arrival is not None:
                answer = self._judged(arrival)
                self._waiting.answered()
                told_ns = self._clock_ns()
                yield answer
            elif self._waiting.over:
                return
            elif self._patience_s(told_ns) == 0:  # or a frame came and was not kept
                told_ns = self._clock_ns()
                heard_ns = self._waiting.heard_ns
                silent_s = (told_ns - (started_ns if heard_ns is None else heard_ns)) / 1e9
                yield self._stale(f"no frame came for {silent_s:.1f} s")

    def _patience_s(self, told_ns: int) -> float | None:
        """Seconds until the silence has to be told; None where nobody minds."""
        if not self._live:
            return None
        heard_ns = self._waiting.heard_ns
        since_ns = told_ns if heard_ns is None else max(told_ns, heard_ns)
        return max(0.0, self._stale_s - (self._clock_ns() - since_ns) / 1e9)

    def _judged(self, arrival: Arrival) -> Answer:
        frame = arrival.frame
        waited_s = (self._clock_ns() - frame.host_ns) / 1e9
        if arrival.still_s > self._stale_s:
            told = f"the picture has not changed for {arrival.still_s:.1f} s"
            return self._stale(told, frame)
        if self._live and waited_s > self._stale_s:
            return self._stale(f"the frame waited {waited_s:.1f} s to be judged", frame)
        study = self.source.study(frame)
        result = self._model(study)
        latency_ms = (self._clock_ns() - frame.host_ns) / 1e6
        self.latencies.add(latency_ms)
        return Answer(result, frame, study, latency_ms)

    def _stale(self, told: str, frame: Frame | None = None) -> Answer:
        told += "; check probe, cable and the machine's freeze key"
        return self._unseen(Reason.STALE_FRAME, told, frame)

    def _unseen(self, reason: Reason, told: str, frame: Frame | None = None) -> Answer:
        file = str(self.source.path) if self.source.path is not None else None
        why = Why(reason, told)
        return Answer(without_answer(self._model, Status.NOT_ANALYSED, why, file), frame)


def takes_frames(model: Model) -> bool:
    """Whether the model was made to judge each frame of a moving picture."""
    return model.bundle.manifest.eligibility.frames == "each"
