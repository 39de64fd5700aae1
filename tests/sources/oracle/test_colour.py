"""Colour pictures: RGB, YBR and palettes, in every layout and transfer syntax."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the oracle writes its files with pydicom")

from pydicom.dataset import Dataset

import edge_dx.sources
from tests.sources.oracle import dcmtk
from tests.sources.oracle.datasets import (
    LOSSLESS,
    NATIVE,
    Stored,
    colour,
    grey,
    grey_pixels,
    rgb_pixels,
    store,
    store_jpeg,
)  # fmt: skip
from tests.sources.oracle.decoders import dcmtk_is_here, needs

pytestmark = dcmtk_is_here

EVERY_SYNTAX = [pytest.param(s, marks=needs(s)) for s in (*NATIVE, *LOSSLESS)]
NATIVE_SYNTAXES = [pytest.param(s, marks=needs(s)) for s in NATIVE]

PALETTES = {
    "16bit-entries": (8, 16, 0, 256),
    "8bit-entries": (8, 8, 0, 256),
    "clamped": (8, 16, 40, 121),
    "8bit-clamped": (8, 8, 40, 121),
    "12bit-indices": (12, 16, 0, 4096),
}
"""Bits of an index and of an entry, first index mapped, number of entries."""

JPEGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "grey": ("MONOCHROME2", {}, "+cp"),
    "grey-inverted": ("MONOCHROME1", {}, "+cp"),
    "rgb": ("RGB", {"keep_rgb": True}, "+cp"),
    "ybr-444": ("YBR_FULL", {"subsampling": 0}, "+cp"),
    "ybr-422": ("YBR_FULL_422", {"subsampling": 1}, "+cp"),
    "ybr-420": ("YBR_FULL_422", {"subsampling": 2}, "+cp"),
    "rgb-by-header-ybr-by-codestream": ("RGB", {"subsampling": 1}, "+cg"),
    "ybr-by-header-rgb-by-codestream": ("YBR_FULL_422", {"keep_rgb": True}, "+cg"),
}
"""Photometric interpretation, what Pillow is told, and whom DCMTK is to believe about the colours:
the header (+cp), or the codestream's own mark where the two disagree (+cg)."""

BEYOND_ANOTHER_IDCT = 2
"""The standard leaves a decoder's arithmetic free (ISO 10918-2 allows one level per coefficient);
colour adds a rounding of its own."""
BEYOND_INTEGER_TABLES = 2
"""DCMTK adds up integer tables that are cut off term by term, about 127.5 instead of 128; edge_dx
rounds the standard's formula once, which is tested beside it to the last level."""


LAYOUTS = [
    pytest.param(
        syntax, planar, id=f"{syntax}-by-{'plane' if planar else 'pixel'}", marks=needs(syntax)
    )
    for syntax, planar in product((*NATIVE, *LOSSLESS), (0, 1))
    # Other codestreams have a layout of their own, in which the header has no say.
    if not planar or syntax in NATIVE or syntax == "rle"
]


@pytest.mark.parametrize(("syntax", "planar"), LAYOUTS)
def test_rgb(syntax: str, planar: int, tmp_path: Path) -> None:
    pixels = rgb_pixels(f"rgb-{syntax}-{planar}")
    data = colour("RGB", planar)
    path = store(data, pixels, syntax, tmp_path / "picture.dcm")
    shown = _native_twin(colour("RGB"), pixels, path) if syntax == "jpeg-2000" else path
    assert _levels_apart(path, shown) == 0


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_rgb_of_16_bit(syntax: str, tmp_path: Path) -> None:
    fine = rgb_pixels(f"rgb16-{syntax}").astype(np.uint16)
    pixels = fine * 256 + fine[..., ::-1] // 3  # all 16 bits, not 8 of them twice
    path = store(colour("RGB", bits=16), pixels, syntax, tmp_path / "picture.dcm")
    shown = path
    if syntax == "jpeg-2000":
        shown = _native_twin(colour("RGB", bits=16), pixels, path)
    found = edge_dx.sources.read(path).pixels
    assert found.dtype == np.uint16
    assert dcmtk.apart(found, dcmtk.rendered(shown)).max() == 0


