"""`edge-dx run BUNDLE FILE...`: one line per picture or frame, whatever happens to it."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_dx.commands import opening, watch
from edge_dx.commands.lines import Progress, line_of, overlay, show
from edge_dx.errors import EdgeDxError, Overrun
from edge_dx.model import Model, load
from edge_dx.result import Result
from edge_dx.signal_model import SignalModel
from edge_dx.sources import Study
from edge_dx.sources.frames import FrameSource
from edge_dx.sources.moving import open_frames
from edge_dx.sources.video import SUFFIXES as VIDEO_SUFFIXES

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", *VIDEO_SUFFIXES}


def act(options: argparse.Namespace) -> int:
    """Judges the files, or what a camera sees; see `edge-dx run --help`."""
    files = list(expand(options.files))
    if not files and options.camera is None:
        print(f"edge-dx: no image files in {', '.join(options.files)}", file=sys.stderr)
        return 2
    for name, wrong in (("batch", options.batch < 1), ("every", options.every < 1)):
        if wrong:
            print(f"edge-dx: --{name} is at least 1", file=sys.stderr)
            return 2
    if not 0 < options.stale < float("inf"):
        print("edge-dx: --stale is a number of seconds above 0", file=sys.stderr)
        return 2
    pictures = Path(options.overlay) if options.overlay else None
    if pictures:
        try:
            pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"edge-dx: --overlay {pictures}: {error.strerror}", file=sys.stderr)
            return 2
    with load(options.bundle, options.variant, options.engine, options.threads,
              allow_slow=options.allow_slow, isolate=options.isolate,
              **opening(options)) as model:  # fmt: skip
        if isinstance(model, SignalModel):
            model.refuse()
        if not options.json:
            print(f"{model!r}\n  {model.choice}", file=sys.stderr)
        running = _Run(model, options, pictures)
        try:
            if options.camera is not None:
                from edge_dx.sources.camera import Camera

                running.watch(Camera(options.camera, size=options.size))
            else:
                running.judge(files)
        except Overrun as error:
            print(f"edge-dx: {error}", file=sys.stderr)
            return 1
    return 0 if running.analysed else 3


class _Run:
    """One call of the command.

    Attributes:
        analysed: whether everything was, so far.
    """

    def __init__(self, model: Model, options: argparse.Namespace, pictures: Path | None) -> None:
        self.analysed = True
        self._model = model
        self._options = options
        self._pictures = pictures
        self._drawn = 0

    def judge(self, files: Sequence[Path]) -> None:
        """Files in their order: pictures in batches, moving ones frame by frame."""
        progress = Progress(len(files))
        stills: list[Path] = []
        for done, file in enumerate(files):
            moving = watch.moving(file, self._model)
            if not moving:
                stills.append(file)
            if moving or len(stills) == self._options.batch:
                self._judge_stills(stills, progress)
                stills = []
            if moving:
                progress.clear()
                self._clip(file)
            progress.show(done + 1 - len(stills))
        self._judge_stills(stills, progress)
        progress.clear()

    def watch(self, source: FrameSource) -> None:
        """The frames of one source."""
        watched = watch.Watch(self._model, source, self._options)
        for answer in watched.answers():
            if self._pictures and answer.frame and answer.study:
                stem = answer.study.path.stem if answer.study.path else "camera"
                name = f"{stem[:80]}_f{answer.frame.number:06d}"
                self._draw(name, answer.study, answer.result)
        self.analysed &= watched.analysed

    def _clip(self, file: Path) -> None:
        try:
            reader = self._model.reader
            source = reader.frames(file) if reader else open_frames(file)
        except EdgeDxError as error:
            self.analysed = False
            show(line_of(file, error, self._model, as_json=self._options.json))
            return
        self.watch(source)

    def _judge_stills(self, files: Sequence[Path], progress: Progress) -> None:
        for file, result in judge(self._model, files, self._options.batch):
            self.analysed &= isinstance(result, Result) and result.status.analysed
            progress.clear()
            show(line_of(file, result, self._model, as_json=self._options.json))
            if self._pictures and isinstance(result, Result):
                self._draw(file.stem[:80], file, result)
            else:
                self._drawn += 1  # pictures carry the number of the line

    def _draw(self, name: str, source: Path | Study, result: Result) -> None:
        assert self._pictures is not None, "asked before"
        self._drawn += 1
        overlay(self._pictures / f"{self._drawn:04d}_{name}.png", source, result, self._model)


def expand(arguments: Sequence[str]) -> Iterator[Path]:
    """Files as they are, directories as the images below them, globs as what they match."""
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises for a name too long)
            yield from (f for f in sorted(path.rglob("*")) if looks_like_image(f))
        elif os.path.exists(path) or not glob.has_magic(argument):  # noqa: PTH110 (likewise)
            yield path  # a missing file gets its own line, like a damaged one
        else:
            yield from (Path(f) for f in sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
                        if Path(f).is_file())  # fmt: skip


def looks_like_image(path: Path) -> bool:
    """By its suffix, or else by the DICOM mark: such files are often named by a UID (1.2.840.5)."""
    if not path.is_file():
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def judge(
    model: Model, files: Sequence[Path], size: int = 1
) -> Iterator[tuple[Path, Result | EdgeDxError]]:
    """Each file with its result, or with the error that kept it from having one."""
    for start in range(0, len(files), size):
        group = files[start : start + size]
        try:
            yield from zip(group, list(model.batch(group, size)), strict=True)
        except EdgeDxError as error:
            if len(group) == 1:
                yield group[0], error
                continue
            for file in group:  # one of them is at fault; the others still get their answer
                yield from judge(model, [file])
