"""DICOM files with every stored value of a kind in them, in every transfer syntax written today.

`grey` and `colour` give a data set without pixels; `store` puts pixels into it and writes the file.
"""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.sources.oracle import dcmtk

Stored = NDArray[Any]

NATIVE = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
LOSSLESS = {
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
    "jpeg-lossless": JPEGLosslessSV1,
}
_ENCODERS = {"rle": "pydicom", "jpeg-ls": "pyjpegls", "jpeg-2000": "pylibjpeg"}
"""By name: pydicom prefers GDCM where it is installed, which aborts on colour planes."""
SYNTAXES = {**NATIVE, **LOSSLESS, "jpeg": JPEGBaseline8Bit}


def seed(name: str) -> int:
    """The same for a name in every run, unlike Python's own hash."""
    return crc32(name.encode())


def shape(name: str) -> tuple[int, int]:
    """Small, and odd for most: padding and strides go wrong there first. A JPEG 2000 encoder of six
    resolutions needs 32 of each.
    """
    return [(33, 32), (37, 41), (34, 35)][seed(name) % 3]


def grey_range(bits: int, signed: bool) -> tuple[int, int]:
    """Lowest and highest value that so many stored bits can hold."""
    low = -(1 << bits - 1) if signed else 0
    return low, low + (1 << bits) - 1


def grey_pixels(
    name: str, bits: int, signed: bool, frames: int = 1, allocated: int | None = None
) -> Stored:
    """`(frames, H, W)`: a slope over the whole range with its ends, roughened."""
    low, high = grey_range(bits, signed)
    size = (frames, *shape(name))
    rough = np.random.default_rng(seed(name)).normal(0, (high - low) / 50, size)
    slope = np.linspace(low, high, int(np.prod(size))).reshape(size)
    values = np.clip(np.rint(slope + rough), low, high)
    values[:, 0, 0], values[:, -1, -1] = low, high
    return values.astype(f"{'i' if signed else 'u'}{(allocated or _room(bits)) // 8}")


def _room(bits: int) -> int:
    return 8 if bits <= 8 else 16


def rgb_pixels(name: str, frames: int = 1) -> Stored:
    """`(frames, H, W, 3)` uint8: three slopes in three directions, smooth enough for a JPEG, with
    the corners of the colour cube in the first row.
    """
    height, width = shape(name)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = [255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)]
    frame = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    moving = np.stack([np.roll(frame, 3 * n, axis=1) for n in range(frames)])
    moving[:, 0, :8] = [[255 * (n >> k & 1) for k in range(3)] for n in range(8)]
    return moving


def grey(photometric: str, bits: int, signed: bool, allocated: int | None = None) -> Dataset:
    """The header of a grey picture, without size and pixels."""
    data = _header(photometric)
    data.SamplesPerPixel = 1
    data.BitsAllocated = allocated or _room(bits)
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
    return data


def colour(photometric: str, planar: int = 0, bits: int = 8) -> Dataset:
    """The header of a colour picture of 3 × 8 or 3 × 16 bits, without size and pixels."""
    data = _header(photometric)
    data.SamplesPerPixel = 3
    data.PlanarConfiguration = planar
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    return data


def store(data: Dataset, pixels: Stored, syntax: str, path: Path) -> Path:
    """Writes pixels `(frames, H, W[, 3])` in a transfer syntax.

    Args:
        data: the header; it is completed.
        pixels: stored values, with bits above the stored ones where a case wants them. Three
            samples lie pixel by pixel, and are put into planes where the header says so.
        syntax: a key of `SYNTAXES` other than "jpeg", for which there is `store_jpeg`.
        path: where to.
    """
    _size(data, pixels)
    data.file_meta.TransferSyntaxUID = NATIVE.get(syntax, ExplicitVRLittleEndian)
    if syntax == "jpeg-lossless":
        store(data, pixels, "explicit", path)
        dcmtk.run("dcmcjpeg", "-q", "+e1", "+un", path, path)
        return path
    if syntax in LOSSLESS:
        one = pixels if len(pixels) > 1 else pixels[0]
        data.compress(
            LOSSLESS[syntax], one, encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False
        )
    else:
        set_native(data, pixels, big=syntax == "big-endian")
    if syntax == "big-endian":
        data = _with_big_tables(data)
    data.save_as(path, enforce_file_format=True)
    return path


def _with_big_tables(data: Dataset) -> Dataset:
    """A copy whose look-up tables have their words the other way round; pydicom leaves them as
    they are.
    """
    data = deepcopy(data)
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in data.get(keyword, []):
            item.LUTData = np.frombuffer(item.LUTData, "<u2").astype(">u2").tobytes()
            item["LUTData"].VR = "OW"
    return data


def set_native(data: Dataset, pixels: Stored, *, big: bool = False) -> None:
    """Puts pixels into a data set as they lie in memory."""
    if data.get("PlanarConfiguration"):
        pixels = np.moveaxis(pixels, -1, 1)
    raw = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    data.PixelData = raw + bytes(len(raw) % 2)
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"


def store_jpeg(data: Dataset, pixels: Stored, path: Path, **how: Any) -> Path:
    """Writes pixels `(frames, H, W[, 3])` uint8 as baseline JPEG; `how` goes to Pillow."""
    _size(data, pixels)
    frames = []
    for frame in pixels:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=92, **how)
        frames.append(stream.getvalue())
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.LossyImageCompression = "01"
    data.save_as(path, enforce_file_format=True)
    return path


def _header(photometric: str) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.9.1"
    data.Modality = "OT"
    data.PatientName = "Drawn^Phantom"
    data.PhotometricInterpretation = photometric
    return data


def _size(data: Dataset, pixels: Stored) -> None:
    if len(pixels) > 1:
        data.NumberOfFrames = len(pixels)
    data.Rows, data.Columns = pixels.shape[1:3]
