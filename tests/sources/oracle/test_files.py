"""Pictures as they come: those inside pydicom, and real ones of several makers where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydicom", reason="the oracle reads headers with pydicom")

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

import edge_dx.sources
from edge_dx.errors import InputError
from tests.sources.oracle import dcmtk, pictures
from tests.sources.oracle.decoders import dcmtk_is_here, needs
from tests.sources.oracle.test_colour import BEYOND_ANOTHER_IDCT, BEYOND_INTEGER_TABLES

pytestmark = dcmtk_is_here

REFUSED = {
    "chrJapMulti.dcm": "holds no image",  # the header of one, without pixels
    "chrJapMultiExplicitIR6.dcm": "holds no image",
    "chrKoreanMulti.dcm": "holds no image",
    "JPEG-lossy.dcm": "nothing installed decodes",  # 12 bit JPEG: no permissive decoder reads it
    "JPGExtended.dcm": "nothing installed decodes",
    "JPEG2000-embedded-sequence-delimiter.dcm": "its compressed stream has",  # cut at that mark
    "MR_truncated.dcm": "8192 bytes of pixels are announced, 8130 are left",
    "SC_rgb_rle_32bit.dcm": "colour with 32 of 32 bits",
    "SC_rgb_rle_32bit_2frame.dcm": "colour with 32 of 32 bits",
    "badVR.dcm": "not readable as DICOM",  # 1A frames
    "liver_1frame.dcm": "1 bits allocated",  # a segmentation
    "liver_expb_1frame.dcm": "1 bits allocated",
}
"""What edge_dx does not read, and what it says."""

WRONG_IN_DCMTK = {
    "rtdose_expb.dcm": "swaps bytes of 16 bit, not of 32, in the retired big endian",
    "rtdose_expb_1frame.dcm": "the same",
}
"""Compared with the same picture in little endian instead, `rtdose.dcm`."""

ALL = [*pictures.paths(pictures.INSIDE_PYDICOM), *pictures.paths(pictures.SAMPLES)]


def named(paths: list[Path]) -> list[object]:
    return [
        pytest.param(
            path,
            id=f"{path.parent.name}/{path.name}",
            marks=needs(pictures.header(path).file_meta.TransferSyntaxUID),
        )
        for path in paths
    ]


@pytest.mark.parametrize("path", named([p for p in ALL if p.name in REFUSED]))
def test_refused_with_its_reason(path: Path) -> None:
    with pytest.raises(InputError, match=REFUSED[path.name]):
        _ = edge_dx.sources.read(path).pixels


@pytest.mark.parametrize("path", named([p for p in ALL if p.name not in REFUSED]))
def test_equals_dcmtk(path: Path, tmp_path: Path) -> None:
    study = edge_dx.sources.read(path)
    shown = path.with_name("rtdose.dcm") if path.name in WRONG_IN_DCMTK else path
    for number in sorted({0, study.frames - 1}):
        pixels = study.frame(number)
        bits = 8 * pixels.dtype.itemsize
        apart = dcmtk.apart(pixels, pictures.shown(shown, tmp_path, frame=number, bits=bits))
        if (padding := pictures.padding(path, number)) is not None:
            apart = apart[~padding]
        assert apart.max() <= _allowed(path, 2**bits - 1)


@pytest.mark.parametrize("path", named([p for p in ALL if p.name in pictures.DAMAGED]))
def test_dcmtk_refuses_what_is_read(path: Path) -> None:
    with pytest.raises(dcmtk.Refused):
        dcmtk.rendered(path)


def _allowed(path: Path, top: int) -> float:
    """Levels of the result."""
    header = pictures.header(path)
    if header.file_meta.TransferSyntaxUID in (JPEGBaseline8Bit, JPEGExtended12Bit):
        # In stored levels; a window makes them steeper.
        width = pictures.first(header.get("WindowWidth") or 2**header.BitsStored - 1)
        return BEYOND_ANOTHER_IDCT * top / width
    if header.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422"):
        return BEYOND_INTEGER_TABLES
    return 0
