"""The shipped recipe: it fits the training that made its weights, and exports from its evidence."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

import edge_dx
import export
from edge_dx.bundle import open_bundle
from edge_dx.image import compile_steps
from edge_dx.phantom import draw
from edge_dx.steps import Colour, Normalise
from export.pipeline import Options
from export.pipeline import export as export_recipe
from export.recipe import read_recipe
from export.vocabulary import VariantName

TFLITE_TOOLS = importlib.util.find_spec("litert_torch") is not None
RECIPE = Path(export.__file__).parent / "zoo" / "chest_tb" / "recipe.toml"


def test_the_device_prepares_as_training_did() -> None:
    from export.training.chest_tb import PREPARE

    told = read_recipe(RECIPE).told.image
    assert told is not None
    assert told.normalise == Normalise(mean=(128.0,), std=(64.0,))
    in_training = compile_steps([Colour(to="grey"), *PREPARE])
    on_device = compile_steps(told.prepare[:-1])
    for seed in range(3):
        film = draw(seed, (384, 320), 2, 16).pixels
        film = cv2.normalize(film, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
        expected = in_training(film)
        assert np.array_equal(on_device(film), expected)
        # The same film with more bits, as detectors store it, is the same film.
        for deeper in (film.astype(np.uint16) * 257, film.astype(np.uint16) * 16):
            assert np.abs(on_device(deeper).astype(int) - expected).mean() < 0.5


def test_a_fresh_clone_exports_it_without_any_data_set(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPE)
    if not recipe.beside(recipe.told.evidence).is_file():
        pytest.skip("evidence.json is made with the data sets: export with --write-evidence")
    said: list[str] = []
    wanted = tuple(v for v in recipe.told.variants if TFLITE_TOOLS or not v.startswith("tflite"))
    bundle = export_recipe(
        recipe, tmp_path / "chest-tb.edx", Options(say=said.append, variants=wanted)
    )
    assert any("byte for byte" in line for line in said)
    sizes = {v.name: bundle.manifest.members[v.file].bytes for v in bundle.manifest.variants}
    assert sizes["onnx-int8"] <= 0.30 * sizes["onnx-fp32"]
    shipped = open_bundle(Path(edge_dx.__file__).parent / "zoo" / "chest-tb.edx")
    for variant in bundle.manifest.variants:
        assert bundle.members[variant.file] == shipped.members[variant.file]


def test_what_is_shipped_keeps_what_was_promised() -> None:
    manifest = open_bundle(Path(edge_dx.__file__).parent / "zoo" / "chest-tb.edx").manifest
    sizes = [manifest.members[variant.file].bytes for variant in manifest.variants]
    assert sum(sizes) <= 4_000_000
    by_name = {variant.name: variant for variant in manifest.variants}
    assert set(by_name) == set(get_args(VariantName))
    for name, variant in by_name.items():
        (point,) = variant.operating_points
        assert point.sensitivity is not None
        assert point.sensitivity.value >= 0.90
        told = variant.fidelity
        assert told is not None
        assert told.auc_difference is not None
        assert abs(told.auc_difference.value) <= 0.005
        if not name.startswith("tensorrt"):
            assert told.decision_flips <= 0.01 * told.n


def test_the_example_with_a_model_of_ones_own_runs(tmp_path: Path) -> None:
    here = Path(export.__file__).parents[1] / "examples" / "bring_your_own_model"
    if not here.is_dir():
        pytest.skip("the examples lie in the repository, not in the installed package")
    copy = tmp_path / "example"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("data", "*.edx", "__pycache__"))
    subprocess.run([sys.executable, "make_data_and_weights.py"], cwd=copy, check=True)
    recipe = read_recipe(copy / "recipe.toml")
    bundle = export_recipe(recipe, copy / "shapes.edx", Options(say=lambda line: None))
    for variant in bundle.manifest.variants:
        assert variant.fidelity is not None
        assert variant.fidelity.auc is not None
        assert variant.fidelity.auc.value > 0.7


def test_the_example_with_several_inputs_and_heads_runs(tmp_path: Path) -> None:
    here = Path(export.__file__).parents[1] / "examples" / "bring_your_own_model"
    if not here.is_dir():
        pytest.skip("the examples lie in the repository, not in the installed package")
    copy = tmp_path / "example"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("data", "*.edx", "__pycache__"))
    subprocess.run([sys.executable, "make_several.py"], cwd=copy, check=True)
    bundle = export_recipe(
        read_recipe(copy / "several.toml"), copy / "case.edx", Options(say=lambda line: None)
    )
    told = json.loads(bundle.members["report.json"])
    figures = {c["figure"] for v in told["variants"] for c in v["comparisons"]}
    assert "disc: Dice" in figures
    assert "diameter: minus mean absolute error [mm]" in figures
    with edge_dx.load(copy / "case.edx", allow_unsigned=True) as model:
        result = model(copy / "data" / "case.json")
        assert result.status.analysed
        case = json.loads((copy / "data" / "case.json").read_text())
        picture = copy / "data" / case["image"]
        again = model({"image": picture, "facts": case["facts"]})
        assert again.score == result.score
        (value,), (mask,) = result.values, result.masks
        assert (value.name, value.unit) == ("diameter", "mm")
        truth = cv2.imread(str(copy / "data" / "case_299_mask.png"), cv2.IMREAD_GRAYSCALE) > 0
        assert value.value == pytest.approx(np.sqrt(truth.sum() / np.pi), abs=3)  # 0.5 mm per px
        assert mask.share == pytest.approx(truth.mean(), abs=0.05)
        assert sum(mask.runs()) == mask.values.size
        declined = model({"image": picture, "facts": {**case["facts"], "age_years": 12}})
        assert [why.code.value for why in declined.reasons] == ["out_of_range"]
        assert "age_years is 12 years; the model was made for age_years (18 to 100 years)" in (
            declined.reasons[0].detail
        )
        assert declined.score is None
        missing = model({"image": picture, "facts": {"sex": "F"}})
        assert [why.code.value for why in missing.reasons] == ["missing_input"]
