"""The scanned field of an ultrasound picture, and the part of a picture that a model looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_dx import proof, sources
from edge_dx.bundle import write_bundle
from edge_dx.errors import UnsupportedInput
from edge_dx.manifest import ImageInput
from edge_dx.model import load
from edge_dx.overlay import film_with_map
from edge_dx.result import Reason, Status
from edge_dx.sources import fan, view
from edge_dx.sources.study import Region
from tests import tiny

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "dicom_samples" / "files"
Picture = np.ndarray[Any, Any]


def sector(*, text: bool = True, seed: int = 0) -> tuple[Picture, Region]:
    """A convex probe's sector with speckle, beside it what machines write; and where it lies."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((480, 640), np.uint8)
    cv2.ellipse(mask, (320, 60), (340, 340), 90, -35, 35, 255, -1)
    cv2.ellipse(mask, (320, 60), (60, 60), 90, -40, 40, 0, -1)
    speckle = np.clip(rng.rayleigh(45, mask.shape), 0, 255).astype(np.uint8)
    picture = np.where(mask > 0, np.maximum(speckle, 12), 0).astype(np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if text:
        for line, words in enumerate(("ST. ELSEWHERE", "DOE^JANE", "MI 1.1", "12 cm")):
            place = (8, 24 + 24 * line)
            cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
        picture[100:300, 620:630] = np.linspace(255, 0, 200).astype(np.uint8)[:, None]
    box = Region(int(rows[0]), int(columns[0]), int(np.ptp(rows) + 1), int(np.ptp(columns) + 1),
                 None, "fan", 1.0)  # fmt: skip
    return picture, box


def overlap(a: Region, b: Region) -> float:
    """Intersection over union of two boxes."""
    rows = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    columns = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    shared = max(0, rows) * max(0, columns)
    return shared / (a.height * a.width + b.height * b.width - shared)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["grey", "rgb", "16 bit"])
def test_a_sector_is_found_among_text_and_scales(kind: str, seed: int) -> None:
    picture, box = sector(seed=seed)
    if kind == "rgb":
        picture = np.stack([picture] * 3, axis=-1)
        picture[:20, :, 2] = 200  # a blue bar across the top
    if kind == "16 bit":
        picture = picture.astype(np.uint16) * 257
    found = fan.find(picture)
    assert found is not None
    assert overlap(found, box) > 0.9
    assert found.confidence > 0.8
    assert found.mm_per_px is None


def test_where_there_is_no_field_none_is_found() -> None:
    assert fan.find(np.zeros((480, 640), np.uint8)) is None
    words = np.zeros((480, 640), np.uint8)
    cv2.putText(words, "NO SIGNAL", (100, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 2)
    assert fan.find(words) is None
    for side in (1, 2, 7):
        fan.find(np.full((side, 1), 255, np.uint8))  # no room for a field, and no error


def test_the_header_is_believed_before_the_picture() -> None:
    picture, _ = sector()
    header = Region(10, 20, 30, 40, (0.5, 0.5), "header", 1.0)
    study = sources.Study(None, "0", picture.shape, lambda _: picture, regions=(header,))
    seen = view.of(study, "ultrasound")
    assert seen.shape == (30, 40)
    assert (seen.mm_per_px, seen.spacing_from) == ((0.5, 0.5), "region")
    assert view.of(study, "whole") is study


def test_a_field_that_is_unclear_is_not_taken() -> None:
    picture = np.zeros((400, 400), np.uint8)
    picture[50:70, 20:380] = picture[50:350, 20:40] = 200  # an L fills a third of its hull
    study = sources.from_array(picture)
    with pytest.raises(UnsupportedInput, match="unclear") as caught:
        view.of(study, "ultrasound")
    assert caught.value.reason == "region"
    with pytest.raises(UnsupportedInput, match="no field"):
        view.of(sources.from_array(np.zeros((400, 400), np.uint8)), "ultrasound")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the DICOM samples are not beside this checkout")
def test_real_pictures_are_cut_or_declined() -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    linear = sources.read(SAMPLES / "us_sonoque_anechoic_phantom.dcm")
    found = fan.find(linear.pixels)
    assert found is not None
    assert found.confidence > 0.9
    assert overlap(found, Region(225, 375, 1190, 1334, None, "fan", 1)) > 0.9  # by eye
    # Text has grown together with this field, so the box is wrong and must not be taken.
    cine = fan.find(sources.read(SAMPLES / "us_cine_acuson_65f.dcm").pixels)
    assert cine is None or cine.confidence < view.MIN_CONFIDENCE


def test_a_model_that_looks_at_the_scan_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tiny.parts()
    parts.manifest["inputs"][0]["view"] = "ultrasound"
    parts.manifest["eligibility"] = {}
    parts.manifest["golden"] = []
    path = tmp_path / "us.edx"
    write_bundle(path, parts.built(), parts.members)
    monkeypatch.setattr(proof, "ensure", lambda model: None)
    with load(path, allow_unsigned=True) as model:
        spec = model.bundle.manifest.inputs[0]
        assert isinstance(spec, ImageInput)
        picture, box = sector()
        result = model(picture)
        assert result.status.analysed
        assert any("scanned field seen" in told for told in result.assumed)
        plain, _ = sector(text=False)
        assert model(plain).findings == result.findings  # what stands beside it changes nothing
        drawn = film_with_map(sources.from_array(picture), result, model.preparation, spec)
        assert drawn.shape[1] / drawn.shape[0] == pytest.approx(box.width / box.height, rel=0.1)
        blank = model(np.zeros((480, 640), np.uint8))
        assert blank.status is Status.NOT_ANALYSED
        assert blank.reasons[0].code is Reason.REGION
        assert film_with_map(sources.from_array(picture), blank, model.preparation, spec).size
