"""Pictures of several frames: each frame by its number, in every transfer syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pydicom", reason="the oracle writes its files with pydicom")

from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

import edge_dx.sources
from tests.sources.oracle import dcmtk, treatments
from tests.sources.oracle.datasets import (
    LOSSLESS,
    NATIVE,
    Stored,
    colour,
    grey,
    grey_pixels,
    grey_range,
    rgb_pixels,
    store,
    store_jpeg,
)  # fmt: skip
from tests.sources.oracle.decoders import dcmtk_is_here, needs
from tests.sources.oracle.test_colour import BEYOND_ANOTHER_IDCT

pytestmark = dcmtk_is_here

FRAMES = 3
EVERY_SYNTAX = [pytest.param(s, marks=needs(s)) for s in (*NATIVE, *LOSSLESS)]


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_grey_frames(syntax: str, signed: bool, tmp_path: Path) -> None:
    data = grey("MONOCHROME1", 12, signed)
    asked = treatments.rescale_then_window(data, *grey_range(12, signed))
    pixels = grey_pixels(f"frames-{syntax}", 12, signed, FRAMES)
    path = store(data, pixels, syntax, tmp_path / "cine.dcm")
    shown = path
    if syntax == "jpeg-2000":  # Debian's DCMTK has no decoder: shown from the same, native
        shown = store(data, pixels, "explicit", tmp_path / "native.dcm")
    study = edge_dx.sources.read(path)
    assert study.frames == FRAMES
    for number in reversed(range(FRAMES)):  # none depends on the one before it
        expected = dcmtk.rendered(shown, *asked.options, frame=number)
        assert dcmtk.apart(study.frame(number), expected).max() == 0


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_colour_frames(syntax: str, tmp_path: Path) -> None:
    pixels = rgb_pixels(f"frames-{syntax}", FRAMES)
    path = store(colour("RGB", planar=int(syntax in NATIVE)), pixels, syntax, tmp_path / "cine.dcm")
    shown = path
    if syntax == "jpeg-2000":
        shown = store(colour("RGB"), pixels, "explicit", tmp_path / "native.dcm")
    for number, frame in enumerate(edge_dx.sources.read(path).each()):
        assert _levels_apart(frame, shown, number) == 0


def test_jpeg_frames(tmp_path: Path) -> None:
    data, pixels = colour("YBR_FULL_422"), rgb_pixels("frames-jpeg", FRAMES)
    path = store_jpeg(data, pixels, tmp_path / "cine.dcm", subsampling=1)
    for number, frame in enumerate(edge_dx.sources.read(path).each()):
        assert _levels_apart(frame, path, number) <= BEYOND_ANOTHER_IDCT


@pytest.mark.parametrize("offsets", [True, False], ids=["offset-table", "no-offset-table"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_frames_in_pieces(pieces: int, offsets: bool, tmp_path: Path) -> None:
    """Fragments are no frames: a frame may be cut into several, with or without a table."""
    whole = store_jpeg(
        colour("YBR_FULL"), rgb_pixels("pieces", FRAMES), tmp_path / "whole.dcm", subsampling=0
    )
    data = dcmread(whole)
    frames = list(generate_frames(data.PixelData, number_of_frames=FRAMES))
    data.PixelData = encapsulate(frames, fragments_per_frame=pieces, has_bot=offsets)
    data.save_as(tmp_path / "cut.dcm")
    for number, frame in enumerate(edge_dx.sources.read(tmp_path / "cut.dcm").each()):
        # Shown from the file before it was cut: DCMTK needs the table.
        assert _levels_apart(frame, whole, number) <= BEYOND_ANOTHER_IDCT


def _levels_apart(frame: Stored, shown: Path, number: int) -> float:
    expected = (dcmtk.rendered(shown, frame=number, bits=8) * 255).round()
    return float(abs(frame - expected).max())
