"""Files from outside, read in a process that can be lost.

Decoders are large, written in C, and fed with bytes that anybody may have written. So a `Reader`
hands the reading of a file, header and pixels, to a helper process whose memory, processor time,
open files and wall-clock time are limited, that can write no file and leaves no core dump. What
comes back is checked like any other input (`wire.py`). A helper that dies takes one file with it,
which gets a typed error; the next file gets a new helper.

It bounds what a file can cost and keeps a crash away from the process that serves others. It is no
sandbox: a decoder that is taken over can still read what this user can read and use the network.
`docs/hostile-input.md` says what else is needed against that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_dx import sources
from edge_dx.errors import UnreadableInput
from edge_dx.image import Pixels
from edge_dx.isolate import wire
from edge_dx.isolate.clip import IsolatedClip
from edge_dx.isolate.process import Helper, Limits
from edge_dx.sources import Study, video
from edge_dx.sources.frames import Cine, FrameSource

__all__ = ["IsolatedClip", "Limits", "Reader"]


class Reader:
    """Reads files through a helper; what is already in memory is read here.

    Safe to share between threads; they take turns. Its studies decode through it, also after
    `close`, which only ends the helper of the moment.

    Attributes:
        limits: of a file.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        """Starts nothing yet.

        Raises:
            NotIsolated: this system is not Linux.
        """
        self.limits = limits
        self._helper = Helper(limits)

    @property
    def pid(self) -> int | None:
        """Of the helper that runs now."""
        return self._helper.pid

    def read(self, source: Any) -> Study:
        """Opens a study as `edge_dx.sources.read` does, with the same errors and these.

        Raises:
            InputError: also where reading it takes too long (reason `timeout`) or too much memory
                (`resource`), or broke the helper (`unreadable`).
            NotIsolated: the helper does not start.
        """
        if not isinstance(source, (str, Path)):
            return sources.read(source)
        path = Path(source)
        if "\0" in str(path):
            raise UnreadableInput(f"{path}: cannot be read (a null byte in its name)", "unreadable")
        answer, payload = self._helper.ask(path, {"do": "study"})
        try:
            if "error" in answer:
                raise wire.error_of(answer, path)
            frames = _Frames(self._helper, path)
            study = wire.study_of(answer, payload, path, frames)
        except wire.Garbled as error:
            raise self._helper.distrust(path, error) from None
        frames.shape, frames.digest = study.shape, study.digest
        return study

    def frames(self, source: str | Path) -> FrameSource:
        """The frames of a video file or cine, one at a time; a video gets a helper of its own.

        Raises:
            NotFound: no such file.
            InputError: as for `read`.
        """
        path = Path(source)
        if video.looks_like_video(path):
            return IsolatedClip(path, self.limits)
        return Cine(self.read(path))

    def close(self) -> None:
        """Ends the helper. The next file starts another."""
        self._helper.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class _Frames:
    """The frames of one file by their number; a helper that forgot the file opens it again."""

    def __init__(self, helper: Helper, path: Path) -> None:
        self._helper = helper
        self._path = path
        self.shape = (0, 0)
        self.digest = ""

    def __call__(self, number: int) -> Pixels:
        request = {"do": "frame", "digest": self.digest, "number": number}
        answer, payload = self._helper.ask(self._path, request)
        try:
            if "error" in answer:
                raise wire.error_of(answer, self._path)
            return wire.pixels_of(answer, payload, self.shape)
        except wire.Garbled as error:
            raise self._helper.distrust(self._path, error) from None
