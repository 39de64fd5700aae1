"""Frames in time, whatever they come from: the value, and what a source of them promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_dx.image import Pixels
from edge_dx.sources.study import Study

Clock = Callable[[], int]
"""Nanoseconds of a monotonic clock."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a stream.

    The two times are of two clocks that nobody has set to each other; they are never subtracted.

    Attributes:
        pixels: `(H, W)`, or `(H, W, 3)` RGB.
        number: the source's own sequence number. A jump is a loss on the way here.
        device_time_s: when the source says that it was taken: seconds of the source's clock, or
            from a clip's first frame. None where it does not say, or says nonsense.
        host_ns: when it arrived here, in nanoseconds of this machine's monotonic clock.
    """

    pixels: Pixels = field(repr=False)
    number: int
    device_time_s: float | None
    host_ns: int


class FrameSource(Protocol):
    """Where frames come from. Handed to one stream, which closes it."""

    @property
    def name(self) -> str:
        """What a person calls it, for messages."""

    @property
    def path(self) -> Path | None:
        """The file, if it is one."""

    @property
    def live(self) -> bool:
        """Whether frames come in their own time and are lost if nobody takes them.

        A source that is not live waits for whoever reads it.
        """

    @property
    def expected(self) -> int | None:
        """How many frames it says it has, where it says so."""

    def frames(self) -> Iterator[Frame | None]:
        """The frames in order, once; None where one did not come and the next one may.

        Raises:
            InputError: the source is damaged, or gone.
        """

    def study(self, frame: Frame) -> Study:
        """A frame with what is known about it, as a study of one image."""

    def close(self) -> None:
        """Lets go of the file or device; once is enough, twice does no harm."""


class Cine:
    """The frames of a study that has several, for example an ultrasound cine in DICOM."""

    live = False

    def __init__(self, study: Study, *, clock_ns: Clock = time.monotonic_ns) -> None:
        self._study = study
        self._clock_ns = clock_ns
        self.path = study.path
        self.name = str(study.path or "cine")
        self.expected: int | None = study.frames

    def frames(self) -> Iterator[Frame | None]:
        """Decodes one frame at a time; see `FrameSource`."""
        starts = self._study.frame_starts_ms
        for number, pixels in enumerate(self._study.each()):
            at_s = starts[number] / 1000 if starts and number < len(starts) else None
            yield Frame(pixels, number, at_s, self._clock_ns())

    def study(self, frame: Frame) -> Study:
        """The frame with all that the study's header says."""
        return replace(
            self._study, frames=1, frame_starts_ms=None, decode=lambda _: frame.pixels,
            shape=(frame.pixels.shape[0], frame.pixels.shape[1]),
        )  # fmt: skip

    def close(self) -> None:
        """A study holds nothing open."""


class DeviceTime:
    """Takes a source's time stamps at their word only as long as they go forward.

    Drivers give zero where they know nothing, and decoders give it for the last frames they hold.
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def read(self, stamp_s: float) -> float | None:
        """The stamp, or None where it is no time or not after the last one."""
        if not np.isfinite(stamp_s) or (self._last is not None and stamp_s <= self._last):
            return None
        self._last = stamp_s
        return stamp_s


def grey_or_rgb(image: Pixels) -> Pixels:
    """What OpenCV decoded, `(H, W[, 1])` or `(H, W, 3)` BGR, as this project holds pixels.

    A picture of three equal channels is a grey one, as in `sources/files.py`.
    """
    import cv2

    if image.ndim == 2 or image.shape[2] == 1:
        return np.ascontiguousarray(image.reshape(image.shape[:2]))
    few = image[:: max(1, image.shape[0] // 16)]  # tells most colour pictures at once
    if (few[..., 0] == few[..., 1]).all():
        blue, green, red = cv2.split(image)
        if np.array_equal(blue, green) and np.array_equal(green, red):
            return np.asarray(green)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
