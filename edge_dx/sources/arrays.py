"""Arrays that the caller prepares: in memory, or as a `.npy` file. Nothing in them can be code."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import NotFound, TensorMismatch, UnreadableInput
from edge_dx.manifest import ArrayInput
from edge_dx.tensors import Array

MAX_BYTES = 256 * 2**20
"""Larger files are refused unread."""


def read(item: ArrayInput, source: Any) -> Array:
    """Gives `(1, *shape)` of the manifest's type.

    Args:
        item: the manifest's input.
        source: an array, or the path of a `.npy` file; float64 is taken where float32 is wanted,
            any other difference of type or shape is an error.

    Raises:
        NotFound: no such file.
        UnreadableInput: damaged, truncated, too large, or not finite.
        TensorMismatch: another shape or type.
    """
    if isinstance(source, (str, Path)):
        array = load(Path(source))
        where = f"{source}: "
    elif isinstance(source, np.ndarray):
        array, where = source, ""
    else:
        raise TensorMismatch(
            f"{item.name} is given as {type(source).__name__}; give an array or the path of a "
            ".npy file"
        )
    if array.dtype == np.float64 and item.dtype == "float32":
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            array = array.astype(np.float32)
    if array.dtype.name != item.dtype or array.shape != item.shape:
        raise TensorMismatch(
            f"{where}{item.name} is {array.dtype.name} of shape {array.shape}, the model takes "
            f"{item.dtype} of shape {item.shape} ({item.unit})"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnreadableInput(f"{where}{item.name} holds NaN or infinity", "unreadable")
    return np.ascontiguousarray(array, np.dtype(item.dtype))[None]


def load(path: Path) -> Array:
    """Reads a plain `.npy` file; its header must account for exactly the bytes that are there.

    Raises:
        NotFound: no such file.
        UnreadableInput: anything else that keeps it from being read.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(min(size, MAX_BYTES) + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    if len(raw) > MAX_BYTES:
        raise UnreadableInput(f"{path}: larger than {MAX_BYTES} bytes", "too_large")
    try:
        return parse(raw, any_order=True)  # numpy.save keeps a transposed array in Fortran order
    except Exception as error:  # numpy raises whatever the damage leads it to
        raise UnreadableInput(
            f"{path}: no plain .npy file ({error}); save the array with numpy.save", "unreadable"
        ) from error


def parse(raw: bytes, *, any_order: bool = False) -> Array:
    """The array of a `.npy` of format 1.0; numbers alone.

    Args:
        raw: the file's bytes.
        any_order: take Fortran order too, not C order alone.

    Raises:
        ValueError: it is none, or its header does not fit its bytes.
    """
    data = io.BytesIO(raw)
    version = np.lib.format.read_magic(data)
    if version != (1, 0):
        raise ValueError(f"array format {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
    if dtype.kind not in "uif" or not dtype.isnative:
        raise ValueError(f"an array of type {dtype}")
    if fortran and not any_order:
        raise ValueError("the array is in Fortran order")
    # As Python's own integers: a header may claim more than fits into 64 bits.
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if expected != len(raw) - data.tell():
        raise ValueError("the header does not fit the bytes")
    values = np.frombuffer(data.getbuffer(), dtype, offset=data.tell())
    return values.reshape(shape, order="F" if fortran else "C")
