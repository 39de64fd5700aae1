"""What the exporter fits for the gate, and the study that prints what it refuses."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_dx
from edge_dx import phantom
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.gate.familiarity import from_bytes
from export.calibration import fit_unsure, platt
from export.errors import DataError, RecipeError
from export.familiarity import distances, fitted, limit_of
from export.gate_study import traces
from export.gate_study.__main__ import main
from export.gate_study.altered import ALTERATIONS
from export.gate_study.pictures import films, pictures_of
from export.gate_study.study import look_at
from export.pipeline import Options, export
from export.recipe import read_recipe
from export.report.record import Report
from export.vocabulary import FamiliarityPart, PicturesPart
from tests.export.conftest import changed

DATA = Path(edge_dx.__file__).parents[2] / "shared" / "data"
SHIPPED = Path(edge_dx.__file__).parent / "zoo" / "chest-tb.edx"
Array = np.ndarray[Any, Any]


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


# --- the band that is left to a person ---


def drawn(n: int, slope: float, intercept: float) -> tuple[Array, Array]:
    """Probabilities of a model whose log-odds are off by a line, and the truth."""
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-(slope * odds + intercept)))
    return truth, 1 / (1 + np.exp(-odds))


def test_the_calibration_finds_the_line_that_the_truth_was_drawn_from() -> None:
    truth, chances = drawn(20_000, 1.7, -0.6)
    assert platt(truth, chances) == pytest.approx((1.7, -0.6), abs=0.06)


def test_a_perfect_separation_is_not_called_certain() -> None:
    chances = np.linspace(0.05, 0.95, 40)
    slope, intercept = platt(chances > 0.5, chances)
    assert 0 < slope < 10
    assert abs(intercept) < 1


@given(share=st.floats(0.005, 0.5), threshold=st.floats(0.05, 0.95), n=st.integers(10, 300))
@settings(max_examples=60, deadline=None)
def test_the_band_holds_the_share_that_was_asked_for(
    share: float, threshold: float, n: int
) -> None:
    truth, chances = drawn(n, 1.0, 0.0)
    truth[:2] = True, False
    found = fit_unsure(share, threshold, truth, chances)
    low, high = found.band
    assert low <= threshold <= high
    inside = int(((chances > low) & (chances < high)).sum())
    assert inside == max(1, round(share * n))
    assert found.share == pytest.approx(inside / n, abs=1e-6)
    assert found.calibrated[0] <= found.calibrated[1]
    # As far in log-odds on either side.
    ends = np.log([low / (1 - low), high / (1 - high)]) - np.log(threshold / (1 - threshold))
    assert ends[0] == pytest.approx(-ends[1], abs=1e-6)


# --- where the features of the training films lie ---


def features(n: int = 200, size: int = 24, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(9).normal(size=(5, size))
    noise = 0.3 * rng.normal(size=(n, size))
    return np.maximum(rng.normal(size=(n, 5)) @ mixed + noise + 2, 0).astype(np.float32)


def test_training_films_lie_around_one_and_strangers_beyond() -> None:
    member = fitted(features(), 5)
    assert np.mean(distances(member, features()) ** 2) == pytest.approx(1, abs=1e-3)
    assert np.median(distances(member, features(seed=1))) == pytest.approx(1, abs=0.15)
    strange = np.abs(np.random.default_rng(2).normal(3, 3, (50, 24))).astype(np.float32)
    assert distances(member, strange).min() > distances(member, features(seed=1)).max()


def test_the_member_does_not_depend_on_the_order_of_the_films() -> None:
    given_ = features()
    first, second = (from_bytes(fitted(f, 4), "f", 24, 1.0) for f in (given_, given_[::-1]))
    assert np.allclose(first.axes, second.axes, atol=1e-4)
    assert fitted(given_, 4) == fitted(given_, 4)


@pytest.mark.parametrize(("n", "components"), [(5, 5), (200, 24), (1, 1)])
def test_too_few_films_are_told(n: int, components: int) -> None:
    with pytest.raises(DataError, match="components need more than"):
        fitted(features(n), components)


def test_features_that_do_not_vary_are_told() -> None:
    with pytest.raises(DataError, match="do not vary"):
        fitted(np.ones((30, 8), np.float32), 2)


PART = FamiliarityPart(components=2, covers=0.9, refuses=0.99)
OWN = np.linspace(0.5, 1.4, 10)


@pytest.mark.parametrize(
    ("strangers", "wanted"),
    [
        ({}, 1.1 * 1.4),
        ({"mri": (100, np.array([1.8, 2.0, 3.0]))}, (1.4 + 2.0) / 2),  # one of 100 may pass
        ({"mri": (100, np.array([1.8])), "us": (50, np.array([1.6]))}, (1.4 + 1.6) / 2),
        ({"mri": (100, np.array([1.8]))}, 1.1 * 1.4),  # the looks before refused all the others
        ({"mri": (100, np.array([1.0, 1.1, 1.2]))}, 1.4),  # contradicts the right films
    ],
)
def test_the_limit_lies_between_the_two_demands(
    strangers: dict[str, tuple[int, Array]], wanted: float
) -> None:
    found = limit_of(msgspec.structs.replace(PART, covers=1.0), OWN, strangers)
    assert found.max_distance == pytest.approx(wanted, abs=1e-4)
    assert found.told


# --- pictures ---


def test_half_of_the_groups_shape_limits_and_no_group_stands_on_both_sides(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "who", "kind"])
        table.writerows([[f"{i}.png", f"p{i // 3}", "a" if i % 2 else "b"] for i in range(600)])
    part = PicturesPart(name="t", csv="t.csv", patient="who")
    found = pictures_of(part, tmp_path)
    assert found is not None
    groups = {side: {p.group for p in found if p.shapes is side} for side in (True, False)}
    assert not groups[True] & groups[False]
    assert 80 < len(groups[True]) < 120
    some = pictures_of(msgspec.structs.replace(part, where={"kind": ("a",)}), tmp_path)
    assert some is not None
    assert len(some) == 300
    assert pictures_of(msgspec.structs.replace(part, csv="gone.csv"), tmp_path) is None
    with pytest.raises(DataError, match="no column whose"):
        pictures_of(msgspec.structs.replace(part, patient="whose"), tmp_path)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_is_another_picture_each_time_the_same(name: str) -> None:
    film = phantom.draw(3, 256, 1, 8).pixels
    kept = film.copy()
    first, second = (ALTERATIONS[name](film, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(film, kept)
    assert first.dtype == np.uint8
    assert first.shape == film.shape
    assert np.abs(first.astype(int) - film).mean() > 2


def test_an_ecg_sheet_shows_the_record(tmp_path: Path) -> None:
    # Two samples of format 212 by hand: 0x123 and -2 (0xFFE) stand in the bytes 23, F1, FE.
    assert traces._format_212(np.array([0x23, 0xF1, 0xFE], np.uint8)).tolist() == [[0x123, -2]]
    record = tmp_path / "r.dat"
    record.write_bytes(np.random.default_rng(0).integers(0, 255, 3 * 20_000, np.uint8).tobytes())
    one, other = (traces.sheet(record, np.random.default_rng(k)) for k in (0, 1))
    assert one.shape == other.shape == (512, 512)
    assert not np.array_equal(one, other)
    assert 0.02 < (one != np.bincount(one.ravel()).argmax()).mean() < 0.7


# --- the whole way, on a model of a user's own ---


@pytest.fixture(scope="module")
def gated(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A project with strangers, and its bundle. Not to be written to."""
    directory = tmp_path_factory.mktemp("gated") / "project"
    shutil.copytree(made_once, directory)
    (directory / "strange").mkdir()
    shutil.copy(directory / "20.png", directory / "film.png")
    with (directory / "strange" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "who"])
        for i in range(20):
            stripes = np.zeros((40, 48), np.uint8)
            stripes[:: 2 + i % 3] = 255
            cv2.imwrite(str(directory / "strange" / f"{i}.png"), np.roll(stripes, i, axis=0))
            table.writerow([f"{i}.png", f"w{i // 2}"])
    path = changed(
        directory, "[quantization]",
        "[eligibility.familiarity]\ncomponents = 3\ncovers = 0.95\n"
        '[[data.strangers]]\nname = "stripes"\ncsv = "strange/labels.csv"\nroot = "strange"\n'
        'patient = "who"\n[[golden]]\nname = "film"\nwhat = "a film"\nfile = "film.png"\n'
        "[quantization]",
    )  # fmt: skip
    text = path.read_text().replace("sensitivity = 0.9", "sensitivity = 0.9\nindeterminate = 0.1")
    path.write_text(text)
    bundle = export(
        read_recipe(path), directory / "tiny.edx",
        Options(keep_evidence=True, say=quiet, report=directory / "report"),
    )  # fmt: skip
    return directory, bundle


