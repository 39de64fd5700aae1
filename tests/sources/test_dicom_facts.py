"""What a DICOM header says beside the pixels: distances, regions, times, places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from pydicom.dataset import Dataset

from edge_dx import sources
from edge_dx.errors import UnsupportedInput
from edge_dx.sources import dicom, series
from edge_dx.sources.study import Region
from tests.sources.test_dicom import FILM, encoded, read
from tests.sources.test_dicom import dicom as made
from tests.sources.test_dicom_frames import macro

# --- distances ---


@pytest.mark.parametrize(
    ("facts", "mm", "of"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, (0.15, 0.15),
         "calibrated"),
        ({"PixelSpacing": [0.15, 0.15], "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.15, 0.15),
         "calibrated"),
        ({"PixelSpacing": [0.15, 0.15]}, (0.15, 0.15), "detector"),
        ({"ImagerPixelSpacing": [0.13889, 0.13889], "PixelSpacing": ["0.1389", "0.1389"]},
         (0.13889, 0.13889), "detector"),
        ({"PixelSpacing": [0.7, 0.7], "Modality": "CT"}, (0.7, 0.7), "patient"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "scanner"),
        ({}, None, None),
        ({"ImagerPixelSpacing": [0, 0.2]}, None, None),
        ({"ImagerPixelSpacing": [0.2]}, None, None),
        ({"PixelSpacing": [-1, 1]}, None, None),
    ],
)  # fmt: skip
def test_a_distance_says_what_it_refers_to_or_is_withheld(
    facts: dict[str, Any], mm: tuple[float, float] | None, of: str | None, tmp_path: Path
) -> None:
    study = read(encoded(made(**facts)), tmp_path)
    assert (study.mm_per_px, study.spacing_from) == (mm, of)
    told = " ".join(study.assumed)
    assert ("ignored" in told) == (bool(facts) and mm is None)
    assert ("no calibration is stated" in told) == (
        set(facts) == {"PixelSpacing"} and mm is not None
    )


def test_pixels_that_are_not_square_are_told(tmp_path: Path) -> None:
    study = read(encoded(made(PixelAspectRatio=[4, 3])), tmp_path)
    assert any("4:3" in told for told in study.assumed)
    known = read(encoded(made(PixelAspectRatio=[4, 3], ImagerPixelSpacing=[0.4, 0.3])), tmp_path)
    assert not any("4:3" in told for told in known.assumed)


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
@pytest.mark.parametrize(
    ("told", "years"),
    [
        ("034Y", 34),
        ("018M", 1.5),
        ("010D", 10 / 365.25),
        ("Y", None),
        ("abcY", None),
        ("\u00b2Y", None),
        ("34", None),
    ],
)
def test_ages(told: str, years: float | None, tmp_path: Path) -> None:
    assert read(encoded(made(PatientAge=told)), tmp_path).age_years == pytest.approx(years)


def test_what_else_the_header_says(tmp_path: Path) -> None:
    study = read(
        encoded(made(PatientOrientation=["L", "F"], PresentationIntentType="FOR PROCESSING",
                     BurnedInAnnotation="YES")), tmp_path,
    )  # fmt: skip
    assert study.orientation == ("L", "F")
    assert study.presentation == "FOR PROCESSING"
    assert study.burned_in is True
    assert study.sop_class == "1.2.840.10008.5.1.4.1.1.1.1"
    plain = read(encoded(made(Modality="US")), tmp_path)
    assert plain.burned_in is None
    assert any("text may be part" in told for told in plain.assumed)
    captured = made(Modality="DX", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2")
    assert any("text may be part" in told for told in read(encoded(captured), tmp_path).assumed)


def test_pixel_spacing_of_what_is_no_section_is_told(tmp_path: Path) -> None:
    for modality, told in (("OT", True), (None, True), ("MR", False)):
        study = read(encoded(made(Modality=modality, PixelSpacing=[0.5, 0.5])), tmp_path)
        assert (study.mm_per_px, study.spacing_from) == ((0.5, 0.5), "patient")
        assert any("nothing says where" in words for words in study.assumed) == told


def test_spacing_and_place_of_enhanced_objects(tmp_path: Path) -> None:
    def enhanced(*each: Dataset, shared: Dataset | None = None) -> sources.Study:
        count = max(1, len(each))
        found = made(Modality="CT", NumberOfFrames=count, PixelData=FILM.tobytes() * count,
                     SeriesInstanceUID="1.9")  # fmt: skip
        if each:
            found.PerFrameFunctionalGroupsSequence = list(each)
        if shared is not None:
            found.SharedFunctionalGroupsSequence = [shared]
        return read(encoded(found), tmp_path)

    def measures(mm: float) -> Dataset:
        return macro("PixelMeasuresSequence", PixelSpacing=[mm, 2 * mm])

    both = measures(0.5)
    both.update(macro("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
    study = enhanced(macro("PlanePositionSequence", ImagePositionPatient=[1, 2, 3]), shared=both)
    assert (study.mm_per_px, study.spacing_from) == ((0.5, 1.0), "patient")
    assert study.place is not None
    assert study.place.position_mm == (1, 2, 3)
    assert enhanced(measures(0.5), measures(0.5)).mm_per_px == (0.5, 1.0)
    zoomed = enhanced(measures(0.5), measures(0.25))
    assert (zoomed.mm_per_px, zoomed.spacing_from) == (None, None)
    assert any("several pixel spacings" in told for told in zoomed.assumed)
    assert enhanced(measures(0), measures(0)).mm_per_px is None


# --- ultrasound regions ---


def region(
    left: int, top: int, right: int, bottom: int, *, kind: int = 1, units: int = 3, cm: float = 0.05
) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, kind
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = cm, -cm / 2  # drawn upwards: the size is the same
    return item


def ultrasound(*items: Dataset) -> Dataset:
    return made(Modality="US", SequenceOfUltrasoundRegions=list(items))


def test_the_largest_tissue_region_counts_with_both_of_its_corners(tmp_path: Path) -> None:
    colour = region(0, 0, 47, 39, kind=2)
    study = read(encoded(ultrasound(region(1, 1, 5, 5), region(4, 2, 23, 31), colour)), tmp_path)
    first = study.regions[0]
    assert (first.left, first.top, first.width, first.height) == (4, 2, 20, 30)
    assert first.mm_per_px == pytest.approx((0.25, 0.5))
    assert (first.found_by, first.confidence) == ("header", 1.0)
    assert len(study.regions) == 2
    assert (study.mm_per_px, study.spacing_from) == (first.mm_per_px, "region")
    assert any("2 ultrasound regions" in told for told in study.assumed)
    assert np.array_equal(study.cut_to(first).pixels, FILM[2:32, 4:24])


def test_regions_of_several_scales_give_the_picture_no_distance(tmp_path: Path) -> None:
    other = region(20, 20, 39, 29, cm=0.02)
    study = read(encoded(ultrasound(region(0, 0, 9, 9), other)), tmp_path)
    assert (study.mm_per_px, study.spacing_from) == (None, None)
    assert study.cut_to(study.regions[0]).mm_per_px == pytest.approx((0.1, 0.2))
    alike = read(encoded(ultrasound(region(0, 0, 9, 9), region(20, 20, 39, 29))), tmp_path)
    assert alike.mm_per_px == pytest.approx((0.25, 0.5))


def test_many_regions_are_told_once_and_few_are_kept(tmp_path: Path) -> None:
    many = [region(0, 0, 999, 9)] * 500 + [region(0, 0, 9, 9, units=0)] * 500
    study = read(encoded(ultrasound(*many)), tmp_path)
    assert len(study.regions) == 64
    assert len(study.assumed) < 6


def test_intravascular_ultrasound_has_regions_too(tmp_path: Path) -> None:
    found = made(Modality="IVUS", SequenceOfUltrasoundRegions=[region(0, 0, 9, 9)])
    assert len(read(encoded(found), tmp_path).regions) == 1


def test_a_region_one_pixel_too_far_is_cut_and_one_outside_is_ignored(tmp_path: Path) -> None:
    study = read(encoded(ultrasound(region(0, 0, 48, 40))), tmp_path)
    assert (study.regions[0].width, study.regions[0].height) == (48, 40)
    assert any("one pixel too far" in told for told in study.assumed)
    for wrong in (region(0, 0, 60, 39), region(9, 0, 5, 39), region(0, 30, 40, 30)):
        study = read(encoded(ultrasound(wrong)), tmp_path)
        assert not study.regions
        assert any("outside of the picture" in told for told in study.assumed)


def test_a_region_without_centimetres_gives_no_distance(tmp_path: Path) -> None:
    for wrong in (region(0, 0, 9, 9, units=0), region(0, 0, 9, 9, cm=0), region(0, 0, 9, 9, cm=99)):
        study = read(encoded(ultrasound(wrong)), tmp_path)
        assert study.regions[0].mm_per_px is None
        assert study.mm_per_px is None


def test_a_study_cut_to_a_region_keeps_what_is_known() -> None:
    study = sources.from_array(FILM, modality="US", mm_per_px=(1, 1))
    cut = study.cut_to(Region(3, 2, 10, 20, None, "fan", 0.9)).assuming("seen")
    assert cut.shape == cut.pixels.shape == (10, 20)
    assert (cut.modality, cut.mm_per_px, cut.spacing_from) == ("US", (1, 1), "caller")
    assert cut.assumed[-1] == "seen"
    assert cut.digest == study.digest


# --- times ---


@pytest.mark.parametrize(
    ("facts", "starts", "told"),
    [
        ({"FrameTime": 40}, (0, 40, 80), None),
        ({"FrameTimeVector": [0, 30, 50]}, (0, 30, 80), None),
        ({"FrameTimeVector": [33, 30, 50]}, (0, 30, 80), None),
        ({"FrameTimeVector": [0, 30], "FrameTime": 40}, (0, 40, 80), "does not fit"),
        ({"CineRate": 25}, (0, 40, 80), "how fast to show"),
        ({"FrameTime": 0, "RecommendedDisplayFrameRate": 50}, (0, 20, 40), "how fast to show"),
        ({}, None, "not stated"),
        ({"FrameTime": -3}, None, "not stated"),
    ],
)
def test_when_frames_start(
    facts: dict[str, Any], starts: tuple[float, ...] | None, told: str | None, tmp_path: Path
) -> None:
    cine = made(Modality="US", NumberOfFrames=3, PixelData=FILM.tobytes() * 3, **facts)
    study = read(encoded(cine), tmp_path)
    assert study.frame_starts_ms == (pytest.approx(starts) if starts else None)
    times = [entry for entry in study.assumed if "rame" in entry]
    assert bool(times) == (told is not None)
    assert told is None or told in " ".join(times)


def test_a_single_picture_has_no_times(tmp_path: Path) -> None:
    assert read(encoded(made(FrameTime=40)), tmp_path).frame_starts_ms is None


# --- quantities and series ---

CT = FILM.astype(np.int16) - 100


def slice_at(z: float, number: int = 0, **facts: Any) -> Dataset:
    return made(
        CT + number, Modality="CT", RescaleSlope=2, RescaleIntercept=-1000, SeriesInstanceUID="1.9",
        ImagePositionPatient=[0, 0, z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[0.7, 0.8], **facts,
    )  # fmt: skip


def files(tmp_path: Path, *slices: Dataset) -> list[Path]:
    paths = []
    for index, item in enumerate(slices):
        paths.append(tmp_path / f"{index}.dcm")
        paths[-1].write_bytes(encoded(item))
    return paths


def test_quantities_are_in_hounsfield_units(tmp_path: Path) -> None:
    (path,) = files(tmp_path, slice_at(0))
    values, unit = dicom.quantities(path)
    assert unit == "HU"
    assert np.array_equal(values, CT.astype(np.float32) * 2 - 1000)
    padded, _ = dicom.quantities(files(tmp_path, slice_at(0, PixelPaddingValue=int(CT[0, 0])))[0])
    rest = values[int(CT[0, 0]) != CT]
    assert padded[0, 0] == rest.min()
    with pytest.raises(UnsupportedInput, match="no grey values"):
        dicom.quantities(FILM)
    with pytest.raises(IndexError, match="frame 1 of 1"):
        dicom.quantities(path, 1)
    with pytest.raises(UnsupportedInput, match="no grey values"):
        dicom.quantities(files(tmp_path, made(PhotometricInterpretation="PALETTE COLOR"))[0])


def test_slices_are_sorted_by_place_not_by_name(tmp_path: Path) -> None:
    paths = files(tmp_path, slice_at(10, 2), slice_at(0, 0), slice_at(5, 1), slice_at(15, 3))
    found = series.read_series(paths)
    assert [study.path for study in found.slices] == [paths[i] for i in (1, 2, 0, 3)]
    assert found.spacing_mm == pytest.approx((5, 0.7, 0.8))
    assert found.regular
    volume, unit = found.volume()
    assert unit == "HU"
    assert volume.shape == (4, *FILM.shape)
    assert np.array_equal(np.diff(volume[:, 0, 0]), [2, 2, 2])


def test_gaps_doubles_and_tilt_are_told(tmp_path: Path) -> None:
    found = series.read_series(files(tmp_path, *(slice_at(z) for z in (0, 5, 10, 20, 25, 25))))
    assert [(gap.after, gap.mm) for gap in found.gaps] == [(2, 10), (4, 0)]
    assert not found.regular
    tilted = []
    for z in (0, 5, 10):
        item = slice_at(z)
        item.ImagePositionPatient = [0, z * np.tan(np.radians(20)), z]
        tilted.append(item)
    found = series.read_series(files(tmp_path, *tilted))
    assert found.tilt_deg == pytest.approx(20, abs=0.1)
    assert not found.gaps
    assert not found.regular
    doubled = series.read_series(files(tmp_path, *(slice_at(z) for z in (0, 0, 0, 5, 5, 5))))
    assert doubled.spacing_mm[0] == 5
    assert not doubled.regular
    alone = series.read_series(files(tmp_path, slice_at(3)))
    assert alone.spacing_mm[0] == 0
    assert alone.regular


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"SeriesInstanceUID": "1.10"}, "another series"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "turned against"),
        ({"PixelSpacing": [0.9, 0.8]}, "another pixel spacing"),
        ({"Rows": 20, "Columns": 96}, "pixels"),
    ],
)
def test_slices_that_do_not_belong_together_are_refused(
    facts: dict[str, Any], told: str, tmp_path: Path
) -> None:
    odd = slice_at(5)
    for keyword, value in facts.items():
        setattr(odd, keyword, value)
    with pytest.raises(UnsupportedInput, match=told):
        series.read_series(files(tmp_path, slice_at(0), odd))


def test_what_is_no_slice_is_left_out_and_named(tmp_path: Path) -> None:
    paths = files(tmp_path, slice_at(0), made(), slice_at(5))
    (tmp_path / "notes.txt").write_text("no picture")
    lying = tmp_path / "cut.dcm"
    lying.write_bytes(paths[0].read_bytes()[:-9])
    found = series.read_series([*paths, tmp_path / "notes.txt", lying])
    assert len(found.slices) == 2
    assert [path.name for path, _ in found.left_out] == ["1.dcm", "notes.txt", "cut.dcm"]
    with pytest.raises(UnsupportedInput, match="no slice of a series"):
        series.read_series([paths[1]])


def test_a_slice_beside_the_others_is_told(tmp_path: Path) -> None:
    stack = [slice_at(z) for z in (0, 5, 10, 15)]
    stack[2].ImagePositionPatient = [30, 0, 10]
    found = series.read_series(files(tmp_path, *stack))
    assert found.aside == (2,)
    assert not found.gaps
    assert not found.regular


def test_a_volume_larger_than_any_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = series.read_series(files(tmp_path, slice_at(0), slice_at(5)))
    monkeypatch.setattr(series, "MAX_VOLUME_BYTES", 8 * FILM.size - 1)
    with pytest.raises(UnsupportedInput, match="too large a volume"):
        found.volume()


@pytest.mark.parametrize(
    "direction", [[1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0], [1, 0, 0], [0, 0, 0, 0, 0, 0]]
)
def test_directions_that_are_none_give_no_place(direction: list[float], tmp_path: Path) -> None:
    item = slice_at(0)
    item.ImageOrientationPatient = direction
    assert read(encoded(item), tmp_path).place is None
