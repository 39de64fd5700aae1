"""A tiny model of a user's own with generated data: what all exporter tests work on."""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from export.calibrate import Observed, feeds_digest
from export.network import load_network
from export.onnx_from_torch import inputs_of, onnx_from_torch, outputs_of, torch_outputs
from export.parity import trial_images
from export.quantize import observe, preprocess, quantize
from export.recipe import Recipe, read_recipe
from export.running import Made, open_made, run_each
from export.scheme import Scheme

ONE_CHANNEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 1)

    def forward(self, image):
        maps = self.wide(torch.relu(self.deep(torch.relu(self.stem(image))))).relu()
        features = maps.mean((2, 3))
        cam = nn.functional.conv2d(maps, self.head.weight[:, :, None, None])
        return self.head(features), cam, features


def build():
    return Net()


def not_a_module():
    return 3


def raises():
    raise ValueError("no such backbone")
"""

THREE_CHANNELS = """
from torch import nn


def build(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Flatten(), nn.Linear(width * 16 * 16, 3),
    )
"""

RECIPE = """
name = "tiny"
version = "1.2.3"
variants = ["onnx-fp32", "onnx-int8"]
title = "A tiny model"
intended_use = "Tests."
licence = "Apache-2.0"

[model]
factory = "net.py:build"
weights = "weights.safetensors"

[input]
shape = [1, 32, 32]
unit = "grey level"
prepare = [
  { step = "colour", to = "grey" },
  { step = "resize", height = 32, width = 32, interpolation = "area" },
  { step = "intensity", kind = "percentile", low = 1, high = 99 },
  { step = "normalise", mean = [128], std = [64] },
]

[[outputs]]
kind = "scores"
name = "logits"
labels = ["blob"]
activation = "sigmoid"

[[outputs]]
kind = "heatmap"
name = "cam"
of = "logits"
bias_from = "head.bias"

[[outputs]]
kind = "features"
name = "features"

[eligibility]
likeness = { side = 8, min_correlation = -1.0 }

[quantization]
methods = ["minmax"]

# Two dozen studies: their intervals say nothing of the kind that the gates ask for.
[gates]
sensitivity_margin = 1.0
specificity_margin = 1.0
auc_margin = 0.2
auc_loss = 0.05
flips = 0.2

[data.validation]
name = "generated, part b"
csv = "films.csv"
patient = "patient"
group = "site"
positive = { blob = ["yes"] }
negative = ["no"]
where = { part = ["b"] }

[data.calibration]
name = "generated, part a"
csv = "films.csv"
patient = "patient"
positive = { blob = ["yes"] }
negative = ["no"]
where = { part = ["a"] }
size = 12
seed = 3

[[operating_points]]
name = "triage"
label = "blob"
sensitivity = 0.9
"""


def write_films(directory: Path, count: int = 36) -> None:
    """Noise with or without a bright blob, as PNG files and a table."""
    rng = np.random.default_rng(5)
    with (directory / "films.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "patient", "site", "part"])
        for i in range(count):
            film = rng.normal(80, 30, (40, 48, 3))
            if i % 2:
                film[10:25, 12:30] += 70
            cv2.imwrite(str(directory / f"{i:02d}.png"), np.clip(film, 0, 255).astype(np.uint8))
            part = "a" if i < count // 3 else "b"
            site = "east" if i % 3 else "west"
            table.writerow([f"{i:02d}.png", "yes" if i % 2 else "no", f"p{i}", site, part])


def trained(network: torch.nn.Module, channels: int, classes: int) -> torch.nn.Module:
    """A few steps on blobs in noise, so that scores differ and thresholds mean something."""
    torch.manual_seed(0)
    images = torch.randn(48, channels, 32, 32)
    target = torch.arange(48) % max(2, classes)
    images[target == 1, :, 8:20, 8:20] += 1.5
    images[target == 2, :, :, ::4] += 1.5
    if channels == 1:  # as the recipe's preparation stretches the films
        flat = images.flatten(1)
        low, high = (torch.quantile(flat, q, dim=1)[:, None, None, None] for q in (0.01, 0.99))
        images = ((images - low) / (high - low)).clamp(0, 1) * 4 - 2
    optimiser = torch.optim.Adam(network.train().parameters(), 0.01)
    for _ in range(30):
        given: Any = network(images)
        scores = given[0] if isinstance(given, tuple) else given
        if classes == 1:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                scores[:, 0], target.float()
            )
        else:
            loss = torch.nn.functional.cross_entropy(scores, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both models, their weights and the films; not to be written to."""
    from safetensors.torch import save_file

    directory = tmp_path_factory.mktemp("recipe")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, source, build_with in (
        ("net", ONE_CHANNEL, {}),
        ("rgb", THREE_CHANNELS, {"width": 4}),
    ):
        (directory / f"{name}.py").write_text(source)
        scope: dict[str, Any] = {}
        exec(source, scope)
        torch.manual_seed(0)
        network = scope["build"](**build_with)
        state = trained(network, 3 if build_with else 1, 3 if build_with else 1).state_dict()
        if build_with:
            torch.save({"state_dict": state}, directory / "rgb.pt")
        else:
            save_file(state, directory / "weights.safetensors")
    torch.set_num_threads(threads)
    write_films(directory)
    (directory / "recipe.toml").write_text(RECIPE)
    return directory


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Path:
    """A copy of that directory which a test may change."""
    import shutil

    copy = tmp_path / "project"
    shutil.copytree(made_once, copy)
    return copy


def changed(project: Path, old: str, new: str) -> Path:
    """The project's recipe with one passage replaced; the path of the recipe."""
    path = project / "recipe.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


SCHEME = Scheme(activation="uint8", symmetric=False, method="minmax", head="float")


class Graphs:
    """The tiny model, exported once for all tests here."""

    def __init__(self, directory: Path) -> None:
        self.recipe: Recipe = read_recipe(directory / "recipe.toml")
        self.network, _ = load_network(self.recipe)
        self.inputs = inputs_of(self.recipe.told)
        self.outputs = outputs_of(self.recipe, self.network)
        self.fp32 = Made("onnx-fp32", onnx_from_torch(self.network, self.outputs))
        self.prepared = preprocess(self.fp32.payload)
        images = np.concatenate([trial_images(5, (1, 32, 32)) for _ in range(3)])
        self.feeds = {"image": images}
        self.observed = Observed(
            self.fp32.sha256, feeds_digest(self.feeds), observe(self.prepared, self.feeds)
        )
        self.ranges = self.observed.ranges("minmax")
        self.int8 = self.quantized(SCHEME)

    def quantized(self, scheme: Scheme, name: str = "onnx-int8") -> Made:
        ranges = self.observed.ranges(scheme.method).ranges
        return Made(name, quantize(self.prepared, ranges, self.outputs, scheme),
                    runs_on=scheme.runs_on)  # fmt: skip

    def run(self, made: Made) -> dict[str, np.ndarray[Any, Any]]:
        return run_each(open_made(made, self.inputs, self.outputs), self.feeds)

    @cached_property
    def expected(self) -> dict[str, np.ndarray[Any, Any]]:
        names = tuple(output.name for output in self.outputs)
        return torch_outputs(self.network, names, self.feeds)


@pytest.fixture(scope="session")
def graphs(made_once: Path) -> Graphs:
    return Graphs(made_once)