def test_the_bundle_carries_the_gate_and_each_variant_a_limit(gated: tuple[Path, Bundle]) -> None:
    manifest = gated[1].manifest
    assert manifest.eligibility.familiarity is not None
    assert "familiarity.npz" in manifest.members
    for variant in manifest.variants:
        assert variant.max_distance is not None
        (point,) = variant.operating_points
        assert point.unsure is not None
        assert point.unsure.share == pytest.approx(0.1, abs=0.03)


def test_the_card_and_the_page_show_what_is_refused(gated: tuple[Path, Bundle]) -> None:
    directory, bundle = gated
    report = msgspec.json.decode(bundle.members["report.json"], type=Report)
    assert [study.variant for study in report.gate] == ["onnx-fp32", "onnx-int8"]
    for study in report.gate:
        kinds = {each.kind: each for each in study.classes}
        assert kinds["stranger"].pictures == sum(p.pictures for p in study.classes[:1])
        assert kinds["right"].refused.value <= 0.1
        for each in study.classes:  # never more certain than the number of patients allows
            assert each.refused.high - each.refused.low >= min(1, 3 / each.refused.n) - 1e-6
        limits = [point.max_distance for point in study.curve]
        refused = [point.right_refused for point in study.curve]
        assert limits == sorted(limits)
        assert refused == sorted(refused, reverse=True)
    card = bundle.members["card.md"].decode()
    assert "## What the gate refuses" in card
    assert "| stripes |" in card
    assert "left to a person" in card
    page = (directory / "report" / "report.html").read_text()
    assert "<h2>Gate</h2>" in page
    assert "Abstention against error of onnx-int8" in page


