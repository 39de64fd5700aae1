"""Bytes to pixels with their physical facts.

`read` takes whatever a caller holds (a path, a DICOM data set, an array, a `Study`) and gives a
`Study`: header facts at once, pixels when they are first asked for, so that the gate can refuse a
study by its header without decoding it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_dx.errors import NotFound, TensorMismatch, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources.limits import MAX_CINE_BYTES, MAX_FILE_BYTES
from edge_dx.sources.study import Place, Region, Study, inverted

__all__ = ["Place", "Region", "Study", "from_array", "inverted", "read"]

Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB"]


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

    def decode(_: int) -> Pixels:
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
        spacing_from="caller" if mm_per_px else None,
        assumed=tuple(assumed),
    )


def _read_path(path: Path) -> Study:
    from edge_dx.sources import containers, files

    try:
        if path.exists() and not path.is_file():  # a named pipe would block for ever
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        with path.open("rb") as file:
            head = file.read(containers.HEAD_BYTES)
            # Reading "at most so much" makes room for that much, so ask for what is there.
            size = os.fstat(file.fileno()).st_size
            if is_dicom(head):
                if size > MAX_CINE_BYTES:
                    raise _too_large(path, MAX_CINE_BYTES)
                from edge_dx.sources import dicom

                return dicom.from_file(file, path)
            if containers.kind_of(head) is not None:
                raise UnsupportedInput(
                    f"{path}: a video; `edge-dx run` and edge_dx.stream judge its frames", "frames"
                )
            if size > MAX_FILE_BYTES:
                raise _too_large(path, MAX_FILE_BYTES)
            raw = head + file.read(size)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    return files.from_bytes(raw, path)


def _too_large(path: Path, limit: int) -> UnreadableInput:
    return UnreadableInput(f"{path}: larger than {limit} bytes", "too_large")


def is_dicom(head: bytes) -> bool:
    """By the mark behind the preamble; or without both, by a first element of group 2 or 8."""
    if head[128:132] == b"DICM":
        return True
    group, element = head[:2], int.from_bytes(head[2:4], "little")
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    short = int.from_bytes(head[4:8], "little") <= 64  # implicit: the length of the first value
    return group in (b"\x02\0", b"\x08\0") and element <= 0x20 and (explicit or short)
