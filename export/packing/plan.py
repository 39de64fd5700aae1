"""The pack description: reads it, and finds what it says against itself."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_dx.backends import ENGINES
from edge_dx.manifest import AnyInput, ArrayInput, ImageInput, VectorInput
from edge_dx.steps import Intensity, Normalise
from export.errors import PackError
from export.packing.vocabulary import ArrayPart, GoldenPart, ImagePart, PackFile

MAX_BYTES = 2**20
"""Longer descriptions are refused unread."""


@dataclass(frozen=True)
class Plan:
    """A description that was read.

    Attributes:
        path: the file.
        sha256: of its bytes.
        told: what it says.
    """

    path: Path
    sha256: str
    told: PackFile

    @property
    def inputs(self) -> tuple[AnyInput, ...]:
        """The manifest's inputs."""
        return tuple(
            _image(part) if isinstance(part, ImagePart) else part for part in self.told.inputs
        )

    def beside(self, name: str) -> Path:
        """A file that the description names, below its own directory.

        Raises:
            PackError: the name leads elsewhere.
        """
        told = Path(name)
        if not name or told.is_absolute() or ".." in told.parts:
            raise PackError(
                f"{self.path}: {name[:80]!r} is no path below the description's directory; "
                "put the file beside it"
            )
        return self.path.parent / told


def read_plan(path: str | Path) -> Plan:
    """Reads and checks a description.

    Raises:
        PackError: not readable, not TOML, an unknown or missing key, or a contradiction. The
            message names the file and the key.
    """
    path = Path(path)
    raw = read_bytes(path, MAX_BYTES)
    try:
        told = msgspec.convert(_toml(path, raw), PackFile)
    except msgspec.ValidationError as error:
        raise PackError(f"{path}: {str(error).replace('$.', '')}") from error
    for check in (_inputs_problem, _models_problem, _golden_problem):
        problem = check(told)
        if problem:
            raise PackError(f"{path}: {problem}")
    return Plan(path, hashlib.sha256(raw).hexdigest(), told)


def read_bytes(path: Path, most: int) -> bytes:
    """A regular file's bytes.

    Raises:
        PackError: it cannot be read, or is larger.
    """
    try:
        if path.exists() and not path.is_file():  # a named pipe would block for ever
            raise PackError(f"{path}: is no regular file; give the path of a file")
        with path.open("rb") as file:
            raw = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise PackError(f"{path}: cannot be read ({told}); check the path") from error
    if len(raw) > most:
        raise PackError(f"{path}: larger than the {most} bytes that are read")
    return raw


def _toml(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        if sys.version_info >= (3, 11):
            import tomllib
        else:  # the standard library has no TOML reader before 3.11
            import tomli as tomllib
    except ImportError as error:
        raise PackError(f"{path}: reading TOML needs tomli; pip install tomli") from error
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError too
        raise PackError(f"{path}: not TOML ({error})") from error


def _image(part: ImagePart) -> ImageInput:
    folded = part.prepare and isinstance(part.prepare[-1], Normalise)
    steps = part.prepare[:-1] if folded else part.prepare
    last = [step for step in part.prepare[-1:] if isinstance(step, Normalise)]
    return ImageInput(
        name=part.name, shape=part.shape, dtype="uint8", unit=part.unit, prepare=steps,
        in_graph=tuple(last),
    )  # fmt: skip


def _twice(names: Iterable[str]) -> str:
    return ", ".join(name for name, n in Counter(names).items() if n > 1)


def _inputs_problem(told: PackFile) -> str | None:
    for part in told.inputs:
        if not isinstance(part, ImagePart):
            continue
        steps = [step for step in part.prepare if isinstance(step, Normalise)]
        if len(steps) > 1 or (steps and part.prepare[-1] is not steps[0]):
            return f"inputs: {part.name!r}: normalise may stand once, as the last step"
        if not any(isinstance(step, Intensity) for step in part.prepare):
            return (
                f"inputs: {part.name!r}: needs an 'intensity' step, so that 8 and 16 bit sources "
                "both become 8 bit (kind 'fixed', 0 to 255, leaves 8 bit alone)"
            )
        if part.shape[0] not in (1, 3) or any(len(s.mean) not in (1, part.shape[0]) for s in steps):
            return (
                f"inputs: {part.name!r}: shape is [channels, height, width] with 1 or 3 channels, "
                "also where the file wants them last"
            )
    return None


def _models_problem(told: PackFile) -> str | None:
    tensors = {part.name for part in (*told.inputs, *told.outputs)}
    outputs = {output.name for output in told.outputs}
    for what, names in (
        ("file", [part.file for part in told.models]),
        ("variant", [part.variant for part in told.models]),
    ):
        if twice := _twice(names):
            return f"models: {what} {twice} is listed twice"
    for part in told.models:
        where = f"models: {part.file!r}"
        if Path(part.file).name != part.file:
            return f"{where}: is a file's name without its directory"
        if unknown := [name for name in part.engines if name not in ENGINES or name == "pretend"]:
            known = ", ".join(name for name in ENGINES if name != "pretend")
            return f"{where}: engines: no engine is called {', '.join(unknown)}; there are: {known}"
        if unknown := sorted(set(part.tensors) - tensors):
            return f"{where}: tensors: {', '.join(unknown)} is no input or output"
        if unknown := sorted(set(part.tolerance) - outputs):
            return f"{where}: tolerance: {', '.join(unknown)} is no output"
        if twice := _twice(point.name for point in part.operating_points):
            return f"{where}: operating_points: {twice} is listed twice"
    return None


def _golden_problem(told: PackFile) -> str | None:
    if twice := _twice(part.name for part in told.golden):
        return f"golden: {twice} is listed twice"
    image = any(isinstance(part, ImagePart) for part in told.inputs)
    vectors = {part.name for part in told.inputs if isinstance(part, VectorInput)}
    arrays = {part.name for part in told.inputs if isinstance(part, ArrayInput)}
    for part in told.golden:
        where = f"golden: {part.name!r}"
        if not image and (part.pattern or part.file):
            return f"{where}: pattern and file draw an image, and the model takes none"
        if image and (part.pattern is None) == (part.file is None):
            return f"{where}: needs exactly one of pattern, file for the image"
        for what, given, wanted in (
            ("facts", set(part.facts), vectors),
            ("arrays", set(part.arrays), arrays),
        ):
            if given != wanted:
                return (
                    f"{where}: {what} must be given for {', '.join(sorted(wanted)) or 'nothing'}, "
                    f"and are for {', '.join(sorted(given)) or 'nothing'}"
                )
        if problem := _arrays_problem(part):
            return f"{where}: {problem}"
    return None


def _arrays_problem(part: GoldenPart) -> str | None:
    for name, array in part.arrays.items():
        if (array.pattern is None) == (array.file is None):
            return f"arrays.{name}: needs exactly one of pattern, file"
        if not _is_range(array):
            return f"arrays.{name}: low must be below high, and both must be numbers"
    return None


def _is_range(array: ArrayPart) -> bool:
    return -1e30 < array.low < array.high < 1e30