@pytest.mark.parametrize("planar", [0, 1], ids=["by-pixel", "by-plane"])
@pytest.mark.parametrize("syntax", [*NATIVE_SYNTAXES, pytest.param("rle", marks=needs("rle"))])
def test_ybr_full(syntax: str, planar: int, tmp_path: Path) -> None:
    pixels = rgb_pixels(f"ybr-{syntax}-{planar}")  # any three bytes are a colour
    data = colour("YBR_FULL", planar)
    path = store(data, pixels, syntax, tmp_path / "picture.dcm")
    assert _levels_apart(path, path) <= BEYOND_INTEGER_TABLES
    assert dcmtk.apart(edge_dx.sources.read(path).pixels, _rgb_of_ybr(pixels[0])).max() == 0


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
def test_ybr_full_422(syntax: str, tmp_path: Path) -> None:
    pixels = rgb_pixels(f"ybr422-{syntax}")
    pixels = pixels[:, :, : pixels.shape[2] // 2 * 2]  # two pixels share a pair of chroma samples
    pixels[:, :, 1::2, 1:] = pixels[:, :, ::2, 1:]
    pairs = np.stack(
        [pixels[..., ::2, 0], pixels[..., 1::2, 0], pixels[..., ::2, 1], pixels[..., ::2, 2]], -1
    )
    data = colour("YBR_FULL_422")
    store(data, pixels, syntax, tmp_path / "picture.dcm")
    data.PixelData = pairs.tobytes()
    data["PixelData"].VR = "OB"
    path = tmp_path / "picture.dcm"
    data.save_as(path, enforce_file_format=True)
    assert _levels_apart(path, path) <= BEYOND_INTEGER_TABLES
    assert dcmtk.apart(edge_dx.sources.read(path).pixels, _rgb_of_ybr(pixels[0])).max() == 0


@pytest.mark.parametrize("photometric", ["YBR_RCT", "RGB"])
@pytest.mark.parametrize("syntax", [pytest.param("jpeg-2000", marks=needs("jpeg-2000"))])
def test_colour_transform_inside_the_codestream(
    syntax: str, photometric: str, tmp_path: Path
) -> None:
    pixels = rgb_pixels(f"{photometric}-{syntax}")
    path = store(colour(photometric), pixels, syntax, tmp_path / "picture.dcm")
    assert _levels_apart(path, _native_twin(colour("RGB"), pixels, path)) == 0


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_palette(syntax: str, palette: str, tmp_path: Path) -> None:
    bits, entry_bits, first, count = PALETTES[palette]
    pixels = grey_pixels(f"{palette}-{syntax}", bits, signed=False)
    data = grey("PALETTE COLOR", bits, signed=False)
    for name, curve in zip(("Red", "Green", "Blue"), _curves(count), strict=True):
        entries = np.rint(curve * (2**entry_bits - 1)).astype(f"u{entry_bits // 8}")
        words = np.frombuffer(entries.tobytes() + bytes(entries.nbytes % 2), "<u2")
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [count, first, entry_bits])
        # Entries of 8 bit lie two to a word, and a word is what big endian turns round.
        raw = words.astype(">u2" if syntax == "big-endian" else "<u2").tobytes()
        setattr(data, f"{name}PaletteColorLookupTableData", raw)
    path = store(data, pixels, syntax, tmp_path / "picture.dcm")
    shown = _native_twin(data, pixels, path) if syntax == "jpeg-2000" else path
    assert _levels_apart(path, shown) == 0


@pytest.mark.parametrize("how", JPEGS)
def test_jpeg(how: str, tmp_path: Path) -> None:
    photometric, encoding, belief = JPEGS[how]
    pixels = rgb_pixels(how)
    if photometric.startswith("MONOCHROME"):
        data, pixels = grey(photometric, 8, signed=False), pixels[..., 2]
    else:
        data = colour(photometric)
    path = store_jpeg(data, pixels, tmp_path / "picture.dcm", **encoding)
    assert _levels_apart(path, path, belief) <= BEYOND_ANOTHER_IDCT


def _curves(count: int) -> list[dcmtk.Reals]:
    """Three tables from 0 to 1: rising, falling, and there and back."""
    rising = np.linspace(0, 1, count)
    return [rising**1.5, 1 - rising, np.sin(np.pi * rising)]


def _native_twin(data: Dataset, pixels: Stored, path: Path) -> Path:
    """The same picture as Debian's DCMTK, which has no JPEG 2000, can show it."""
    return store(data, pixels, "explicit", path.with_name("native.dcm"))


def _rgb_of_ybr(ybr: Stored) -> dcmtk.Reals:
    """PS3.3 C.7.6.3.1.2, black to white as 0 to 1."""
    y, cb, cr = (ybr[..., k].astype(float) - (128 if k else 0) for k in range(3))
    green = y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587
    return np.clip(np.stack([y + 1.402 * cr, green, y + 1.772 * cb], axis=-1), 0, 255) / 255


def _levels_apart(path: Path, shown: Path, *options: str) -> float:
    """The worst sample, in levels of 255. DCMTK gives 8 bit here: nothing needs rounding."""
    pixels = edge_dx.sources.read(path).pixels
    assert pixels.dtype == np.uint8
    return float(np.abs(pixels - dcmtk.rendered(shown, *options, bits=8) * 255).max().round(6))
