"""Grey pictures: every photometric interpretation × bits × sign × treatment, and every syntax."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the oracle writes its files with pydicom")

from pydicom.dataset import Dataset

import edge_dx.sources
from tests.sources.oracle import dcmtk, treatments
from tests.sources.oracle.datasets import (
    LOSSLESS,
    NATIVE,
    SYNTAXES,
    Stored,
    grey,
    grey_pixels,
    grey_range,
    store,
)
from tests.sources.oracle.decoders import dcmtk_is_here, needs
from tests.sources.oracle.treatments import TREATMENTS

pytestmark = dcmtk_is_here


@dataclass(frozen=True)
class Case:
    """One file of the matrix."""

    photometric: str
    bits: int
    signed: bool
    treatment: str = "plain"
    syntax: str = "explicit"
    allocated: int | None = None

    def __str__(self) -> str:
        bits = f"{self.bits}of{self.allocated}bit" if self.allocated else f"{self.bits}bit"
        sign = "signed" if self.signed else "unsigned"
        return f"{self.photometric}-{bits}-{sign}-{self.treatment}-{self.syntax}"

    def header(self) -> Dataset:
        return grey(self.photometric, self.bits, self.signed, self.allocated)

    def pixels(self) -> Stored:
        return grey_pixels(str(self), self.bits, self.signed, allocated=self.allocated)

    @property
    def inverted(self) -> bool:
        return self.photometric == "MONOCHROME1" or "inverse" in self.treatment


KINDS = list(product(("MONOCHROME2", "MONOCHROME1"), (8, 10, 12, 16), (False, True)))
TREATED = [
    Case(*kind, treatment)
    for treatment, kind in product(TREATMENTS, KINDS)
    # An overlay needs room above the stored bits.
    if kind[1] in (10, 12) or treatment != "overlay-in-high-bits"
]
IN_OTHER_SYNTAXES = [
    Case(*kind, treatment, syntax)
    for syntax, treatment, kind in product(SYNTAXES, ("plain", "rescale-then-window"), KINDS)
    if syntax not in ("explicit", "jpeg")
]


def drawn(number: int) -> list[Case]:
    """Combinations that the tables above leave out, the same in every run."""
    draw = random.Random(number)
    found: set[Case] = set()
    while len(found) < number:
        allocated = draw.choice((8, 16))
        case = Case(
            photometric=draw.choice(("MONOCHROME1", "MONOCHROME2")),
            bits=draw.randint(6, allocated),
            signed=draw.random() < 0.5,
            treatment=draw.choice(list(TREATMENTS)),
            syntax=draw.choice([*NATIVE, *LOSSLESS]),
            allocated=allocated,
        )
        if case.treatment == "overlay-in-high-bits":  # needs native words with room above
            continue
        if case.syntax == "rle" and case.bits <= 8 < allocated:
            continue  # pydicom's encoder writes one byte of the two
        found.add(case)
    return sorted(found, key=str)


def cases(table: list[Case]) -> list[object]:
    return [pytest.param(case, id=str(case), marks=needs(case.syntax)) for case in table]


@pytest.mark.parametrize("case", cases(TREATED))
def test_header_is_obeyed(case: Case, tmp_path: Path) -> None:
    assert _levels_apart(case, tmp_path) == 0


@pytest.mark.parametrize("case", cases(IN_OTHER_SYNTAXES))
def test_syntax_makes_no_difference(case: Case, tmp_path: Path) -> None:
    assert _levels_apart(case, tmp_path) == 0


@pytest.mark.parametrize("case", cases(drawn(200)))
def test_any_combination(case: Case, tmp_path: Path) -> None:
    assert _levels_apart(case, tmp_path) == 0


@pytest.mark.parametrize("ends", ["value", "range"])
@pytest.mark.parametrize("case", cases([Case(*kind, "window") for kind in KINDS]))
def test_padding_is_dark(case: Case, ends: str, tmp_path: Path) -> None:
    """DCMTK shows padding as what it is stored as, so only what lies beside it is compared."""
    data, (low, high) = case.header(), grey_range(case.bits, case.signed)
    asked = treatments.window(data, low, high)
    pixels = grey_pixels(f"padding-{ends}-{case}", case.bits, case.signed)
    last = low
    data.add_new("PixelPaddingValue", "SS" if case.signed else "US", low)
    if ends == "range":
        last = low + (high - low) // 16
        data.add_new("PixelPaddingRangeLimit", "SS" if case.signed else "US", last)
    path = store(data, pixels, "explicit", tmp_path / "picture.dcm")
    padding = pixels[0] <= last
    found = edge_dx.sources.read(path).pixels
    assert (found[padding] == 0).all()
    assert dcmtk.apart(found, dcmtk.rendered(path, *asked.options))[~padding].max() == 0


@pytest.mark.parametrize(
    "case",
    cases([
        Case("MONOCHROME2", bits, signed, "window", syntax)
        for bits, signed, syntax in product((10, 12), (False, True), ("explicit", "implicit"))
    ]),
)  # fmt: skip
def test_value_in_the_upper_bits(case: Case, tmp_path: Path) -> None:
    """High Bit 15: the stored bits at the top of the word, and below them none of the value."""
    data = case.header()
    data.HighBit = 15
    asked = treatments.window(data, *grey_range(case.bits, case.signed))
    pixels = grey_pixels(f"upper-{case}", case.bits, case.signed)
    words = pixels.view(np.uint16) << np.uint16(16 - case.bits) | np.uint16(3)
    path = store(data, words.view(pixels.dtype), case.syntax, tmp_path / "picture.dcm")
    found = edge_dx.sources.read(path).pixels
    assert dcmtk.apart(found, dcmtk.rendered(path, *asked.options)).max() == 0


def _levels_apart(case: Case, folder: Path) -> float:
    """The worst pixel, in levels of its type beyond rounding."""
    data = case.header()
    asked = TREATMENTS[case.treatment](data, *grey_range(case.bits, case.signed))
    pixels = case.pixels()
    if case.treatment == "overlay-in-high-bits":
        pixels = _with_dirt(pixels, case.bits)
    path = store(data, pixels, case.syntax, folder / "picture.dcm")
    shown = path
    # Debian's DCMTK has no decoder for JPEG 2000, and refuses RLE and JPEG-LS where 8 bits or fewer
    # lie in 16, or fewer in 8. Then it is shown the same pixels, native.
    if case.syntax == "jpeg-2000" or (case.syntax in LOSSLESS and case.allocated):
        shown = store(data, pixels, "explicit", folder / "native.dcm")
    expected = asked.corrected(dcmtk.rendered(shown, *asked.options), inverted=case.inverted)
    return float(dcmtk.apart(edge_dx.sources.read(path).pixels, expected).max())


def _with_dirt(pixels: Stored, bits: int) -> Stored:
    """The unused high bits filled, with neither zeros nor the sign."""
    words = pixels.view(np.uint16) & np.uint16(2**bits - 1)
    columns = np.arange(pixels.shape[-1], dtype=np.uint16) % 2 ** (16 - bits)
    return (words | columns << np.uint16(bits)).view(pixels.dtype)
