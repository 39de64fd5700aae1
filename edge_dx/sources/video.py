"""Video files, frame by frame in constant memory, through OpenCV's FFmpeg.

OpenCV ends a clip in the same way whether it is over, damaged or lost: `read` gives nothing. So the
container is examined first (`containers.py`), frames are counted against what it says, and after
the last one the decoder is asked again: where it goes on, a frame in the middle was damaged. What
FFmpeg mends inside a picture it mends without a word, and that cannot be seen from here.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import InputError, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources import containers
from edge_dx.sources.frames import Clock, DeviceTime, Frame, grey_or_rgb
from edge_dx.sources.limits import MAX_CINE_BYTES, MAX_FRAMES
from edge_dx.sources.study import Study

SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".vob",
            ".ts", ".m2ts"}  # fmt: skip
"""Names of video files; what they are is decided by their bytes."""
MAX_VIDEO_PIXELS = 4096 * 2304
"""Larger frames are refused before one is decoded. Those of 4K grabbers fit; several are held."""
_ASKED_AGAIN = 32
"""Reads after the first that gave nothing; as many damaged frames in a row are seen as such."""


def looks_like_video(path: Path) -> bool:
    """By its first bytes, or by its name where they say nothing: a broken video is a video."""
    try:
        with path.open("rb") as file:
            head = file.read(containers.HEAD_BYTES)
    except (OSError, ValueError):  # ValueError: a null byte in the path
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    return containers.kind_of(head) is not None


class Clip:
    """A video file.

    Attributes:
        path: the file.
        name: the same for a person.
        digest: SHA-256 of the file's bytes.
        container: what kind of file it is.
        shape: (height, width) of its frames in pixels.
        rate_hz: nominal frame rate, or None where the file does not say.
        expected: how many frames the file says it has, or None where it only guesses.
    """

    live = False

    def __init__(self, path: str | Path, *, clock_ns: Clock = time.monotonic_ns) -> None:
        """Opens and examines a file; decodes nothing yet.

        Raises:
            NotFound: no such file.
            UnreadableInput: empty, cut short, damaged.
            UnsupportedInput: no video, without pictures, in a coding that this OpenCV lacks, or
                too large.
        """
        self.path = Path(path)
        self.name = str(path)
        self._clock_ns = clock_ns
        self._file = _opened(self.path)
        try:
            with _named(self.name):
                self.container = containers.examine(self._file)
                self._capture = self._captured()
                self.shape, self.assumed = self._geometry()
                self.expected = self._expected()
            self.digest = _digest(self._file)
        except BaseException:
            self.close()
            raise
        rate = self._number("FPS")
        self.rate_hz = rate if np.isfinite(rate) and 0 < rate < 100_000 else None

    def frames(self) -> Iterator[Frame | None]:
        """Decodes the frames in order; see `FrameSource`.

        Raises:
            UnreadableInput: a frame is damaged, or frames are missing at the end.
            UnsupportedInput: the frames change their size.
        """
        times = DeviceTime()
        number = 0
        while (image := self._next(number)) is not None:
            host_ns = self._clock_ns()
            if number >= MAX_FRAMES:
                raise UnsupportedInput(
                    f"{self.name}: more than {MAX_FRAMES} frames; cut it into parts", "too_large"
                )
            if image.shape[:2] != self.shape:
                raise UnsupportedInput(
                    f"{self.name}: frame {number} is {_size(image.shape)} pixels and those before "
                    f"are {_size(self.shape)}; export each part as a file of its own", "format"
                )  # fmt: skip
            stamp = times.read(self._number("POS_MSEC") / 1000)
            yield Frame(grey_or_rgb(image), number, stamp, host_ns)
            number += 1
        if self.expected is not None and number < self.expected:
            raise UnreadableInput(
                f"{self.name}: ends after {number} of {self.expected} frames; the file is damaged, "
                "copy it again", "unreadable"
            )  # fmt: skip
        if not number:
            raise UnreadableInput(
                f"{self.name}: no frame can be decoded; the file is damaged, copy it again",
                "unreadable",
            )

    def study(self, frame: Frame) -> Study:
        """A frame as a study of one image. Its digest is the clip's; the number tells the rest."""
        return Study(
            path=self.path,
            digest=self.digest,
            shape=(frame.pixels.shape[0], frame.pixels.shape[1]),
            decode=lambda _: frame.pixels,
            assumed=self.assumed,
        )

    def close(self) -> None:
        """Closes the file and the decoder."""
        capture = getattr(self, "_capture", None)
        if capture is not None:
            capture.release()
        self._file.close()

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _captured(self) -> Any:
        import cv2

        # By its open handle: exactly the file that was examined, whatever its name looks like to
        # FFmpeg, which takes some names for addresses.
        handle = f"/proc/self/fd/{self._file.fileno()}"
        if not Path(handle).exists():
            handle = str(self.path.resolve())  # no /proc here; absolute names are no addresses
        with quiet():
            capture = cv2.VideoCapture(
                handle, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1, cv2.CAP_PROP_HW_ACCELERATION, 0]
            )
        if not capture.isOpened():
            raise UnsupportedInput(
                f"no pictures in this {self.container.kind} file can be decoded here: it is "
                "damaged, holds sound alone, or a coding that this OpenCV lacks; convert it to "
                "H.264 in MP4", "format"
            )  # fmt: skip
        return capture

    def _geometry(self) -> tuple[tuple[int, int], tuple[str, ...]]:
        height, width = int(self._number("FRAME_HEIGHT")), int(self._number("FRAME_WIDTH"))
        if height < 1 or width < 1:
            raise UnreadableInput("says that its frames have no pixels", "unreadable")
        if height * width > MAX_VIDEO_PIXELS:
            raise UnsupportedInput(
                f"frames of {width} × {height} pixels are more than the {MAX_VIDEO_PIXELS} that "
                "are read; export it smaller", "too_large"
            )  # fmt: skip
        assumed = ["video file: bright is dense", "modality not stated"]
        across, down = self._number("SAR_NUM"), self._number("SAR_DEN")
        if across > 0 and down > 0 and across != down:
            assumed.append(f"pixels taken as square; the video says {across:g}:{down:g}")
        return (height, width), tuple(assumed)

    def _expected(self) -> int | None:
        told = self._number("FRAME_COUNT")
        if not self.container.counts_frames or not np.isfinite(told) or told < 1:
            return None
        if told > MAX_FRAMES:
            raise UnsupportedInput(
                f"{told:.0f} frames are more than the {MAX_FRAMES} that are read; cut it into "
                "parts", "too_large"
            )  # fmt: skip
        return int(told)

    def _next(self, number: int) -> Pixels | None:
        """The next picture, or None where the clip is over."""
        found, image = self._read()
        if found:
            return np.asarray(image)
        # Where the decoder goes on after a gap, this was no end.
        for _ in range(_ASKED_AGAIN):
            if self._read()[0]:
                raise UnreadableInput(
                    f"{self.name}: frame {number} cannot be decoded; the file is damaged, copy it "
                    "again", "unreadable"
                )  # fmt: skip
        return None

    def _read(self) -> tuple[bool, Any]:
        import cv2

        try:
            with quiet():
                found, image = self._capture.read()
        except cv2.error as error:
            raise UnreadableInput(
                f"{self.name}: cannot be decoded ({error.err}); the file is damaged", "unreadable"
            ) from error
        return found, image

    def _number(self, name: str) -> float:
        import cv2

        found: float = self._capture.get(getattr(cv2, f"CAP_PROP_{name}"))
        return found