def test_a_clone_without_data_makes_the_same_bundle(
    gated: tuple[Path, Bundle], tmp_path: Path
) -> None:
    directory, bundle = gated
    copy = tmp_path / "clone"
    shutil.copytree(directory, copy)
    shutil.rmtree(copy / "strange")
    for path in (*copy.glob("[0-9]*.png"), copy / "films.csv"):
        path.unlink()
    again = export(read_recipe(copy / "recipe.toml"), copy / "again.edx", Options(say=quiet))
    assert again.digest == bundle.digest
    assert again.members["familiarity.npz"] == bundle.members["familiarity.npz"]


def test_strangers_that_are_not_there_are_named(gated: tuple[Path, Bundle], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(gated[0], copy)
    shutil.rmtree(copy / "strange")
    with pytest.raises(DataError, match="stripes is not here"):
        export(read_recipe(copy / "recipe.toml"), copy / "x.edx", Options(say=quiet))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('[[outputs]]\nkind = "features"\nname = "features"\n', "", "of the kind 'features'"),
        ("[eligibility]", '[[data.strangers]]\nname = "a"\ncsv = "a"\n'
         '[[data.elsewhere]]\nname = "a"\ncsv = "b"\n[eligibility]', "same name"),
    ],
)  # fmt: skip
def test_a_recipe_whose_gate_cannot_be_fitted_is_refused(
    project: Path, old: str, new: str, told: str
) -> None:
    changed(project, "[quantization]", "[eligibility.familiarity]\ncomponents = 2\n[quantization]")
    with pytest.raises(RecipeError, match=told):
        read_recipe(changed(project, old, new))


# --- the shipped model ---


def test_the_shipped_gate_keeps_what_was_promised() -> None:
    report = msgspec.json.decode(open_bundle(SHIPPED).members["report.json"], type=Report)
    assert {study.variant for study in report.gate} >= {"onnx-fp32", "onnx-int8"}
    for study in report.gate:
        for each in study.classes:
            if each.kind == "stranger":
                assert each.refused.value >= 0.99, each.name
            elif each.kind == "right":
                assert each.refused.value <= 0.02


def needs(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"the set {name} is not in ../shared/data")


def test_films_are_answered_and_other_pictures_are_not() -> None:
    """The gate taken away fails here, on real pictures."""
    from export.datasets import rows_of

    for name in ("xray_tb_lungmask", "us_breast_busi", "mri_brain_tumor"):
        needs(name)
    told = read_recipe(Path("export/zoo/chest_tb/recipe.toml")).told
    rows = rows_of(told.data.validation, DATA)
    assert rows is not None
    with edge_dx.load("chest-tb") as model:
        right = [look_at(model, picture).refused for picture in films(rows)[::8]]
        assert not any(right)
        for part in told.data.strangers:
            pictures = pictures_of(part, DATA) or ()
            others = [p for p in pictures if not p.shapes]
            assert np.mean([look_at(model, p).refused for p in others[:: len(others) // 20]]) > 0.9


def test_the_command_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chest-tb", "--data", str(tmp_path)]) == 1
    assert "the validation set is not here" in capsys.readouterr().err
