"""Where the colour lands on the film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_dx
from edge_dx import overlay, sources, steps
from edge_dx.image import compile_steps
from edge_dx.manifest import ImageInput
from edge_dx.result import HeatMapImage, Result, Status, TimingMs
from edge_dx.trust import TrustStore
from tests import tiny

GRID = 8
SIDE = 64


def answer(heat: HeatMapImage | None, status: Status = Status.POSITIVE) -> Result:
    return Result(
        status=status, label="finding", score=0.9, operating_point=None, findings=(),
        probabilities={}, reasons=(), heat_map=heat, assumed=(), file=None, bundle="tiny 0.0.1",
        bundle_digest="", variant="onnx-fp32", engine="onnx", signer=None, input_digest=None,
        timing_ms=TimingMs(),
    )  # fmt: skip


def hot(row: int, column: int) -> HeatMapImage:
    values = np.zeros((GRID, GRID), np.float32)
    values[row, column] = 4
    return HeatMapImage("finding", values, (0.0, 4.0))


def spec(*prepare: steps.AnyStep) -> ImageInput:
    return ImageInput(
        name="image", shape=(1, SIDE, SIDE), dtype="uint8", unit="grey level",
        prepare=prepare, in_graph=(),
    )  # fmt: skip


def coloured(picture: np.ndarray) -> np.ndarray:
    """How far from grey each pixel is."""
    return picture.max(axis=2).astype(int) - picture.min(axis=2)


def centre(strength: np.ndarray) -> tuple[float, float]:
    """The centre of the colour, as shares of height and width."""
    y, x = np.mgrid[0 : strength.shape[0], 0 : strength.shape[1]]
    total = strength.sum()
    height, width = strength.shape
    return (
        float(((y + 0.5) * strength).sum() / total / height),
        float(((x + 0.5) * strength).sum() / total / width),
    )


def painted(pixels: np.ndarray, heat: HeatMapImage, *prepare: steps.AnyStep) -> np.ndarray:
    study = sources.from_array(pixels, modality="DX", photometric="MONOCHROME2")
    return overlay.film_with_map(study, answer(heat), compile_steps(prepare), spec(*prepare))


STRETCH = steps.Resize(height=SIDE, width=SIDE, interpolation="area")
PAD = steps.Resize(height=SIDE, width=SIDE, interpolation="area", fit="pad")

# Steps, (height, width) of the film, hot cell, and the cell's centre on the film by hand: the cell
# (row, column) has its centre at ((row + ½) / 8, (column + ½) / 8) of the prepared picture.
PLACES: list[tuple[str, tuple[Any, ...], tuple[int, int], tuple[int, int], tuple[float, float]]] = [
    ("stretched", (STRETCH,), (500, 700), (2, 5), (2.5 / 8, 5.5 / 8)),
    ("small film", (STRETCH,), (40, 48), (2, 5), (2.5 / 8, 5.5 / 8)),
    ("large film", (STRETCH,), (1500, 1200), (5, 2), (5.5 / 8, 2.5 / 8)),
    # A wide film lies between bars that take a quarter of the height above and below.
    ("padded", (PAD,), (400, 800), (3, 5), ((3.5 / 8 - 0.25) / 0.5, 5.5 / 8)),
    (
        "cropped",
        (steps.Crop(kind="fraction", top=0.2, left=0.3), STRETCH),
        (500, 600),
        (2, 5),
        (0.2 + 0.8 * 2.5 / 8, 0.3 + 0.7 * 5.5 / 8),
    ),
    ("mirrored", (steps.Orientation(mirror="horizontal"), STRETCH), (512, 512), (2, 6),
     (2.5 / 8, 1.5 / 8)),
    # Turned clockwise, what is at the top right was at the top left.
    ("turned", (steps.Orientation(rotate_deg=90), STRETCH), (512, 400), (1, 6),
     (1 - 6.5 / 8, 1.5 / 8)),
    (
        "cropped, turned and padded",
        (steps.Crop(kind="fraction", bottom=0.5), steps.Orientation(rotate_deg=180), PAD),
        (800, 800),
        (3, 5),
        # The upper half, upside down, between bars of a quarter.
        (0.5 * (1 - (3.5 / 8 - 0.25) / 0.5), 1 - 5.5 / 8),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("prepare", "shape", "cell", "place"),
    [case[1:] for case in PLACES],
    ids=[case[0] for case in PLACES],
)
def test_a_hot_cell_colours_its_place_on_the_film(
    prepare: tuple[Any, ...],
    shape: tuple[int, int],
    cell: tuple[int, int],
    place: tuple[float, float],
) -> None:
    film = cv2.resize(tiny.film(3), shape[::-1])
    picture = painted(film, hot(*cell), *prepare)
    strength = coloured(picture)
    found = centre(np.where(strength > 30, strength, 0))
    assert found == pytest.approx(place, abs=0.03)
    assert strength[0, -1] == strength[-1, 0] == 0


def test_what_was_cropped_away_stays_uncoloured() -> None:
    crop = steps.Crop(kind="fraction", left=0.4)
    film = np.full((400, 500), 128, np.uint8)
    film[::2] = 60
    picture = painted(film, hot(4, 0), crop, STRETCH)
    strength = coloured(picture)
    assert strength[:, :200].max() == 0
    assert strength[:, 200:240].max() > 30


def test_the_scale_is_fixed_so_that_a_weak_map_looks_weak() -> None:
    film = tiny.film(3, 400)
    strong, weak = hot(4, 4), HeatMapImage("finding", hot(4, 4).values / 4, (0.0, 4.0))
    loud = coloured(painted(film, strong, STRETCH)).max()
    assert 0 < coloured(painted(film, weak, STRETCH)).max() < loud / 2


def test_a_negative_answer_has_no_coloured_pixel_on_the_film(
    tiny_path: Path, trust: TrustStore
) -> None:
    model = edge_dx.load(tiny_path, trust=trust)
    films = [tiny.film(seed) for seed in range(12)]
    negatives = 0
    for film, result in zip(films, model.batch(films), strict=True):
        study = sources.from_array(film)
        inputs = model.bundle.manifest.inputs[0]
        picture = overlay.film_with_map(study, result, model.preparation, inputs)
        if result.status is Status.NEGATIVE:
            negatives += 1
            assert coloured(picture).max() == 0
        else:
            assert coloured(picture).max() > 0
    assert 0 < negatives < len(films)


@pytest.mark.parametrize("shape", [(30, 60), (64, 24), (2000, 600)])
def test_the_picture_with_its_words_fits_any_film(shape: tuple[int, int]) -> None:
    study = sources.from_array(np.resize(tiny.film(), shape))
    words = answer(hot(1, 1))
    picture = overlay.draw(study, words, compile_steps((STRETCH,)), spec(STRETCH))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert 384 <= max(picture.shape) <= 1000


def test_the_saved_picture_is_a_png(tmp_path: Path) -> None:
    study = sources.from_array(tiny.film(), modality="DX")
    target = tmp_path / "o.png"
    overlay.save(target, study, answer(None), compile_steps((STRETCH,)), spec(STRETCH))
    assert target.read_bytes().startswith(b"\x89PNG")
