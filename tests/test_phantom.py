"""Phantoms: the same again, opacities where they were put, and files that show what was drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import phantom, sources
from edge_dx.errors import MissingExtra
from edge_dx.phantom import Opacity, Phantom, draw, random_opacities

SIDE = 96
CLEAR: dict[int, Phantom] = {seed: draw(seed, SIDE, bits=16) for seed in (0, 1)}


def grey(film: Phantom) -> np.ndarray[Any, Any]:
    return np.asarray(film.pixels.astype(np.float64) / (2**film.bits - 1))


def distance(film: Phantom, spot: Opacity) -> np.ndarray[Any, Any]:
    """Of each pixel's centre from the opacity's, in picture widths."""
    height, width = film.pixels.shape
    y, x = np.mgrid[:height, :width] + 0.5
    return np.asarray(np.hypot(x / width - spot.x, (y / height - spot.y) * height / width))


def test_the_same_arguments_draw_the_same_film() -> None:
    arguments: dict[str, Any] = {"seed": 4, "size": (120, 100), "opacities": 3, "bits": 12}
    one, two = draw(**arguments), draw(**arguments)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.lung_mask.tobytes() == two.lung_mask.tobytes()
    assert one.opacities == two.opacities
    assert one.pixels.shape == one.lung_mask.shape == (120, 100)
    assert one.pixels.dtype == np.uint16
    assert one.lung_mask.dtype == np.bool_


def test_another_seed_is_another_chest() -> None:
    films = [draw(seed, SIDE) for seed in range(4)]
    for number, film in enumerate(films):
        for other in films[:number]:
            assert (film.pixels != other.pixels).mean() > 0.5
            assert (film.lung_mask != other.lung_mask).any()


def test_pixels_and_mask_cannot_be_written() -> None:
    film = CLEAR[0]
    assert not film.pixels.flags.writeable
    assert not film.lung_mask.flags.writeable


@pytest.mark.parametrize("seed", range(6))
def test_it_is_lit_like_a_chest_film(seed: int) -> None:
    film = draw(seed, SIDE)
    picture, lungs = grey(film), film.lung_mask
    columns = np.flatnonzero(lungs.any(axis=0))
    rows = np.flatnonzero(lungs.any(axis=1))
    middle = (columns[0] + columns[-1]) // 2
    upper, lower = rows[0] + len(rows) // 4, rows[0] + len(rows) // 2
    mediastinum = picture[upper:lower, middle - 2 : middle + 3].mean()
    abdomen = picture[rows[-1] + 2 : -6, middle - 20 : middle + 20].mean()
    assert 0.15 < lungs.mean() < 0.4
    assert not lungs[:, middle].any()
    left, right = lungs[:, :middle].sum(), lungs[:, middle:].sum()
    assert left > right  # the heart takes room on the picture's right, as displayed
    assert picture[lungs].mean() < mediastinum - 0.2
    assert picture[lungs].mean() < abdomen - 0.2
    assert np.percentile(picture, 2) < 0.15  # air beside the body
    assert np.percentile(picture[lungs], 2) > 0.2  # and none of it as dark in the lungs


@settings(max_examples=40, deadline=None)  # deadline: a shared machine's clock proves nothing
@given(
    seed=st.sampled_from(sorted(CLEAR)),
    place=st.floats(0, 1, exclude_max=True),
    radius=st.floats(0.04, 0.15),
    contrast=st.floats(0.2, 1),
    kind=st.sampled_from(["nodule", "infiltrate", "cavity"]),
)
def test_an_opacity_brightens_its_place_and_nothing_else(
    seed: int, place: float, radius: float, contrast: float, kind: phantom.Kind
) -> None:
    clear = CLEAR[seed]
    # Not at the very rim: what lies beside the lung is nearly as bright as an opacity can be.
    inside = cv2.erode(clear.lung_mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    ys, xs = np.nonzero(inside)
    pick = int(place * len(xs))
    spot = Opacity((xs[pick] + 0.5) / SIDE, (ys[pick] + 0.5) / SIDE, radius, contrast, kind)
    film = draw(seed, SIDE, [spot], bits=16)
    gain, away = grey(film) - grey(clear), distance(film, spot)
    pixel = 1 / SIDE
    assert np.array_equal(gain[away > radius + 2 * pixel], gain[away > radius + 2 * pixel] * 0)
    assert gain.min() >= 0
    near = (away < radius) & clear.lung_mask
    assert gain[near].max() > 0.04 * contrast
    if kind == "nodule":
        assert gain[near & (away < max(0.4 * radius, pixel))].mean() > 0.05 * contrast


def test_more_contrast_is_brighter_and_all_of_it_is_as_bright_as_solid_tissue() -> None:
    clear = CLEAR[1]
    rows = np.flatnonzero(clear.lung_mask.any(axis=1))
    row = rows[len(rows) // 2]
    column = np.flatnonzero(clear.lung_mask[row])[8]
    here = (row, column)
    values = [
        grey(draw(1, SIDE, [Opacity((column + 0.5) / SIDE, (row + 0.5) / SIDE, 0.1, c)], 16))[here]
        for c in (0.0, 0.25, 0.5, 1.0)
    ]
    assert values[0] == grey(clear)[here]
    assert np.diff(values).min() > 0.02
    share = (values[2] - values[0]) / (values[3] - values[0])
    assert share == pytest.approx(0.5, abs=0.02)


def test_behind_solid_tissue_an_opacity_does_not_show() -> None:
    film = draw(0, SIDE, [Opacity(0.5, 0.95, 0.05, 1.0)], 16)
    assert np.abs(grey(film) - grey(CLEAR[0])).max() < 0.01


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_bits_are_one_film_more_or_less_finely_stored(bits: int) -> None:
    coarse, fine = draw(2, SIDE, 2), draw(2, SIDE, 2, bits)
    assert coarse.pixels.dtype == np.uint8
    assert fine.pixels.max() < 2**bits
    assert np.abs(grey(coarse) - grey(fine)).max() <= 0.5 / 255 + 0.5 / (2**bits - 1) + 1e-9


def test_one_anatomy_at_every_size() -> None:
    small, large = draw(3, 128), draw(3, 512)
    blocks = grey(large).reshape(128, 4, 128, 4).mean(axis=(1, 3))
    assert np.corrcoef(blocks.ravel(), grey(small).ravel())[0, 1] > 0.99
    assert small.lung_mask.mean() == pytest.approx(large.lung_mask.mean(), abs=0.01)


def test_opacities_by_chance_lie_in_the_lungs_and_mostly_above() -> None:
    upper = []
    for seed in range(6):
        lungs = draw(seed, SIDE).lung_mask
        rows = np.flatnonzero(lungs.any(axis=1))
        for spot in random_opacities(seed, 12):
            assert lungs[int(spot.y * SIDE), int(spot.x * SIDE)]
            upper.append(spot.y * SIDE < (rows[0] + rows[-1]) / 2)
    assert 0.6 < np.mean(upper) < 1
    assert random_opacities(5, 3) == random_opacities(5, 3) == random_opacities(5, 9)[:3]
    assert draw(5, SIDE, 3).opacities == random_opacities(5, 3)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_png_round_trip(tmp_path: Path, bits: int) -> None:
    film = draw(1, SIDE, 1, bits)
    path = tmp_path / "phantom.png"
    phantom.write_png(film, path)
    read = sources.read(path).pixels
    spare = 0 if bits == 8 else 16 - bits
    assert np.array_equal(read >> spare, film.pixels)
    # 12 bits do not divide 16 evenly: within a level of 16.
    level = 1 / 65535 if bits == 12 else 0
    assert np.abs(read / np.iinfo(read.dtype).max - grey(film)).max() <= level + 1e-9


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dicom_shows_the_same_film_either_way_round(tmp_path: Path, bits: int) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra `dicom`")
    film = draw(1, (SIDE, SIDE + 1), 1, bits)
    stored = {}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        path = tmp_path / f"{photometric}.dcm"
        phantom.write_dicom(film, path, photometric)
        data = pydicom.dcmread(path)
        assert data.PhotometricInterpretation == photometric
        assert (data.Modality, data.BodyPartExamined, data.ViewPosition) == ("DX", "CHEST", "PA")
        assert (data.PatientName, data.PatientID) == ("PHANTOM^CHEST", "PHANTOM")
        assert data.ImageComments == "drawn phantom, no patient"
        assert (data.BitsStored, data.BurnedInAnnotation) == (bits, "NO")
        assert 0.1 < data.ImagerPixelSpacing[0] * film.pixels.shape[1] / 1000 < 0.5  # metres
        assert all(u.is_valid for u in (data.SOPInstanceUID, data.StudyInstanceUID))
        stored[photometric] = data
        study = sources.read(path)
        assert (study.modality, study.body_part, study.view) == ("DX", "CHEST", "PA")
        shown = study.pixels / np.iinfo(study.pixels.dtype).max
        # The reader brings 12 bits to 16, rounding in float32: within a level of 16.
        level = 1 / 65535 if bits == 12 else 0
        assert np.abs(shown - grey(film)).max() <= level + 1e-9
    assert np.array_equal(stored["MONOCHROME2"].pixel_array, film.pixels)
    one, two = stored.values()
    assert np.array_equal(2**bits - 1 - one.pixel_array, two.pixel_array)
    assert one.SOPInstanceUID != two.SOPInstanceUID


def test_dicom_bytes_are_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra `dicom`")
    paths = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for path in paths:
        phantom.write_dicom(draw(6, 65), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_without_pydicom_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["pydicom", *(n for n in sys.modules if n.startswith("pydicom."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'edge-dx\[dicom\]'"):
        phantom.write_dicom(CLEAR[0], tmp_path / "phantom.dcm")


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({"bits": 7}, "8 to 16"),
        ({"bits": 17}, "8 to 16"),
        ({"size": 8}, "32 to 4096"),
        ({"size": (96, 5000)}, "32 to 4096"),
        ({"size": (96, 96, 3)}, r"\(height, width\)"),
        ({"seed": -1}, "0 or more"),
        ({"opacities": -1}, "0 to 64"),
    ],
)
def test_what_cannot_be_drawn_says_what_can(arguments: dict[str, Any], allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        draw(**arguments)


@pytest.mark.parametrize("field", ["x", "y", "radius", "contrast"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_an_opacity_is_given_in_shares(field: str, value: float) -> None:
    fields: dict[str, Any] = {"x": 0.3, "y": 0.3, "radius": 0.1, "contrast": 0.5, field: value}
    with pytest.raises(ValueError, match=f"{field} is a share from 0 to 1"):
        Opacity(**fields)


def test_an_opacity_has_a_size_and_a_known_kind() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Opacity(0.3, 0.3, 0.0, 0.5)
    with pytest.raises(ValueError, match=r"nodule.*infiltrate.*cavity"):
        Opacity(0.3, 0.3, 0.1, 0.5, "mass")  # type: ignore[arg-type]  # what is tested


def test_an_unknown_photometric_interpretation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="MONOCHROME1 or MONOCHROME2"):
        phantom.write_dicom(CLEAR[0], tmp_path / "x.dcm", "RGB")  # type: ignore[arg-type]  # tested
