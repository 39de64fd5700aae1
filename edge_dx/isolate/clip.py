"""A video file whose frames a helper decodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from edge_dx.isolate import wire
from edge_dx.isolate.process import Helper, Limits
from edge_dx.sources.frames import Clock, Frame
from edge_dx.sources.study import Study

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    digest: str
    shape: tuple[int, int]
    expected: int | None
    rate_hz: float | None
    assumed: tuple[str, ...]


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    number: int
    device_time_s: float | None


class IsolatedClip:
    """A video file, read as `edge_dx.sources.video.Clip` reads it, in a helper of its own.

    Attributes:
        path: the file.
        name: the same for a person.
        expected: how many frames the file says it has, or None where it only guesses.
        shape: (height, width) of its frames in pixels.
        rate_hz: nominal frame rate, or None.
        digest: SHA-256 of the file's bytes.
    """

    live = False

    def __init__(self, path: Path, limits: Limits, *, clock_ns: Clock = time.monotonic_ns) -> None:
        """Opens and examines the file; decodes nothing yet.

        Raises:
            NotFound: no such file.
            InputError: as for `Clip`, or it takes too long, too much memory, or broke the helper.
        """
        self.path = path
        self.name = str(path)
        self._clock_ns = clock_ns
        self._helper = Helper(limits)
        try:
            answer, _ = self._asked("clip")
            facts = self._typed(answer.get("clip"), _Facts)
        except BaseException:
            self.close()
            raise
        self.digest, self.shape, self.expected = facts.digest, facts.shape, facts.expected
        self.rate_hz, self._assumed = facts.rate_hz, facts.assumed

    def frames(self) -> Iterator[Frame | None]:
        """The frames in order; see `FrameSource`.

        Raises:
            InputError: one is damaged, missing, or broke the helper.
        """
        while True:
            answer, payload = self._asked("next")
            host_ns = self._clock_ns()
            if answer == {"end": True}:
                return
            told = self._typed(answer, _Told)
            try:
                pixels = wire.pixels_of(answer, payload, self.shape)
            except wire.Garbled as error:
                raise self._helper.distrust(self.path, error) from None
            yield Frame(pixels, told.number, told.device_time_s, host_ns)

    def study(self, frame: Frame) -> Study:
        """A frame as a study of one image."""
        return Study(
            path=self.path,
            digest=self.digest,
            shape=(frame.pixels.shape[0], frame.pixels.shape[1]),
            decode=lambda _: frame.pixels,
            assumed=self._assumed,
        )

    def close(self) -> None:
        """Ends the helper."""
        self._helper.close()

    def __enter__(self) -> IsolatedClip:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _asked(self, what: str) -> tuple[wire.Message, bytearray]:
        answer, payload = self._helper.ask(self.path, {"do": what})
        if "error" in answer:
            try:
                raise wire.error_of(answer, self.path)
            except wire.Garbled as error:
                raise self._helper.distrust(self.path, error) from None
        return answer, payload

    def _typed(self, told: object, kind: type[_Struct]) -> _Struct:
        try:
            return msgspec.convert(told, kind)
        except msgspec.ValidationError as error:
            raise self._helper.distrust(self.path, wire.Garbled(str(error))) from None
