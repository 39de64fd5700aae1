"""Data sets, thresholds and golden cases."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.metrics import sensitivity, specificity
from export.datasets import check_no_leak, read_studies, rows_of
from export.errors import DataError, ParityFailed, PatientLeak, RecipeError
from export.golden import _check_kernels, draw, golden_model, npz
from export.network import load_network
from export.onnx_from_torch import inputs_of
from export.operating_points import band, fit_threshold
from export.recipe import read_recipe
from export.running import draft_manifest, draft_variant
from export.tolerance import as_written
from export.training_record import check_unseen, read_training
from export.vocabulary import GoldenPart, PointPart
from tests.export.conftest import Graphs, changed


def test_rows_follow_the_recipe(made_once: Path) -> None:
    told = read_recipe(made_once / "recipe.toml").told
    rows = rows_of(told.data.validation, made_once)
    assert rows is not None
    assert len(rows) == 24
    assert {row.group for row in rows} == {"east", "west"}
    assert {row.labels for row in rows} == {frozenset(), frozenset({"blob"})}
    drawn = rows_of(msgspec.structs.replace(told.data.validation, size=5), made_once)
    again = rows_of(msgspec.structs.replace(told.data.validation, size=5), made_once)
    other = rows_of(msgspec.structs.replace(told.data.validation, size=5, seed=1), made_once)
    assert drawn == again != other
    assert {row.file for row in drawn or ()} < {row.file for row in rows}


def test_absent_data_is_not_an_error_yet(made_once: Path, tmp_path: Path) -> None:
    told = read_recipe(made_once / "recipe.toml").told
    assert rows_of(told.data.validation, tmp_path) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": "finding"}, "has no column finding; it has file, label, patient, site, part"),
        ({"negative": ()}, r"films.csv:14: label is 'no', which the recipe names neither"),
        ({"where": {"part": ("c",)}}, "no row fits"),
    ],
)
def test_tables_that_do_not_fit(made_once: Path, change: dict[str, object], told: str) -> None:
    part = read_recipe(made_once / "recipe.toml").told.data.validation
    with pytest.raises(DataError, match=told):
        rows_of(msgspec.structs.replace(part, **change), made_once)


def test_studies_are_prepared_as_the_device_does_and_told_by_digest(made_once: Path) -> None:
    recipe = read_recipe(made_once / "recipe.toml")
    part, inputs = recipe.told.data.validation, inputs_of(recipe.told)
    rows = rows_of(part, made_once)
    assert rows is not None
    studies = read_studies(part, rows, inputs)
    backwards = read_studies(part, rows[::-1], inputs)
    assert studies.feeds["image"].shape == (24, 1, 32, 32)
    assert studies.feeds["image"].dtype == np.uint8
    assert np.array_equal(studies.feeds["image"], backwards.feeds["image"][::-1])
    assert studies.told.sha256 == backwards.told.sha256
    assert studies.told.classes == {"blob": 12, "none": 12}
    assert studies.truth("blob").sum() == 12


def test_a_damaged_film_is_named(project: Path) -> None:
    recipe = read_recipe(project / "recipe.toml")
    part, inputs = recipe.told.data.validation, inputs_of(recipe.told)
    (project / "20.png").write_bytes(b"\x89PNG nothing")
    rows = rows_of(part, project)
    assert rows is not None
    with pytest.raises(DataError, match=r"20\.png"):
        read_studies(part, rows, inputs)


def test_a_patient_in_both_sets_is_named(made_once: Path) -> None:
    part = read_recipe(made_once / "recipe.toml").told.data.validation
    rows = rows_of(part, made_once)
    assert rows is not None
    with pytest.raises(PatientLeak, match=r"1 patients .*\(p20\)"):
        check_no_leak(rows, rows[8:9], ("calibration", "validation"))
    check_no_leak(rows[:5], rows[5:], ("calibration", "validation"))


scores = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1, allow_subnormal=False)), min_size=2, max_size=40
).filter(lambda pairs: 0 < sum(truth for truth, _ in pairs) < len(pairs))


@settings(deadline=None)  # the first example imports what it needs
@given(scores, st.floats(0, 1))
def test_a_threshold_reaches_its_sensitivity_at_the_least_cost(
    pairs: list[tuple[bool, float]], wanted: float
) -> None:
    truth = np.array([t for t, _ in pairs])
    chances = np.array([s for _, s in pairs])
    rule = PointPart(name="p", label="l", sensitivity=wanted)
    at = fit_threshold(rule, truth, chances)
    reached = sensitivity(truth, chances, at)
    assert 0 <= at <= 1
    assert reached >= wanted or at == 0 or reached == 1
    for other in np.unique(chances):  # no other threshold does better on both counts
        if sensitivity(truth, chances, other) >= wanted:
            assert specificity(truth, chances, other) <= specificity(truth, chances, at)


def test_thresholds_lie_between_studies() -> None:
    truth = np.array([False, False, True, False, True, True])
    chances = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])
    for rule, expected in (
        (PointPart(name="p", label="l", sensitivity=1.0), 0.25),
        (PointPart(name="p", label="l", sensitivity=0.6), 0.5),
        (PointPart(name="p", label="l", specificity=1.0), 0.5),
        (PointPart(name="p", label="l", youden=True), 0.25),
    ):
        assert fit_threshold(rule, truth, chances) == pytest.approx(expected)


def test_the_band_is_the_error_seen_and_no_wider_than_either_bound() -> None:
    wanted = np.array([0.1, 0.5, 0.9])
    low, high = band(0.5, np.array([0.1, 0.52, 0.9]), wanted)
    assert (low, high) == pytest.approx((0.48, 0.52), abs=1e-4)
    low, high = band(0.1, np.array([0.1, 0.52, 0.9]), wanted)  # 0.08 in log-odds
    assert (low, high) == pytest.approx((0.093, 0.1074), abs=1e-3)
    assert band(0.5, wanted, wanted) == pytest.approx((0.499999, 0.500001), abs=1e-9)
    assert band(0.0, wanted, wanted)[0] == 0.0
    assert band(1.0, wanted, wanted)[1] == 1.0


def test_one_class_gives_no_threshold() -> None:
    rule = PointPart(name="p", label="l", youden=True)
    with pytest.raises(DataError, match="no studies without 'l'"):
        fit_threshold(rule, np.ones(3, bool), np.ones(3))


def test_golden_arrays_have_one_byte_sequence() -> None:
    arrays = {"b": np.arange(3, dtype=np.uint16), "a": np.zeros((2, 2), np.float32)}
    raw = npz(arrays)
    assert raw == npz(dict(reversed(arrays.items())))
    with np.load(io.BytesIO(raw), allow_pickle=False) as found:
        assert sorted(found) == ["a", "b"]
        assert np.array_equal(found["b"], arrays["b"])


def test_a_workstation_that_saturates_makes_no_golden_outputs(graphs: Graphs) -> None:
    tolerance = dict.fromkeys(("logits", "cam", "features"), 0.01)
    variant = msgspec.structs.replace(draft_variant(graphs.int8), tolerance=tolerance)
    manifest = msgspec.structs.replace(
        draft_manifest(graphs.inputs, graphs.outputs), variants=(variant,)
    )
    model = golden_model(manifest, graphs.int8, {})
    picture = graphs.feeds["image"][0, 0]
    honest = as_written(graphs.int8, graphs.inputs, tuple(tolerance), model.feeds_of(picture))
    _check_kernels(model, graphs.int8, picture, honest)
    off = {**honest, "logits": honest["logits"] + 0.02}
    with pytest.raises(ParityFailed, match="int8 kernels give logits"):
        _check_kernels(model, graphs.int8, picture, off)


def test_drawn_cases(made_once: Path) -> None:
    recipe = read_recipe(made_once / "recipe.toml")
    for pattern in ("blank", "ramp", "texture", "checkerboard"):
        part = GoldenPart(name="x", what="", pattern=pattern, side_px=64)
        pixels = draw(part, recipe)
        assert pixels.shape == (64, 64)
        assert np.array_equal(pixels, draw(part, recipe))
    plain = draw(GoldenPart(name="x", what="", pattern="ramp"), recipe)
    negative = GoldenPart(name="x", what="", pattern="ramp", photometric="MONOCHROME1")
    assert np.array_equal(draw(negative, recipe), 255 - plain)
    colour = GoldenPart(name="x", what="", pattern="ramp", photometric="RGB")
    assert draw(colour, recipe).shape == (256, 256, 3)
    from_file = draw(GoldenPart(name="x", what="", file="00.png"), recipe)
    assert from_file.shape[:2] == (40, 48)
    with pytest.raises(RecipeError, match=r"gone\.png"):
        draw(GoldenPart(name="x", what="", file="gone.png"), recipe)


def with_training(project: Path, films_seen: dict[str, list[str]], weights: str | None) -> Path:
    recipe = changed(project, "[model]", 'training = "training.json"\n[model]')
    digest = hashlib.sha256((project / "weights.safetensors").read_bytes()).hexdigest()
    told = {"weights_sha256": weights or digest, "films_seen": films_seen, "minutes": 3}
    (project / "training.json").write_text(json.dumps(told))
    return recipe


def test_the_training_record_tells_which_films_were_seen(project: Path) -> None:
    path = with_training(project, {"a": ["0" * 64, "1" * 16], "b": ["2" * 16]}, None)
    recipe = read_recipe(path)
    record = read_training(recipe, load_network(recipe)[1])
    assert record.prefixes == ("0" * 16, "1" * 16, "2" * 16)
    assert record.told is not None
    assert record.told.classes == {"a": 2, "b": 1}


def test_the_training_record_must_be_of_these_weights(project: Path) -> None:
    recipe = read_recipe(with_training(project, {}, "0" * 64))
    with pytest.raises(RecipeError, match=r"training\.json: tells of weights with SHA-256 0000"):
        read_training(recipe, load_network(recipe)[1])
    (project / "training.json").unlink()
    with pytest.raises(RecipeError, match=r"training\.json: cannot be used"):
        read_training(recipe, "")


def test_a_validation_film_that_was_learned_from_is_named(project: Path) -> None:
    seen = hashlib.sha256((project / "21.png").read_bytes()).hexdigest()[:16]
    recipe = read_recipe(with_training(project, {"a": [seen]}, None))
    record = read_training(recipe, load_network(recipe)[1])
    part, inputs = recipe.told.data.validation, inputs_of(recipe.told)
    rows = rows_of(part, project)
    assert rows is not None
    with pytest.raises(PatientLeak, match=r"1 films .*21\.png"):
        check_unseen(record, read_studies(part, rows, inputs))
    check_unseen(record, read_studies(part, rows[:5], inputs))
