"""`edge-dx run BUNDLE FILE...`: one line per input, whatever happens to it."""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_dx import sources
from edge_dx.commands import opening
from edge_dx.errors import EdgeDxError, MissingExtra, NotFound
from edge_dx.manifest import ImageInput
from edge_dx.model import Model, load
from edge_dx.result import Reason, Result, Status
from edge_dx.sources import cases

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"}


def act(options: argparse.Namespace) -> int:
    """Judges the files; see `edge-dx run --help`."""
    files = list(expand(options.files))
    if not files:
        print(f"edge-dx: no image files in {', '.join(options.files)}", file=sys.stderr)
        return 2
    if options.batch < 1:
        print("edge-dx: --batch is at least 1", file=sys.stderr)
        return 2
    pictures = Path(options.overlay) if options.overlay else None
    if pictures:
        try:
            pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"edge-dx: --overlay {pictures}: {error.strerror}", file=sys.stderr)
            return 2
    analysed = True
    with load(options.bundle, options.variant, options.engine, options.threads,
              allow_slow=options.allow_slow, **opening(options)) as model:  # fmt: skip
        if not options.json:
            print(f"{model!r}\n  {model.choice}", file=sys.stderr)
        progress = _Progress(len(files))
        for number, (file, result) in enumerate(judge(model, files, options.batch)):
            analysed &= isinstance(result, Result) and result.status.analysed
            progress.clear()
            print(_printable(_line(file, result, model, as_json=options.json)), flush=True)
            if pictures and isinstance(result, Result):
                _overlay(pictures / f"{number + 1:04d}_{file.stem[:80]}.png", file, result, model)
            progress.show(number + 1)
        progress.clear()
    return 0 if analysed else 3


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
    """By its suffix, or by the DICOM mark where it has none."""
    if not path.is_file():
        return False
    if path.suffix.lower() in _SUFFIXES:
        return True
    if path.suffix:
        return False
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


def _line(file: Path, result: Result | EdgeDxError, model: Model, *, as_json: bool) -> str:
    if isinstance(result, Result):
        return result.to_json() if as_json else f"{file}: {_told(result)}"
    code = Reason.MISSING_PACKAGE if isinstance(result, MissingExtra) else (
        Reason.UNREADABLE if isinstance(result, NotFound) else Reason.INTERNAL)  # fmt: skip
    if not as_json:
        return f"{file}: failed: {code.value}: {result}"
    fields: dict[str, Any] = {
        "file": str(file), "status": Status.FAILED.value, "label": None, "score": None,
        "threshold": None, "operating_point": None, "variant": model.variant.name,
        "engine": model.engine, "reasons": [code.value], "details": [str(result)],
        "probabilities": {}, "findings": [], "heat_map": None, "masks": [], "values": [],
        "assumed": [],
        "bundle": f"{model.bundle.manifest.name} {model.bundle.manifest.version}",
        "bundle_digest": model.bundle.digest, "signature": model.bundle.signer or "unsigned",
        "engine_digest": model.backend.built,
        "input_digest": None,
        "timing_ms": dict.fromkeys(("read", "prepare", "infer", "interpret", "total"), 0.0),
    }  # fmt: skip
    return json.dumps(fields)


def _printable(line: str) -> str:
    """The line with what a terminal cannot show, for example a file name that is not UTF-8, spelt
    as an escape: one file must not end the batch, nor write a second line.
    """
    encoding = sys.stdout.encoding or "utf-8"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _told(result: Result) -> str:
    words = [result.status.value]
    if result.score is not None and result.threshold is not None:
        words.append(f"{result.label} {result.score:.3f} (threshold {result.threshold:.3f})")
    elif result.score is not None:
        words.append(f"{result.label} {result.score:.3f}")
    words += [f"{value.name} {value.value:.4g} {value.unit}".rstrip() for value in result.values]
    words += [f"{mask.label} on {mask.share:.1%} of the image" for mask in result.masks]
    words += [f"{why.code.value}: {why.detail}" for why in result.reasons]
    if result.signer is None:
        words.append("UNSIGNED bundle")
    return "; ".join(words)


def _overlay(path: Path, file: Path, result: Result, model: Model) -> None:
    from edge_dx import overlay

    inputs = model.bundle.manifest.inputs
    spec = next((item for item in inputs if isinstance(item, ImageInput)), None)
    if spec is None:
        print(f"edge-dx: no overlay: {file}: the model takes no image", file=sys.stderr)
        return
    try:
        film = file if len(inputs) == 1 else cases.read(file, inputs).get(spec.name, file)
        overlay.save(path, sources.read(film), result, model.preparation, spec)
    except (EdgeDxError, OSError) as error:  # nothing to draw on, or no room to write it
        print(f"edge-dx: no overlay: {error}", file=sys.stderr)


class _Progress:
    """A bar on standard error, only where a person watches it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.on = sys.stderr.isatty() and total > 1

    def show(self, done: int) -> None:
        if self.on and done < self.total:
            filled = 30 * done // self.total
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r[{bar}] {done}/{self.total}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