# The level is one for the process; several threads may have videos open.
_quieting = threading.Lock()
_quiet_for = 0
_loudness = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps OpenCV and FFmpeg from writing to standard error; what matters comes as an error."""
    import cv2

    global _quiet_for, _loudness
    log: Any = getattr(cv2.utils, "logging", cv2)  # it moved with OpenCV 5
    # Read once, when the first video of the process is opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with _quieting:
        if not _quiet_for:
            _loudness = log.getLogLevel()
            log.setLogLevel(0)  # silent
        _quiet_for += 1
    try:
        yield
    finally:
        with _quieting:
            _quiet_for -= 1
            if not _quiet_for:
                log.setLogLevel(_loudness)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except InputError as error:
        again = "; copy it again" if isinstance(error, UnreadableInput) else ""
        raise type(error)(f"{name}: {error}{again}", error.reason) from error.__cause__


def _opened(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():  # a named pipe would block for ever
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    if os.fstat(file.fileno()).st_size > MAX_CINE_BYTES:
        file.close()
        raise UnsupportedInput(f"{path}: larger than {MAX_CINE_BYTES} bytes", "too_large")
    return file


def _digest(file: Any) -> str:
    found = hashlib.sha256()
    file.seek(0)
    while part := file.read(2**20):
        found.update(part)
    return found.hexdigest()


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}"
