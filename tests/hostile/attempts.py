"""What becomes of one damaged file: read as the product reads it, the outcome in two words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_dx import sources
from edge_dx.backends import open_backend
from edge_dx.backends.tflite_file import problem
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.errors import EdgeDxError, InputError
from edge_dx.isolate.child import ran_out
from edge_dx.manifest import ArrayInput, parse
from edge_dx.model import Model
from edge_dx.sources import arrays
from edge_dx.sources.video import Clip
from tests import several, tiny
from tests.hostile.seeds import Kind, Seed


class OutOfMemory(Exception):
    """The limit of the worker was reached, whatever the reader made of it."""


def outcome(kind: Kind, raw: bytes, directory: Path) -> str:
    """`analysed`, `not analysed: <reason>`, `failed: <reason>`, or `<error>: <reason>`.

    Raises:
        OutOfMemory: it needed more than the worker has.
        Exception: what no reader may raise.
    """
    path = directory / f"hostile{_SUFFIXES[kind]}"
    path.write_bytes(raw)
    try:
        return _ATTEMPTS[kind](path)
    except EdgeDxError as error:
        if ran_out(error):
            raise OutOfMemory from error
        reason = f": {error.reason}" if isinstance(error, InputError) else ""
        return f"{type(error).__name__}{reason}"


def _judged(model: Model, source: Any) -> str:
    result = model(source)
    if result.status.analysed:
        return "analysed"
    assert result.reasons, "declined without a reason"
    return f"{result.status.value.replace('_', ' ')}: {result.reasons[0].code.value}"


def _image(path: Path) -> str:
    study = sources.read(path)
    _whole(study.decode(0))
    if study.frames > 1:
        _whole(study.decode(study.frames - 1))
    return _judged(_model(), path)


def _whole(pixels: Any) -> None:
    assert pixels.dtype in (np.uint8, np.uint16, np.float32), pixels.dtype
    assert pixels.ndim == 2 or pixels.shape[2:] == (3,), pixels.shape


def _video(path: Path) -> str:
    with Clip(path) as clip:
        for frame in clip.frames():
            if frame is not None:
                _whole(frame.pixels)
                found = _judged(_model(), clip.study(frame))
    return found


def _array(path: Path) -> str:
    item = next(i for i in several.parts().built().inputs if isinstance(i, ArrayInput))
    arrays.read(item, path)
    return "analysed"


def _case(path: Path) -> str:
    cv2.imwrite(str(path.parent / "picture.png"), several.picture())
    np.save(path.parent / "spectrum.npy", several.case()["spectrum"])
    return _judged(_several(), path)


def _bundle(path: Path) -> str:
    open_bundle(path, allow_unsigned=True)
    return "accepted"


def _manifest(path: Path) -> str:
    parse(path.read_bytes())
    return "accepted"


def _tflite(path: Path) -> str:
    return "accepted" if problem(path.read_bytes()) is None else "refused: tflite"


_ATTEMPTS: dict[Kind, Callable[[Path], str]] = {
    "dicom": _image, "picture": _image, "video": _video, "npy": _array, "case": _case,
    "bundle": _bundle, "manifest": _manifest, "tflite": _tflite,
}  # fmt: skip
_SUFFIXES: dict[Kind, str] = {
    "dicom": ".dcm", "picture": ".png", "video": ".avi", "npy": ".npy", "case": ".json",
    "bundle": ".edx", "manifest": ".json", "tflite": ".tflite",
}  # fmt: skip


@cache
def _model() -> Model:
    """Takes any picture; the shipped fake answers, so that no engine's memory is counted."""
    return _pretending(tiny.parts(eligibility={"min_side_px": 1, "min_contrast": 0.0}))


@cache
def _several() -> Model:
    return _pretending(several.parts())


def _pretending(parts: tiny.Parts) -> Model:
    manifest = parts.built()
    variant = manifest.variants[0]
    bundle = Bundle(Path("hostile.edx"), manifest, parts.members, "0" * 64, None)
    return Model(bundle, variant, open_backend("pretend", manifest, variant, b""), "pretend")


def warm_up(seeds: Iterable[Seed]) -> None:
    """Imports what the readers import late, so that it is no part of what a file takes."""
    with tempfile.TemporaryDirectory() as directory:
        for seed in seeds:
            outcome(seed.kind, seed.raw, Path(directory))
