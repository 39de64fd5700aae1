"""Files that others wrote: where they lie, what their header asks for, and what DCMTK is shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit

from tests.sources.oracle import dcmtk
from tests.sources.oracle.datasets import grey_range
from tests.sources.oracle.treatments import Asked, between, window_of_fractions

INSIDE_PYDICOM = Path(pydicom.__file__).parent / "data"
SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "dicom_samples" / "files"

DAMAGED = {
    "us_cine_acuson_65f.dcm": "an item of a sequence has no delimiter",
    "us_philips_jpegls.dcm": "the fragment has an odd length",
    "SC_rgb_jpeg.dcm": "the pixel data have no end mark",
}
"""DCMTK refuses these; what it refuses is shown to it under a header of what matters alone."""


def paths(folder: Path) -> list[Path]:
    """All files with an image in them; none where they cannot be compared anyway."""
    if dcmtk.MISSING:
        return []
    named = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in ("", ".dcm")]
    return [path for path in named if "Rows" in header(path)]


@cache
def header(path: Path) -> Dataset:
    """The header; empty where the file is no DICOM."""
    with quietly():
        try:
            return pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            return Dataset()


def is_grey(data: Dataset) -> bool:
    return str(data.PhotometricInterpretation).startswith("MONOCHROME")


def asked_of(data: Dataset) -> Asked:
    """What DCMTK is asked for a header, by the rules of `treatments`."""
    if "VOILUTSequence" in data:
        return Asked(("+Wl", "1"), entry_bits=data.VOILUTSequence[0].LUTDescriptor[2])
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    if "WindowWidth" in data and not (slope.is_integer() and intercept.is_integer()):
        return window_of_fractions(
            first(data.WindowCenter), first(data.WindowWidth), slope, intercept
        )
    if "WindowWidth" in data:
        return Asked(("+Wi", "1"))
    if "ModalityLUTSequence" in data:
        entries = np.frombuffer(data.ModalityLUTSequence[0].LUTData, "<u2")
        return between(float(entries.min()), float(entries.max()))
    low, high = grey_range(data.BitsStored, bool(data.PixelRepresentation))
    return between(slope * low + intercept, slope * high + intercept)


def first(value: Any) -> float:
    """Of a header value that may have several."""
    return float(value[0] if isinstance(value, MultiValue) else value)


def shown(path: Path, folder: Path, *, frame: int, bits: int) -> dcmtk.Reals:
    """What DCMTK makes of a frame, or of the same pixels in a file that it can read.

    Args:
        path: the file.
        folder: where another file may be written.
        frame: counted from 0.
        bits: that edge_dx gives. Colour of 8 bit is asked for as it is, all else with 32.
    """
    data, source = header(path), path
    if data.file_meta.TransferSyntaxUID in (JPEG2000, JPEG2000Lossless):
        source = _native(path, folder)  # Debian's DCMTK has no decoder
    asked = Asked(())
    if is_grey(data):
        asked = asked_of(data)
    elif data.PhotometricInterpretation == "RGB" and _is_jfif(path):
        asked = Asked(("+cg",))  # JFIF is YCbCr; DCMTK believes the header until it is told
    depth = 8 if bits == 8 and not is_grey(data) else 32
    try:
        expected = dcmtk.rendered(source, *asked.options, frame=frame, bits=depth)
    except dcmtk.Refused:
        mended = _mended(path, folder)
        expected = dcmtk.rendered(mended, *asked.options, frame=frame, bits=depth)
    return asked.corrected(expected, inverted=data.PhotometricInterpretation == "MONOCHROME1")


def padding(path: Path, frame: int) -> NDArray[np.bool_] | None:
    """Where the header says that there is no picture, which DCMTK does not know."""
    data = header(path)
    if "PixelPaddingValue" not in data:
        return None
    with quietly():
        stored = pixel_array(path, index=frame, raw=True)
    ends = data.PixelPaddingValue, data.get("PixelPaddingRangeLimit", data.PixelPaddingValue)
    found: NDArray[np.bool_] = (stored >= min(ends)) & (stored <= max(ends))
    return found


def _is_jfif(path: Path) -> bool:
    if header(path).file_meta.TransferSyntaxUID != JPEGBaseline8Bit:
        return False
    with quietly():
        frame = next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
    return frame[6:10] == b"JFIF"


def _native(path: Path, folder: Path) -> Path:
    with quietly():
        data = pydicom.dcmread(path)
        data.decompress(decoding_plugin="pylibjpeg", generate_instance_uid=False)
        data.save_as(folder / "native.dcm")
    return folder / "native.dcm"


def _mended(path: Path, folder: Path) -> Path:
    with quietly():
        old, new = pydicom.dcmread(path), Dataset()
        new.file_meta = old.file_meta
        for keyword in ("SOPClassUID", "SOPInstanceUID", "Modality"):
            new[keyword] = old[keyword]
        new.update(old.group_dataset(0x0028))
        frames = generate_frames(old.PixelData, number_of_frames=int(old.get("NumberOfFrames", 1)))
        new.PixelData = encapsulate(list(frames))
        new["PixelData"].VR, new["PixelData"].is_undefined_length = "OB", True
        new.save_as(folder / "mended.dcm", enforce_file_format=True)
    return folder / "mended.dcm"


@contextmanager
def quietly() -> Iterator[None]:
    """Without pydicom's warnings: some files are odd on purpose, and real ones are odd anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
