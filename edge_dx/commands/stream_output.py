"""What `edge-dx stream` writes beside its lines: annotations, a saved state, a report."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge_dx.ec57.marks import annotated
from edge_dx.ecg.events import Alarm, Beat, Judging, Rhythm, StreamEvent
from edge_dx.ecg.state import StreamState
from edge_dx.ecg.stream import SignalStream, StreamInfo
from edge_dx.errors import NotFound, TensorMismatch
from edge_dx.signal import Gap, LeadOff, Quality, Samples, Warmup
from edge_dx.wfdb import write_annotations

ANNOTATOR = "edge"
"""Extension of the annotation files."""
_RHYTHMS = {"AF": "(AFIB"}


class Output(Protocol):
    """Takes what comes by, and writes it in the end."""

    def samples(self, samples: Samples) -> None:
        """Samples that were judged."""

    def event(self, event: StreamEvent) -> None:
        """What was said."""

    def close(self, last: int, ended: str | None) -> None:
        """The end.

        Args:
            last: index of the last sample; -1 where none came.
            ended: why, where it is not that of the recording.
        """


class Stepped(Output, Protocol):
    """An output that wants to know how long each step took."""

    def stepped(self, seconds: float) -> None:
        """One step is done."""


class AnnotationFile:
    """A WFDB annotation file: beats, rhythms, and shutdowns where nothing was judged."""

    def __init__(self, directory: Path, record: str, info: StreamInfo) -> None:
        """Makes room for it.

        Raises:
            NotFound: the directory cannot be made.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotFound(f"--annotations {directory}: {error.strerror}") from error
        self._path, self._rate_hz = directory / f"{record}.{ANNOTATOR}", float(info.rate_hz)
        self._beats: list[tuple[int, str]] = []
        self._rhythms: list[tuple[int, str]] = []
        self._judged: list[list[int]] = []
        self._begun: int | None = None
        self._first = -1

    def samples(self, samples: Samples) -> None:
        """Notes where the recording begins."""
        if self._first < 0:
            self._first = samples.start or 0

    def event(self, event: StreamEvent) -> None:
        """Notes a beat, a rhythm, or from where to where was judged."""
        if isinstance(event, Beat):
            self._beats.append((event.sample, event.label))
        elif isinstance(event, Rhythm):
            begins = event.change == "begins"
            self._rhythms.append((event.sample, _RHYTHMS[event.rhythm] if begins else "(N"))
        elif isinstance(event, Judging) and event.change == "begins":
            self._begun = event.sample
        elif isinstance(event, Judging) and self._begun is not None:
            self._judged.append([self._begun, event.sample])
            self._begun = None

    def close(self, last: int, ended: str | None) -> None:
        """Writes the file.

        Raises:
            NotFound: it cannot be written.
        """
        del ended  # what was judged until then stands
        if self._begun is not None:
            self._judged.append([self._begun, last])
        # A beat's place may lie a little outside of the frames that told it.
        stretches = sorted([*self._judged, *([beat, beat] for beat, _ in self._beats)])
        away, at = [], max(self._first, 0)
        for begin, end in stretches:
            away.append((at, max(begin, at)))
            at = max(at, end)
        away.append((at, max(last, at)))
        told = annotated(
            self._beats, shutdowns=[(a, b) for a, b in away if b > a + 1],
            rhythms=self._rhythms, rate_hz=self._rate_hz,
        )  # fmt: skip
        try:
            write_annotations(self._path, told)
        except OSError as error:
            raise NotFound(f"--annotations {self._path}: {error.strerror}") from error


class StateFile:
    """A stream's state on disk."""

    def __init__(self, path: Path, stream: SignalStream) -> None:
        self._path, self._stream = path, stream

    def load(self) -> StreamState:
        """The saved state, or a new one where there is no file.

        Raises:
            TensorMismatch: no state, or that of another stream.
        """
        if not self._path.exists():
            return self._stream.start()
        try:
            with np.load(self._path, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise TensorMismatch(
                f"--state {self._path}: this is no saved state ({error}); remove it to start afresh"
            ) from error
        try:
            return self._stream.resume(arrays)
        except TensorMismatch as error:
            raise TensorMismatch(f"--state {self._path}: {error}") from error

    def save(self, state: StreamState) -> None:
        """Replaces the file at once or not at all.

        Raises:
            NotFound: it cannot be written.
        """
        try:
            handle, temporary = tempfile.mkstemp(dir=self._path.parent or ".", suffix=".npz")
            with os.fdopen(handle, "wb") as file:
                arrays: dict[str, Any] = state.to_arrays()
                np.savez(file, **arrays)
            Path(temporary).replace(self._path)
        except OSError as error:
            raise NotFound(f"--state {self._path}: {error.strerror}") from error


def in_words(event: StreamEvent, fields: dict[str, Any]) -> str:
    """A line for a person."""
    line = f"{fields['time_s']:10.3f} s  "
    if isinstance(event, Beat):
        rr = "" if event.rr_s is None else f"  RR {event.rr_s:.3f} s"
        noisy = "  in noise" if event.noisy else ""
        return f"{line}beat {event.label} {event.probability:.2f}{rr}{noisy}"
    if isinstance(event, Rhythm):
        return f"{line}{event.rhythm} {event.change}"
    if isinstance(event, Alarm):
        unit = event.unit if event.unit.startswith("/") else f" {event.unit}"
        kind = event.kind.replace("_", " ")
        return f"{line}alarm: {kind} {event.change} ({event.value:g}{unit})"
    if isinstance(event, Judging):
        return f"{line}{'judged from here on' if event.change == 'begins' else 'no longer judged'}"
    if isinstance(event, Gap):
        return f"{line}gap: {event.n} samples never came{' (held)' if event.concealed else ''}"
    if isinstance(event, LeadOff):
        return f"{line}lead {event.lead}: electrode {'off' if event.off else 'on'}"
    if isinstance(event, Quality):
        return f"{line}lead {event.lead}: {event.state}{f' ({event.cause})' if event.cause else ''}"
    if isinstance(event, Warmup):
        return f"{line}lead {event.lead}: {'filters ready' if event.ready else 'begins anew'}"
    return f"{line}{fields['state']} signal"
