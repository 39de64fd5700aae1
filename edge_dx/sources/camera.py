"""Cameras and frame grabbers through OpenCV: V4L2 devices, and GStreamer where it is built in.

A grabber that is asked for a frame may wait ten seconds for it and then say that there is none.
That is not the end of it: a probe was unplugged, a screen went to sleep. So the device is opened
again a few times before it counts as lost. Meanwhile whoever watches the stream is told that its
picture is stale (`edge_dx.stream`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import NotFound, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources import from_array
from edge_dx.sources.frames import Clock, DeviceTime, Frame, grey_or_rgb
from edge_dx.sources.study import Study
from edge_dx.sources.video import MAX_VIDEO_PIXELS, quiet

REOPENED_AT_MOST = 3
"""Failures in a row after which a camera is lost; each may have taken the driver ten seconds."""


class Camera:
    """A live source of frames.

    OpenCV does not hand on the driver's own sequence number, so frames are numbered as they come
    out of it; what the driver lost before shows in the device time alone.

    Attributes:
        name: what a person calls it.
        device: the device file, or None for a pipeline.
    """

    live = True
    path = None
    expected: int | None = None

    def __init__(
        self,
        which: int | str,
        *,
        size: tuple[int, int] | None = None,
        clock_ns: Clock = time.monotonic_ns,
        capture: Callable[[], Any] | None = None,
    ) -> None:
        """Opens a camera.

        Args:
            which: its number, a device file (`/dev/video0`), or a GStreamer pipeline that ends in
                `appsink`.
            size: (width, height) to ask the device for; a picture of another size is an error.
                Where None it is what OpenCV asks of V4L2 devices, 640 × 480, or what the pipeline
                gives.
            clock_ns: the monotonic clock that stamps arrivals.
            capture: opens what gives the pictures, with the methods of `cv2.VideoCapture`; for
                grabbers that OpenCV does not know, and for tests.

        Raises:
            NotFound: there is no such device.
            UnsupportedInput: a pipeline, and this OpenCV was built without GStreamer.
            UnreadableInput: the device cannot be opened.
        """
        which = int(which) if isinstance(which, str) and which.isdecimal() else which
        self.name = f"camera {which}"
        self.device: Path | None = None
        if isinstance(which, int) or "!" not in which:
            self.device = Path(f"/dev/video{which}" if isinstance(which, int) else which)
        self._clock_ns = clock_ns
        self._size = size
        self._open = capture or (
            lambda: _device(self.device, size) if self.device else _pipeline(which)
        )
        self._capture: Any = self._opened()

    def frames(self) -> Iterator[Frame | None]:
        """The pictures as they come, without end; see `FrameSource`.

        Raises:
            UnreadableInput: the camera was unplugged, or gives nothing any more.
            UnsupportedInput: its pictures are too large, or change their size.
        """
        times, number, failures = DeviceTime(), 0, 0
        shape: tuple[int, int] | None = None
        while True:
            found, image = self._read()
            host_ns = self._clock_ns()
            if not found:
                failures += 1
                self._again(number, failures)
                yield None
                continue
            failures = 0
            shape = self._checked(image, shape)
            yield Frame(grey_or_rgb(image), number, times.read(self._stamp_s()), host_ns)
            number += 1

    def study(self, frame: Frame) -> Study:
        """A frame as a study of one image; its digest is that of the pixels."""
        height, width = frame.pixels.shape[:2]
        told = (f"camera picture of {width} × {height}: bright is dense", "modality not stated")
        return replace(from_array(frame.pixels), assumed=told)

    def close(self) -> None:
        """Lets go of the device."""
        self._capture.release()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _checked(self, image: Pixels, before: tuple[int, int] | None) -> tuple[int, int]:
        """(height, width) of a picture, if it is one that is read."""
        height, width = shape = image.shape[:2]
        here = f"{width} × {height} pixels"
        wrong, reason = "", "format"
        if image.dtype != np.uint8:
            wrong = f"gives {image.dtype} pixels; set it to an 8 bit format"
        elif before is not None and shape != before:
            wrong = f"changed from {before[1]} × {before[0]} to {here}; start again"
        elif height * width > MAX_VIDEO_PIXELS:
            wrong = f"{here} are more than the {MAX_VIDEO_PIXELS} that are read; ask for less"
            reason = "too_large"
        elif self._size is not None and (width, height) != self._size:
            wrong = (
                f"gives {here} where {self._size[0]} × {self._size[1]} were asked for; "
                "v4l2-ctl --list-formats-ext lists what it can"
            )
        if wrong:
            raise UnsupportedInput(f"{self.name}: {wrong}", reason)
        return shape

    def _again(self, number: int, failures: int) -> None:
        """Opens the device anew, unless it is gone or has been tried often enough."""
        gone = self.device is not None and not self.device.exists()
        if gone or failures > REOPENED_AT_MOST:
            told = "was unplugged" if gone else "gives no pictures any more"
            raise UnreadableInput(
                f"{self.name}: {told} after frame {number - 1}; check the cable and start again"
                if number
                else f"{self.name}: gives no pictures; check its cable and its signal",
                "unreadable",
            )
        self._capture.release()
        self._capture = self._opened()

    def _opened(self) -> Any:
        with quiet():
            capture = self._open()
        if not capture.isOpened():
            capture.release()
            raise UnreadableInput(
                f"{self.name}: cannot be opened; it may be in use by another program, or be no "
                "camera", "unreadable"
            )  # fmt: skip
        return capture

    def _read(self) -> tuple[bool, Any]:
        import cv2

        try:
            with quiet():
                found, image = self._capture.read()
        except cv2.error:  # some back ends raise where others say no
            return False, None
        return found, image

    def _stamp_s(self) -> float:
        import cv2

        # Drivers that know no time give zero or less, for ever.
        stamp_s: float = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return stamp_s if stamp_s > 0 else float("nan")


def _device(path: Path, size: tuple[int, int] | None) -> Any:
    import cv2

    if not path.exists():
        here = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
        raise NotFound(f"camera {path}: no such device; here are: {here}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise UnreadableInput(
            f"camera {path}: no permission; add the user to the group of the device (often video)",
            "unreadable",
        )
    asked = [cv2.CAP_PROP_FRAME_WIDTH, size[0], cv2.CAP_PROP_FRAME_HEIGHT, size[1]] if size else []
    return cv2.VideoCapture(str(path), cv2.CAP_V4L2, asked)


def _pipeline(told: int | str) -> Any:
    import cv2

    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise UnsupportedInput(
            f"camera {told}: this OpenCV was built without GStreamer, as those from PyPI are; use "
            "the system's (python3-opencv), or a /dev/video device", "format"
        )  # fmt: skip
    return cv2.VideoCapture(str(told), cv2.CAP_GSTREAMER)
