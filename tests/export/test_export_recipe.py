from __future__ import annotations

from pathlib import Path

import pytest

from export.errors import FactoryError, RecipeError, WeightsMismatch
from export.network import load_network
from export.recipe import read_recipe
from tests.export.conftest import changed


def test_reads_what_it_says(project: Path) -> None:
    recipe = read_recipe(project / "recipe.toml")
    assert recipe.told.name == "tiny"
    assert recipe.told.variants == ("onnx-fp32", "onnx-int8")
    assert recipe.told.image is not None
    assert recipe.told.image.normalise.mean == (128.0,)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "A tiny model"', 'titel = "A tiny model"', "titel"),
        ("size = 12", "sise = 12", "data.calibration"),
        ("version = ", "version = 1 #", "version"),
        ('kind = "scores"', 'kind = "score"', "score"),
        ('step = "normalise"', 'step = "normalize"', "normalize"),
        ("  { step = \"normalise\", mean = [128], std = [64] },\n", "", "last step"),
        ('  { step = "intensity", kind = "percentile", low = 1, high = 99 },\n', "", "intensity"),
        ("shape = [1, 32, 32]", "shape = [2, 32, 32]", "channels"),
        ('of = "logits"', 'of = "scores"', "no scores"),
        ('label = "blob"', 'label = "bulb"', "triage"),
        ("sensitivity = 0.9", "sensitivity = 0.9\nyouden = true", "exactly one"),
        ("sensitivity = 0.9", "sensitivity = 1.9", "sensitivity"),
        ('positive = { blob = ["yes"] }', 'positive = { bulb = ["yes"] }', "bulb"),
        ("[model]", "[model", "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(project: Path, old: str, new: str, told: str) -> None:
    path = changed(project, old, new)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_a_missing_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("other.py:build", "there is no file"),
        ("no_such_package.nets:build", "no_such_package"),
        ("net.py:construct", "no function 'construct'"),
        ("net.py:not_a_module", "gave int"),
        ("net.py:raises", "no such backbone"),
    ],
)
def test_a_factory_that_gives_no_module(project: Path, factory: str, told: str) -> None:
    recipe = read_recipe(changed(project, "net.py:build", factory))
    with pytest.raises(FactoryError, match=told):
        load_network(recipe)


def test_a_module_beside_the_recipe_can_be_named_like_a_package(project: Path) -> None:
    recipe = read_recipe(changed(project, "net.py:build", "net:build"))
    network, digest = load_network(recipe)
    assert not network.training
    assert len(digest) == 64


def test_weights_of_another_network(project: Path) -> None:
    recipe = read_recipe(changed(project, 'weights = "weights.safetensors"', 'weights = "rgb.pt"'))
    with pytest.raises(WeightsMismatch, match=r"stem.weight is missing.* more"):
        load_network(recipe)


@pytest.mark.parametrize("name", ["weights.safetensors", "rgb.pt"])
def test_damaged_weights(project: Path, name: str) -> None:
    (project / name).write_bytes(b"\x80\x02nothing of use")
    recipe = read_recipe(changed(project, 'weights = "weights.safetensors"', f'weights = "{name}"'))
    with pytest.raises(WeightsMismatch, match=name):
        load_network(recipe)


def test_absent_weights(project: Path) -> None:
    recipe = read_recipe(changed(project, "weights.safetensors", "gone.safetensors"))
    with pytest.raises(WeightsMismatch, match="no such weights file"):
        load_network(recipe)
