"""Case files: one JSON object that gives each of several inputs, by value or by path."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_dx.errors import NotFound, UnreadableInput, UnsupportedInput
from edge_dx.manifest import AnyInput, VectorInput

MAX_BYTES = 4 * 2**20
"""A case file names files; it does not hold them."""


def read(path: Path, inputs: Sequence[AnyInput]) -> dict[str, Any]:
    """Input → source, as a model of several inputs takes it.

    Facts stand in the file itself; images and arrays by path, relative to the file and not
    leading out of its directory: a case that came from elsewhere names its own files alone.

    Raises:
        NotFound: no such file.
        UnreadableInput: not JSON, or too large.
        UnsupportedInput: an input is missing, unknown, or given in the wrong way.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(min(size, MAX_BYTES) + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    if len(raw) > MAX_BYTES:
        raise UnreadableInput(f"{path}: larger than {MAX_BYTES} bytes", "too_large")
    try:
        given = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path}: not JSON ({error})", "unreadable") from error
    names = ", ".join(item.name for item in inputs)
    if not isinstance(given, dict):
        raise UnreadableInput(f"{path}: not a JSON object with {names}", "unreadable")
    case: dict[str, Any] = {}
    for name, value in given.items():
        item = next((item for item in inputs if item.name == name), None)
        if item is None:
            raise UnsupportedInput(
                f"{path}: {name!r} is no input; the model takes {names}", "unknown_input"
            )
        if isinstance(item, VectorInput):
            if not isinstance(value, dict):
                raise UnsupportedInput(f"{path}: {name} is no JSON object", "out_of_range")
            case[name] = value
        elif isinstance(value, str):
            case[name] = _beside(path, name, value)
        else:
            raise UnsupportedInput(
                f"{path}: {name} is given by the path of its file", "out_of_range"
            )
    return case


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys each stand there once: of two ages one would win silently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = sorted(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)[:5]
        raise ValueError(f"{', '.join(map(repr, twice))} stands there twice")
    return found


def _beside(path: Path, name: str, value: str) -> Path:
    told = Path(value)
    if not value or told.is_absolute() or ".." in told.parts:
        raise UnreadableInput(
            f"{path}: {name} must be a path below the file's own directory, not {value[:80]!r}",
            "unreadable",
        )
    return path.parent / told
