"""Anybody's module: regression, segmentation and reconstruction heads, arrays, a free batch."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch

import edge_dx
from edge_dx.bundle import Bundle
from edge_dx.result import Status
from export.errors import DataError, RecipeError
from export.pipeline import Options, export
from export.recipe import read_recipe
from export.report.record import Report

VARIANTS = '"onnx-fp32", "onnx-int8", "tensorrt-int8", "tensorrt-fp16"' + (
    ', "tflite-fp32", "tflite-int8"' if importlib.util.find_spec("litert_torch") else ""
)

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(12, 8), nn.Linear(8, %d)

    def forward(self, spectrum):
        return self.up(self.down(spectrum).relu())

def build():
    return Net()
"""

HEAD = f"""
name = "task"
version = "0.0.1"
title = "A task"
intended_use = "Tests."
licence = "MIT"
variants = [{VARIANTS}]
[model]
factory = "net.py:build"
weights = "net.pt"
[quantization]
methods = ["minmax"]
"""

ARRAY = """
[[inputs]]
kind = "array"
name = "spectrum"
shape = [12]
unit = "dB"
"""


def sets(columns: str) -> str:
    return "".join(
        f'[data.{role}]\nname = "{role}"\ncsv = "table.csv"\n'
        f'where = {{ part = ["{part}"] }}\n{columns}'
        for role, part in (("validation", "b"), ("calibration", "a"))
    )


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


def spectra(directory: Path, odd: bool = False) -> np.ndarray[Any, Any]:
    """(60, 12) in a plane of two directions, a table of them; every third off the plane if odd."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 12))
    values = (rng.normal(size=(60, 2)) @ plane).astype(np.float32)
    if odd:
        values[::3] += rng.normal(0, 1.5, (20, 12)).astype(np.float32)
    with (directory / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["array", "truth", "label", "part"])
        for i, row in enumerate(values):
            np.save(directory / f"{i}.npy", row)
            label = "odd" if odd and i % 3 == 0 else "plain"
            table.writerow([f"{i}.npy", float(row.sum()), label, "a" if i < 24 else "b"])
    return values


def fitted(directory: Path, width: int, inputs: Any, targets: Any, steps: int = 400) -> None:
    (directory / "net.py").write_text(MODULE % width)
    scope: dict[str, Any] = {}
    exec(MODULE % width, scope)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = scope["build"]()
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(network(torch.tensor(inputs)), torch.tensor(targets))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(network.state_dict(), directory / "net.pt")


def packed(directory: Path, text: str) -> Bundle:
    (directory / "recipe.toml").write_text(text)
    recipe = read_recipe(directory / "recipe.toml")
    return export(recipe, directory / "task.edx", Options(say=quiet))


def figures_of(bundle: Bundle) -> dict[str, dict[str, float]]:
    report = msgspec.json.decode(bundle.members["report.json"], type=Report)
    return {v.name: {c.figure: c.variant for c in v.comparisons} for v in report.variants}


REGRESSION = (
    HEAD.replace('name = "task"\n', 'name = "task"\ntask = "regression"\n') + ARRAY
    + '[[outputs]]\nkind = "values"\nname = "measure"\n'
    + 'fields = [{ name = "power", unit = "W" }]\n'
    + "[gates]\nerror_margin = { power = 1.0 }\n"
)  # fmt: skip


def test_a_regression_on_arrays(tmp_path: Path) -> None:
    values = spectra(tmp_path)
    fitted(tmp_path, 1, values[:24], values[:24].sum(axis=1, keepdims=True))
    columns = 'arrays = { spectrum = "array" }\nvalues = { power = "truth" }\n'
    bundle = packed(tmp_path, REGRESSION + sets(columns))
    for name, told in figures_of(bundle).items():
        assert -1.5 < told["power: minus mean absolute error [W]"] <= 0, name
    with edge_dx.load(tmp_path / "task.edx", allow_unsigned=True) as model:
        result = model(tmp_path / "40.npy")
        assert result.status is Status.MEASURED
        assert (result.label, result.score, result.findings) == (None, None, ())
        (value,) = result.values
        assert value.unit == "W"
        assert value.value == pytest.approx(float(values[40].sum()), abs=3)
        together = list(model.batch([values[30], values[31], values[32]]))
        alone = [model(values[k]) for k in (30, 31, 32)]
        assert [r.values[0].value for r in together] == pytest.approx(
            [r.values[0].value for r in alone], abs=1e-3
        )


def test_a_truth_that_is_no_number_is_named(tmp_path: Path) -> None:
    values = spectra(tmp_path)
    fitted(tmp_path, 1, values, values.sum(axis=1, keepdims=True), 1)
    path = tmp_path / "table.csv"
    path.write_text(path.read_text().replace(",plain,b", "x,plain,b", 1))
    columns = 'arrays = { spectrum = "array" }\nvalues = { power = "truth" }\n'
    with pytest.raises(DataError, match=r"table\.csv:26: truth is .*x', which is no number"):
        packed(tmp_path, REGRESSION + sets(columns))


def test_an_input_needs_a_column(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(REGRESSION + sets('values = { power = "truth" }\n'))
    with pytest.raises(RecipeError, match="arrays: no column is given for spectrum"):
        read_recipe(tmp_path / "recipe.toml")
    wrong = sets('arrays = { spectrum = "array" }\nvalues = { weight = "truth" }\n')
    (tmp_path / "recipe.toml").write_text(REGRESSION + wrong)
    with pytest.raises(RecipeError, match="values: weight is nothing that the model has"):
        read_recipe(tmp_path / "recipe.toml")


def test_an_auto_encoder_finds_what_it_has_not_learnt(tmp_path: Path) -> None:
    values = spectra(tmp_path, odd=True)
    plain = np.delete(values, slice(0, None, 3), axis=0)
    fitted(tmp_path, 12, plain, plain)
    text = (
        HEAD.replace('name = "task"\n', 'name = "task"\ntask = "anomaly"\n') + ARRAY
        + '[[outputs]]\nkind = "reconstruction"\nname = "again"\nof = "spectrum"\nlabel = "odd"\n'
        + '[[operating_points]]\nname = "strange"\nlabel = "odd"\nyouden = true\n'
        + "[gates]\nsensitivity_margin = 0.5\nspecificity_margin = 0.5\nflips = 0.1\n"
    )  # fmt: skip
    columns = (
        'arrays = { spectrum = "array" }\npositive = { odd = ["odd"] }\nnegative = ["plain"]\n'
    )
    bundle = packed(tmp_path, text + sets(columns))
    for variant in bundle.manifest.variants:
        assert variant.fidelity is not None
        assert variant.fidelity.auc is not None
        assert variant.fidelity.auc.value > 0.9, variant.name
    with edge_dx.load(tmp_path / "task.edx", allow_unsigned=True) as model:
        odd, ordinary = model(values[33]), model(values[34])
        assert (odd.status, ordinary.status) == (Status.POSITIVE, Status.NEGATIVE)
        assert odd.label == "odd"
        assert odd.probabilities == {}  # an error is no probability
        assert odd.score is not None
        assert odd.score > odd.findings[0].operating_point.threshold


SEGMENTATION = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 2, 1),
    )
"""


