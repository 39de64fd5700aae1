"""The gate: each limit by itself, and the study that passes them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_dx import gate
from edge_dx.manifest import Eligibility, Likeness
from edge_dx.result import Reason, Why
from edge_dx.sources import Study
from tests import tiny

Array = np.ndarray[Any, Any]
DX_STORAGE = "1.2.840.10008.5.1.4.1.1.1.1"
LIMITS = Eligibility(
    modalities=("CR", "DX"), sop_classes=(DX_STORAGE,), body_parts=("CHEST",), views=("PA", "AP"),
    min_age_years=15, min_side_px=100, max_aspect=2.0, min_contrast=0.02, max_clipped=0.5,
    max_colour=0.05,
)  # fmt: skip


def _never() -> Array:
    raise AssertionError("the header's look decodes nothing")


def study(**facts: Any) -> Study:
    return Study(None, "0" * 64, facts.pop("shape", (300, 200)), _never, **facts)


def codes(found: tuple[Why, ...]) -> list[Reason]:
    return [why.code for why in found]


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, []),
        ({"modality": "DX", "body_part": "CHEST", "view": "PA"}, []),
        ({"modality": "US"}, [Reason.MODALITY]),
        ({"body_part": "HAND"}, [Reason.BODY_PART]),
        ({"view": "LL"}, [Reason.VIEW]),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, [Reason.SOP_CLASS]),
        ({"sop_class": DX_STORAGE}, []),
        ({"presentation": "FOR PROCESSING"}, [Reason.FOR_PROCESSING]),
        ({"presentation": "FOR PRESENTATION"}, []),
        ({"age_years": 14.9}, [Reason.AGE]),
        ({"age_years": 15.0}, []),
        ({"frames": 2}, [Reason.FRAMES]),
        ({"shape": (99, 150)}, [Reason.RESOLUTION]),
        ({"shape": (100, 200)}, []),
        ({"shape": (100, 201)}, [Reason.RESOLUTION]),
        ({"modality": "CT", "body_part": "HEAD", "view": "X", "frames": 9, "shape": (9, 9)},
         [Reason.MODALITY, Reason.BODY_PART, Reason.VIEW, Reason.FRAMES, Reason.RESOLUTION]),
    ],
)  # fmt: skip
def test_the_header(facts: dict[str, Any], wanted: list[Reason]) -> None:
    found = gate.check_header(study(**facts), LIMITS)
    assert codes(found) == wanted
    assert all(why.detail for why in found)


def test_no_limits_accept_any_header() -> None:
    strange = study(modality="XC", body_part="HAND", view="LL", shape=(1, 50))
    assert gate.check_header(strange, Eligibility()) == ()


def test_raw_detector_values_are_taken_where_the_model_was_made_for_them() -> None:
    raw = study(presentation="FOR PROCESSING")
    assert codes(gate.check_header(raw, Eligibility())) == [Reason.FOR_PROCESSING]
    assert gate.check_header(raw, Eligibility(for_processing=True)) == ()


def test_the_sentence_says_what_was_found_and_what_is_known() -> None:
    (why,) = gate.check_header(study(modality="US"), LIMITS)
    assert why.detail == "modality is US; this model knows CR, DX"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_film_passes_whatever_its_type(dtype: Any) -> None:
    film = tiny.film(1, 200).astype(dtype) * (257 if dtype == np.uint16 else 1)
    assert gate.check_pixels(film, LIMITS) == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_flat_picture_is_blank_and_never_a_warning(dtype: Any, level: int) -> None:
    assert codes(gate.check_pixels(np.full((64, 64), level, dtype), LIMITS)) == [Reason.BLANK]


def test_faint_noise_is_blank() -> None:
    noise = np.random.default_rng(0).integers(120, 126, (200, 200)).astype(np.uint8)
    assert codes(gate.check_pixels(noise, LIMITS)) == [Reason.BLANK]


@pytest.mark.parametrize(("end", "word"), [(0, "black"), (255, "white")])
def test_a_clipped_film_says_at_which_end(end: int, word: str) -> None:
    film = tiny.film(2, 100)
    film[:60] = end
    (why,) = gate.check_pixels(film, LIMITS)
    assert why.code is Reason.CLIPPED
    assert why.detail == f"60% of the pixels are fully {word}"
    film[:60] = tiny.film(2, 100)[:60]
    film[:45] = end
    assert gate.check_pixels(film, LIMITS) == ()


def test_colour_is_refused_and_a_grey_picture_in_three_channels_is_not() -> None:
    film = tiny.film(3, 100)
    assert gate.check_pixels(np.repeat(film[..., None], 3, axis=2), LIMITS) == ()
    for channel in range(3):
        picture = np.repeat(film[..., None], 3, axis=2)
        picture[..., channel] = 255 - film
        assert codes(gate.check_pixels(picture, LIMITS)) == [Reason.COLOUR]


def test_a_large_film_is_judged_on_a_sample_with_the_same_answer() -> None:
    film = tiny.film(4, 2000)
    assert gate.check_pixels(film, LIMITS) == ()
    film[:1300] = 255
    assert codes(gate.check_pixels(film, LIMITS)) == [Reason.CLIPPED]


def test_pixels_are_only_looked_at() -> None:
    film = np.repeat(tiny.film(5, 600)[..., None], 3, axis=2)
    film.flags.writeable = False
    gate.check_pixels(film, LIMITS)


# --- likeness ---


@pytest.fixture
def films() -> Array:
    base = tiny.film(6, 32).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 25, (9, 1, 32, 32))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def limits(films: Array) -> Eligibility:
    template = gate.template_of(films, 8)
    return Eligibility(likeness=Likeness(side=8, template=template, min_correlation=0.5))


def test_a_template_has_no_mean_and_unit_length(films: Array) -> None:
    template = np.array(gate.template_of(films, 8))
    assert template.shape == (64,)
    assert abs(template.sum()) < 0.01
    assert np.linalg.norm(template) == pytest.approx(1, abs=1e-3)


def test_what_is_like_the_training_films_passes(films: Array, limits: Eligibility) -> None:
    for film in films:
        assert gate.check_prepared(film[None], limits) == ()


def test_the_correlation_is_pearsons(films: Array, limits: Eligibility) -> None:
    assert limits.likeness
    small = films[0, 0].reshape(8, 4, 8, 4).mean(axis=(1, 3)).ravel()
    wanted = np.corrcoef(small, limits.likeness.template)[0, 1]
    assert gate.correlation(films[:1], limits.likeness) == pytest.approx(wanted, abs=0.01)


def test_black_and_white_exchanged_is_told_from_something_else(
    films: Array, limits: Eligibility
) -> None:
    assert codes(gate.check_prepared(255 - films[:1], limits)) == [Reason.INVERTED]
    noise = np.random.default_rng(1).integers(0, 256, (1, 1, 32, 32)).astype(np.uint8)
    assert codes(gate.check_prepared(noise, limits)) == [Reason.UNLIKE_TRAINING]
    flat = np.zeros((1, 1, 32, 32), np.uint8)
    assert codes(gate.check_prepared(flat, limits)) == [Reason.UNLIKE_TRAINING]


def test_without_a_template_nothing_is_compared() -> None:
    assert gate.check_prepared(np.zeros((1, 1, 8, 8), np.uint8), Eligibility()) == ()
