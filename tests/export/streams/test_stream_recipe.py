from __future__ import annotations

from pathlib import Path

import pytest

from export.errors import FactoryError, RecipeError, WeightsMismatch
from export.streams.modules import read_networks
from export.streams.recipe import is_stream, read_recipe
from tests.export.streams.conftest import write_recipe


def test_reads_what_it_says(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    told = read_recipe(path).told
    assert is_stream(path)
    assert list(told.networks) == ["detector", "at_once"]
    assert told.data.records.records == ("one", "two")


def test_a_recipe_of_images_is_none(tmp_path: Path) -> None:
    zoo = Path(__file__).parents[3] / "export" / "zoo"
    assert not is_stream(zoo / "chest_tb" / "recipe.toml")
    assert not is_stream(tmp_path / "none.toml")
    assert all(is_stream(zoo / name / "recipe.toml") for name in ("ecg_beats", "ecg_af"))


@pytest.mark.parametrize("name", ["ecg_beats", "ecg_af"])
def test_the_shipped_recipes_read(name: str) -> None:
    told = read_recipe(Path(__file__).parents[3] / "export" / "zoo" / name / "recipe.toml").told
    assert told.limits.total_mb == 1.0
    assert told.limits.int8_kb == 100.0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "A tiny stream"', 'titel = "A tiny stream"', "titel"),
        ('version = "0.1.0"', 'version = "1"', "version"),
        ('variants = ["onnx-fp32"', 'variants = ["onnx-fp16"', "onnx-fp16"),
        ('"onnx-int8"]', '"onnx-fp32"]', "listed twice"),
        ('step = "notch"', 'step = "knotch"', "knotch"),
        ('answer = "at_once"', 'answer = "at-once"', "at-once"),
        ('rollout = "two"', 'rollout = "three"', "none of data.records"),
        ('two = ["two"]', 'two = ["one"]', "listed twice"),
        ('methods = ["minmax"]', 'methods = ["mode"]', "calibration.methods"),
        ("premature_every = 4", 'answer = "one_beat_late"', "each answer"),
        ("premature_every = 4", "gap_s = [8.0, 20.0]", "does not lie inside"),
        ("[limits]", "[limits", "not TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = write_recipe(tmp_path, old, new)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_no_network_but_the_detector_is_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    text = path.read_text()
    first, last = text.index("[[beats]]"), text.index("[calibration]")
    path.write_text(text[:first] + text[last:])
    with pytest.raises(RecipeError, match="at least one beat network"):
        read_recipe(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "beats.safetensors", "rhythm.safetensors")
    with pytest.raises(WeightsMismatch, match=r"rhythm\.safetensors"):
        read_networks(read_recipe(path))


def test_a_training_record_of_other_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text('{"weights_sha256": "00"}')
    path = write_recipe(tmp_path, "[[beats]]", 'training = "told.json"\n\n[[beats]]')
    with pytest.raises(RecipeError, match="out of date"):
        read_networks(read_recipe(path))


def test_a_module_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path, '[[beats]]\nanswer = "at_once"\nfactory = "export.networks.beats:build"',
        '[[beats]]\nanswer = "at_once"\nfactory = "export.networks.ecg:build"',
    )  # fmt: skip
    path.write_text(path.read_text().replace("beats.safetensors", "detector.safetensors"))
    with pytest.raises(FactoryError, match="at_once: Detector is no network"):
        read_networks(read_recipe(path)).steps("onnx")
