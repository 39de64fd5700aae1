"""Bytes to pixels with their physical facts.

`read` takes whatever a caller holds (a path, a DICOM data set, an array, a `Study`) and gives a
`Study`: header facts at once, pixels when they are first asked for, so that the gate can refuse a
study by its header without decoding it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_dx.errors import NotFound, TensorMismatch, UnreadableInput
from edge_dx.image import Pixels

__all__ = ["MAX_FILE_BYTES", "MAX_PIXELS", "Study", "from_array", "read"]

MAX_FILE_BYTES = 512 * 2**20
"""Larger files are refused unread."""
MAX_PIXELS = 64 * 10**6
"""Images with more pixels are refused before they are decoded (a 43 cm detector has 18 million)."""

Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB"]


@dataclass(frozen=True)
class Study:
    """One image with what is known about it.

    Attributes:
        path: the file it came from, or None.
        digest: SHA-256 of the file's bytes, or of type, shape and content of an array.
        modality: DICOM modality code, or None where nothing says it.
        body_part: DICOM body part examined, likewise.
        view: DICOM view position, likewise.
        mm_per_px: (rows, columns) distance of pixel centres at the detector, likewise.
        shape: (height, width) in pixels.
        frames: number of frames in the file.
        assumed: what was taken for granted, in words.
        decode: gives the pixels: `(H, W)` or `(H, W, 3)` RGB, uint8, uint16 or float32, with
            air dark and bone bright.
    """

    path: Path | None
    digest: str
    shape: tuple[int, int]
    decode: Callable[[], Pixels] = field(repr=False)
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    mm_per_px: tuple[float, float] | None = None
    frames: int = 1
    assumed: tuple[str, ...] = ()

    @cached_property
    def pixels(self) -> Pixels:
        """The decoded pixels.

        Raises:
            InputError: they cannot be decoded.
        """
        return self.decode()


def read(source: Any) -> Study:
    """Opens a study.

    Args:
        source: a path to a PNG, JPEG, TIFF or DICOM file; a pydicom `Dataset`; an array
            `(H, W)` or `(H, W, 3)`; or a `Study`, which is given back.

    Raises:
        NotFound: no such file.
        InputError: the file is damaged or of a kind that cannot be read; carries the reason.
        MissingExtra: DICOM without pydicom.
        TensorMismatch: an array that is no image.
    """
    if isinstance(source, Study):
        return source
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, (str, Path)):
        return _read_path(Path(source))
    # Recognised by its module's name, so that pydicom is not imported for those without DICOM.
    if type(source).__module__.split(".")[0] == "pydicom":
        from edge_dx.sources import dicom

        return dicom.from_dataset(source)
    raise TensorMismatch(
        f"cannot read a study from {type(source).__name__}; give a path, a DICOM data set, an "
        "array (height, width) or (height, width, 3), or a Study"
    )


def from_array(
    pixels: Pixels,
    *,
    modality: str | None = None,
    body_part: str | None = None,
    view: str | None = None,
    photometric: Photometric | None = None,
    mm_per_px: tuple[float, float] | None = None,
) -> Study:
    """A study from pixels in memory, with the facts that the caller states.

    Args:
        pixels: `(H, W)` or `(H, W, 3)`, uint8, uint16 or float32.
        modality: DICOM modality code.
        body_part: DICOM body part examined.
        view: DICOM view position.
        photometric: `MONOCHROME1` is inverted over the full range of the type; assumed
            `MONOCHROME2` (or `RGB`) where None.
        mm_per_px: (rows, columns) distance of pixel centres.

    Raises:
        TensorMismatch: a type or shape that no image has.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise TensorMismatch(f"an image is (height, width[, 3]) and not empty, not {pixels.shape}")
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise TensorMismatch(f"pixels are uint8, uint16 or float32, not {pixels.dtype}")
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise UnreadableInput("the array holds NaN or infinity; mend it first", "unreadable")
    assumed: list[str] = []
    if photometric is None:
        assumed.append("array: bright is dense (MONOCHROME2)")
    if modality is None:
        assumed.append("modality not stated")
    digest = hashlib.sha256(f"{pixels.dtype}{pixels.shape}{photometric}".encode())
    digest.update(np.ascontiguousarray(pixels).data)

    def decode() -> Pixels:
        return inverted(pixels) if photometric == "MONOCHROME1" else pixels

    return Study(
        path=None,
        digest=digest.hexdigest(),
        shape=(pixels.shape[0], pixels.shape[1]),
        decode=decode,
        modality=modality,
        body_part=body_part,
        view=view,
        mm_per_px=mm_per_px,
        assumed=tuple(assumed),
    )


def inverted(pixels: Pixels) -> Pixels:
    """Dark for bright, over the full range of an integer type, or over the data's own range."""
    if pixels.dtype == np.float32:
        result: Pixels = pixels.max() + pixels.min() - pixels
        return result
    return np.iinfo(pixels.dtype).max - pixels


def _read_path(path: Path) -> Study:
    from edge_dx.sources import files

    try:
        if path.exists() and not path.is_file():  # a named pipe would block for ever
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        with path.open("rb") as file:
            # Reading "at most so much" makes room for that much, so ask for what is there.
            size = os.fstat(file.fileno()).st_size
            raw = file.read(min(size, MAX_FILE_BYTES) + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    if len(raw) > MAX_FILE_BYTES:
        raise UnreadableInput(f"{path}: larger than {MAX_FILE_BYTES} bytes", "too_large")
    if raw[128:132] == b"DICM":
        from edge_dx.sources import dicom

        return dicom.from_bytes(raw, path)
    return files.from_bytes(raw, path)
