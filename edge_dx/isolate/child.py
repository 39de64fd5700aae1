"""The helper: reads one file at a time, for a process that does not want to be killed by it.

It limits itself before it looks at anything, answers on the pipe that was its standard output, and
ends when its standard input is closed.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edge_dx import sources
from edge_dx.errors import EdgeDxError, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.isolate import wire
from edge_dx.sources import video
from edge_dx.sources.dicom import apart
from edge_dx.sources.frames import Frame
from edge_dx.sources.study import Study

OPEN_FILES = 64
"""The pipes, a file that is read, and what Python opens while it imports."""
Answer = tuple[wire.Message, bytes | memoryview]


def serve(memory_bytes: int) -> None:
    """Answers requests until there are no more.

    Args:
        memory_bytes: address space that may be taken beyond what the readers themselves take.
    """
    with os.fdopen(os.dup(1), "wb", buffering=0) as out:
        os.dup2(2, 1)  # what a library prints is no answer
        _import_readers()
        _limit(memory_bytes)
        warnings.simplefilter("ignore")
        _send(out, 0, {"ready": True}, b"")
        helper = _Helper()
        while head := sys.stdin.buffer.read(wire.HEAD.size):
            number, length, _ = wire.HEAD.unpack(head)
            request = wire.parsed(sys.stdin.buffer.read(length))
            _allow_cpu(request["cpu_s"])
            told, payload = helper.answer(request)
            _send(out, number, told, payload)


def _import_readers() -> None:
    """While there are no limits yet, so that their own size is no part of what a file may take."""
    apart.in_here()
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    for name in ("pydicom.pixels.decoders", "PIL.JpegImagePlugin", "jpeg_ls", "openjpeg", "rle"):
        with contextlib.suppress(Exception):  # what is missing is told when a file needs it
            __import__(name)


def _limit(memory_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    for what, limit in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),  # a core dump would hold a patient's picture
    ):
        _, hard = resource.getrlimit(what)
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (lowest, lowest))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _allow_cpu(seconds: float) -> None:
    """Counts anew for each request; the kernel counts from the start of the process."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(spent.ru_utime + spent.ru_stime + seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or until < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def _send(out: BinaryIO, number: int, told: wire.Message, payload: bytes | memoryview) -> None:
    for part in (wire.packed(number, told, payload), payload):
        view = memoryview(part)
        while view:
            view = view[out.write(view) :]


class _Helper:
    """Keeps the file that was opened last, for the frames that are asked for after it."""

    def __init__(self) -> None:
        self._study: Study | None = None
        self._clip: video.Clip | None = None
        self._frames: Iterator[Frame | None] = iter(())
        self._requests: dict[str, Callable[[Path, wire.Message], Answer]] = {
            "study": self._open, "frame": self._frame,
            "clip": self._open_clip, "next": self._next,
        }  # fmt: skip

    def answer(self, request: wire.Message) -> Answer:
        """Does what a request says; every error is an answer."""
        path = Path(request["path"])
        try:
            return self._requests[request["do"]](path, request)
        except Exception as error:
            if ran_out(error):
                told = f"{path}: needs more memory than a file from outside is allowed"
                error = UnsupportedInput(told, "resource")
            if not isinstance(error, EdgeDxError):
                told = f"{path}: its reader broke down on it ({type(error).__name__}: {error})"
                error = UnreadableInput(told, "unreadable")
            return wire.told_of_error(error), b""

    def _open(self, path: Path, _: wire.Message) -> Answer:
        self._study = None  # its memory is let go of before the next is read
        self._study = sources.read(path)
        return wire.told_of_study(self._study)

    def _frame(self, path: Path, request: wire.Message) -> Answer:
        study = self._study
        if study is None or (study.path, study.digest) != (path, request["digest"]):
            self._open(path, request)
            study = self._study
            assert study is not None, "it was just opened"
            if study.digest != request["digest"]:
                told = f"{path}: was changed while it was read; read it again"
                raise UnreadableInput(told, "unreadable")
        pixels: Pixels = study.decode(request["number"])
        return wire.told_of_pixels(pixels)

    def _open_clip(self, path: Path, _: wire.Message) -> Answer:
        self._clip = clip = video.Clip(path)
        self._frames = clip.frames()
        facts = {
            "digest": clip.digest, "shape": clip.shape, "expected": clip.expected,
            "rate_hz": clip.rate_hz, "assumed": clip.assumed,
        }  # fmt: skip
        return {"clip": facts}, b""

    def _next(self, path: Path, _: wire.Message) -> Answer:
        if self._clip is None:
            raise UnreadableInput(f"{path}: its helper was lost between frames", "unreadable")
        frame = next(self._frames, None)
        if frame is None:
            return {"end": True}, b""
        told, payload = wire.told_of_pixels(frame.pixels)
        return {**told, "number": frame.number, "device_time_s": frame.device_time_s}, payload


def ran_out(error: BaseException | None) -> bool:
    """Whether somewhere behind an error there was no memory; decoders tell it in their own ways."""
    while error is not None:
        no_memory = getattr(error, "code", None) == -4 and type(error).__module__ == "cv2"
        if isinstance(error, MemoryError) or no_memory:
            return True
        error = error.__cause__ or error.__context__
    return False
