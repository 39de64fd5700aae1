"""Arrays with stated facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx import sources
from edge_dx.errors import TensorMismatch, UnreadableInput
from tests import tiny


def test_facts_are_kept_and_what_is_not_stated_is_assumed() -> None:
    study = edge_dx.study(tiny.film(), modality="DX", body_part="CHEST", view="PA",
                          photometric="MONOCHROME2", mm_per_px=(0.2, 0.2))  # fmt: skip
    assert (study.modality, study.body_part, study.view) == ("DX", "CHEST", "PA")
    assert study.mm_per_px == (0.2, 0.2)
    assert study.assumed == ()
    assert study.path is None
    assert len(sources.read(tiny.film()).assumed) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_monochrome1_is_turned_round_and_back(dtype: Any) -> None:
    film = tiny.film().astype(dtype)
    before = film.copy()
    turned = edge_dx.study(film, photometric="MONOCHROME1").pixels
    assert turned.dtype == dtype
    assert np.array_equal(turned.argmin(), film.argmax())
    assert np.array_equal(edge_dx.study(turned, photometric="MONOCHROME1").pixels, before)
    assert np.array_equal(film, before)
    if dtype != np.float32:
        assert np.array_equal(turned, np.iinfo(dtype).max - film)


def test_the_digest_covers_type_shape_and_content_and_not_the_layout() -> None:
    film = tiny.film()
    one = edge_dx.study(film).digest
    assert edge_dx.study(np.asfortranarray(film)).digest == one
    others = (film.astype(np.uint16), film.reshape(32, 128), film ^ 1)
    digests = {edge_dx.study(other).digest for other in others}
    digests.add(edge_dx.study(film, photometric="MONOCHROME1").digest)
    assert len(digests | {one}) == 5


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 4, 1), (4, 4, 4), (1, 4, 4, 3)])
def test_a_shape_that_no_image_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorMismatch, match="an image is"):
        edge_dx.study(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", ["f8", "i2", "?", ">u2", ">f4", "O", "U1"])
def test_a_type_that_no_image_has(dtype: str) -> None:
    with pytest.raises(TensorMismatch, match="pixels are uint8, uint16 or float32"):
        edge_dx.study(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none(value: float) -> None:
    film = tiny.film().astype(np.float32)
    film[0, 0] = value
    with pytest.raises(UnreadableInput, match="NaN or infinity"):
        edge_dx.study(film)


@pytest.mark.parametrize("source", [None, 3, [[1, 2], [3, 4]], b"bytes", object()])
def test_what_no_study_can_be_read_from(source: Any) -> None:
    with pytest.raises(TensorMismatch, match="give a path, a DICOM data set, an array"):
        sources.read(source)
