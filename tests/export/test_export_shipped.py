"""The shipped recipe: it fits the training that made its weights, and exports from its evidence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import export
from edge_dx.image import compile_steps
from edge_dx.phantom import draw
from edge_dx.steps import Colour, Normalise
from export.pipeline import export as export_recipe
from export.recipe import read_recipe

RECIPE = Path(export.__file__).parent / "zoo" / "chest_tb" / "recipe.toml"


def test_the_device_prepares_as_training_did() -> None:
    from export.training.chest_tb import PREPARE

    told = read_recipe(RECIPE).told.input
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
    bundle = export_recipe(recipe, tmp_path / "chest-tb.edx", say=said.append)
    assert any("byte for byte" in line for line in said)
    sizes = [bundle.manifest.members[v.file].bytes for v in bundle.manifest.variants]
    assert sizes[1] <= 0.30 * sizes[0]
    for variant in bundle.manifest.variants:
        (point,) = variant.operating_points
        assert point.sensitivity.value >= 0.90
        assert variant.fidelity.decision_flips <= 0.01 * variant.fidelity.n


def test_the_example_with_a_model_of_ones_own_runs(tmp_path: Path) -> None:
    here = Path(export.__file__).parents[1] / "examples" / "bring_your_own_model"
    if not here.is_dir():
        pytest.skip("the examples lie in the repository, not in the installed package")
    copy = tmp_path / "example"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("data", "*.edx", "__pycache__"))
    subprocess.run([sys.executable, "make_data_and_weights.py"], cwd=copy, check=True)
    recipe = read_recipe(copy / "recipe.toml")
    bundle = export_recipe(recipe, copy / "shapes.edx", say=lambda line: None)
    for variant in bundle.manifest.variants:
        assert variant.fidelity.auc is not None
        assert variant.fidelity.auc.value > 0.7
