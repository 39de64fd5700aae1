"""The measures of quality on drawn pictures, and the limits that ask for them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import gate, phantom
from edge_dx.gate import measures
from edge_dx.manifest import Eligibility, Quality
from edge_dx.result import Reason
from tests import tiny

Array = np.ndarray[Any, Any]
ROUNDING = 0.04
"""Sharpness of nothing but the rounding to whole grey levels; a blur can take no more away."""


def film(seed: int = 0, side: int = 384) -> Array:
    return phantom.draw(seed, side, 2, 8).pixels


def written(picture: Array, lines: int, ink: int = 255) -> Array:
    found = picture.copy()
    for k in range(lines):
        cv2.putText(found, "NAME JANE DOE  12.03.1975", (20, 30 + 28 * k),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.6, ink, 1, cv2.LINE_AA)  # fmt: skip
    return found


def codes(pixels: Array, **limits: Any) -> list[Reason]:
    return [why.code for why in gate.check_pixels(pixels, Eligibility(quality=Quality(**limits)))]


def all_measures(pixels: Array) -> list[float]:
    grey = measures.looked_at(pixels)
    return [
        measure(grey)
        for measure in (
            measures.sharpness, measures.exposure, measures.field_share, measures.text_share
        )
    ]  # fmt: skip


# --- what the numbers do ---


@given(seed=st.integers(0, 50), sigma=st.floats(0.8, 6), more=st.floats(1.3, 3))
@settings(max_examples=25, deadline=None)
def test_a_stronger_blur_is_less_sharp(seed: int, sigma: float, more: float) -> None:
    picture = film(seed, 256)
    blurred = [cv2.GaussianBlur(picture, (0, 0), s) for s in (sigma, sigma * more)]
    sharp, soft, softer = (measures.sharpness(each) for each in (picture, *blurred))
    assert sharp > soft > 0
    assert soft > softer or max(soft, softer) < ROUNDING


@given(seed=st.integers(0, 50), gain=st.floats(0.3, 1))
@settings(max_examples=25, deadline=None)
def test_sharpness_does_not_ask_for_the_exposure(seed: int, gain: float) -> None:
    picture = film(seed, 256)
    darker = np.rint(picture * gain).astype(np.uint8)
    # Rounding to whole grey levels is noise of its own, the more so the darker the film.
    assert measures.sharpness(darker) == pytest.approx(measures.sharpness(picture), rel=0.35)


@given(seed=st.integers(0, 50), lines=st.integers(0, 3), side=st.sampled_from([256, 384, 500]))
@settings(max_examples=20, deadline=None)
def test_8_and_16_bits_give_the_same_numbers(seed: int, lines: int, side: int) -> None:
    picture = written(film(seed, side), lines)
    assert all_measures(picture.astype(np.uint16) * 257) == all_measures(picture)


def test_a_large_film_gives_nearly_the_same_numbers() -> None:
    picture = film(3, 512)
    larger = cv2.resize(picture, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    for one, other in zip(all_measures(picture), all_measures(larger), strict=True):
        assert other == pytest.approx(one, rel=0.1, abs=0.005)


def test_floats_and_colour_channels_are_looked_at_too() -> None:
    picture = cv2.normalize(film(4), None, 0, 255, cv2.NORM_MINMAX)  # floats: their own range
    exposure = measures.exposure(measures.looked_at(picture))
    for other in (picture.astype(np.float32) * 3.7 - 12, np.repeat(picture[..., None], 3, axis=2)):
        assert measures.exposure(measures.looked_at(other)) == pytest.approx(exposure, abs=0.02)


@given(seed=st.integers(0, 50), gain=st.floats(0.2, 0.9))
@settings(max_examples=20, deadline=None)
def test_less_light_is_a_lower_exposure(seed: int, gain: float) -> None:
    picture = film(seed, 256)
    assert measures.exposure((picture * gain).astype(np.uint8)) < measures.exposure(picture)


def test_black_borders_are_no_exposure() -> None:
    picture = film(5)
    framed = np.zeros((800, 384), np.uint8)
    framed[200:584] = picture
    assert measures.exposure(framed) == pytest.approx(measures.exposure(picture), abs=0.02)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_the_field_is_the_largest_bright_piece(share: float) -> None:
    picture = np.zeros((400, 400), np.uint8)
    side = round(400 * share**0.5)
    picture[20 : 20 + side, 15 : 15 + side] = 90
    found = measures.field_share(written(picture, 1) if share < 0.8 else picture)
    assert found == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("level", [0, 7, 128, 255])
def test_a_flat_picture_has_numbers_too(level: int) -> None:
    flat = np.full((64, 80), level, np.uint8)
    assert all_measures(flat) == [0.0, level / 255 if level > 12 else 0.0, level > 12, 0.0]


@pytest.mark.parametrize(("ground", "ink"), [("film", 0), ("black", 255), ("white", 0)])
def test_more_lines_of_text_are_a_larger_share(ground: str, ink: int) -> None:
    picture = {"film": film(6), "black": np.full((384, 384), 30, np.uint8),
               "white": np.full((384, 384), 225, np.uint8)}[ground]  # fmt: skip
    shares = [measures.text_share(written(picture, lines, ink)) for lines in (0, 2, 5)]
    assert shares[0] < 0.005
    assert shares[2] > shares[1] > 0.02
    box = 5 * 250 * 15 / picture.size  # five lines of about 250 by 15 pixels
    assert 0.5 * box < shares[2] < 2 * box


@given(lines=st.integers(0, 9), limit=st.floats(0, 0.3), seed=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_the_short_way_to_the_share_of_text_decides_alike(
    lines: int, limit: float, seed: int
) -> None:
    picture = written(film(seed), lines, 0)
    shortened = measures.text_share(picture, at_least=limit)
    assert (shortened > limit) == (measures.text_share(picture) > limit)


def test_films_phantoms_and_textures_hold_no_text() -> None:
    for seed in range(12):
        assert measures.text_share(film(seed)) < 0.01
        assert measures.text_share(tiny.film(seed, 400)) == 0


# --- the limits ---

BLURRED = cv2.GaussianBlur(film(1), (0, 0), 6)
DARK = (film(1) * 0.15).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "limit", "reason"),
    [
        (BLURRED, {"min_sharpness": 0.06}, Reason.BLUR),
        (DARK, {"exposure": (0.2, 0.95)}, Reason.UNDER_EXPOSED),
        (255 - DARK, {"exposure": (0.2, 0.85)}, Reason.OVER_EXPOSED),
        (np.pad(film(1, 256), 300), {"min_field": 0.35}, Reason.FIELD),
        (written(film(1), 8), {"max_text": 0.03}, Reason.BURNED_IN_TEXT),
    ],
)
def test_each_limit_refuses_for_its_own_reason(
    pixels: Array, limit: dict[str, Any], reason: Reason
) -> None:
    assert codes(pixels, **limit) == [reason]
    assert codes(pixels) == []  # without the limit nothing is asked
    assert codes(film(1), **limit) == []  # and the film itself passes
    for other in (pixels.astype(np.uint16) * 257, np.repeat(pixels[..., None], 3, axis=2)):
        assert codes(other, **limit) == [reason]


def test_the_first_thing_wrong_is_told_alone() -> None:
    assert codes(np.zeros((300, 300), np.uint8), min_sharpness=1.0, min_field=1.0) == [Reason.BLUR]
    limits = Eligibility(min_contrast=0.02, quality=Quality(min_sharpness=1.0))
    (why,) = gate.check_pixels(np.zeros((300, 300), np.uint8), limits)
    assert why.code is Reason.BLANK


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 3), (2, 700, 3), (1023, 1025)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_shape_has_numbers(shape: tuple[int, ...], dtype: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    for picture in (noise, noise[::-1, ::-1]):
        picture.flags.writeable = False
        assert np.isfinite(all_measures(picture)).all()


@pytest.mark.parametrize("side", [384, 2000])
def test_pixels_are_only_looked_at(side: int) -> None:
    picture = film(2, side)
    picture.flags.writeable = False
    codes(picture, exposure=(0.1, 0.9), min_sharpness=0.01, min_field=0.1, max_text=0.5)