def test_a_segmentation_by_the_likeliest_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures, truths = [], []
    with (tmp_path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "mask", "part"])
        for i in range(40):
            inside = np.zeros((32, 32), bool)
            top, left = rng.integers(4, 14, 2)
            inside[top : top + 12, left : left + 12] = True
            picture = np.clip(rng.normal(80, 25, (32, 32)) + 100 * inside, 0, 255)
            cv2.imwrite(str(tmp_path / f"{i}.png"), picture.astype(np.uint8))
            cv2.imwrite(str(tmp_path / f"{i}_mask.png"), inside.astype(np.uint8) * 255)
            table.writerow([f"{i}.png", f"{i}_mask.png", "a" if i < 20 else "b"])
            pictures.append((picture.astype(np.uint8).astype(np.float32)[None] - 128) / 64)
            truths.append(inside)
    (tmp_path / "net.py").write_text(SEGMENTATION)
    scope: dict[str, Any] = {}
    exec(SEGMENTATION, scope)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = scope["build"]()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(
            network(torch.tensor(np.array(pictures[:20]))),
            torch.tensor(np.array(truths[:20])).long(),
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(network.state_dict(), tmp_path / "net.pt")
    text = (
        HEAD.replace('name = "task"\n', 'name = "task"\ntask = "segmentation"\n')
        + '[input]\nshape = [1, 32, 32]\nunit = "grey"\nprepare = [\n'
        + '  { step = "colour", to = "grey" },\n'
        + '  { step = "resize", height = 32, width = 32, interpolation = "area" },\n'
        + '  { step = "intensity", kind = "fixed", low = 0, high = 255 },\n'
        + '  { step = "normalise", mean = [128], std = [64] },\n]\n'
        + '[[outputs]]\nkind = "mask"\nname = "where"\nlabels = ["nothing", "square"]\n'
        + 'activation = "softmax"\n'
    )
    bundle = packed(tmp_path, text + sets('masks = { square = "mask" }\n'))
    for name, told in figures_of(bundle).items():
        assert told["square: Dice"] > 0.85, name
    with edge_dx.load(tmp_path / "task.edx", allow_unsigned=True) as model:
        result = model(tmp_path / "30.png")
        assert result.status is Status.MEASURED
        (mask,) = result.masks
        assert (mask.label, mask.threshold) == ("square", None)
        both = (mask.values & truths[30]).sum()
        assert 2 * both / (mask.values.sum() + truths[30].sum()) > 0.85
        with pytest.raises(ValueError, match="read-only"):
            mask.values[0, 0] = True
