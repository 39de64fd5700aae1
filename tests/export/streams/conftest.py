"""The shipped networks on made-up recordings: what all tests of the stream exporter work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_dx.ec57 import annotated
from edge_dx.sources.samples import Synthetic
from edge_dx.wfdb import write_annotations
from export.streams.contract import manifest_of
from export.streams.files import Maker
from export.streams.modules import Networks, read_networks
from export.streams.recipe import Recipe, read_recipe

ZOO = Path(__file__).parents[3] / "export" / "zoo" / "ecg"

RECIPE = """
kind = "stream"
name = "tiny-beats"
version = "0.1.0"
title = "A tiny stream"
intended_use = "Tests."
licence = "Apache-2.0"
variants = ["onnx-fp32", "onnx-int8"]

[input]
rate_hz = 250
leads = ["MLII", "II"]
prepare = [
  { step = "resample", to_hz = 250 },
  { step = "notch" },
  { step = "bandpass", low_hz = 0.5, high_hz = 40.0 },
  { step = "scale", factor = 1.0, limit = 10.0 },
]

[detector]
factory = "export.networks.ecg:build"
weights = "ZOO/detector.safetensors"

[[beats]]
answer = "at_once"
factory = "export.networks.beats:build"
weights = "ZOO/beats.safetensors"

[calibration]
methods = ["minmax"]
seconds = 30.0
every = 10

[limits]
changed_beats = 0.2
total_mb = 1.0

[data]
rollout = "two"

[data.records]
name = "made-up recordings"
root = "set"
from_s = 10.0

[data.records.patients]
one = ["one"]
two = ["two"]

[[golden]]
name = "premature"
what = "every fourth beat ventricular"
seconds = 12
premature_every = 4

[card]
description = "Described."
data = "Made up."
limits = "All."
attribution = "Nobody."
"""


def write_recipe(folder: Path, old: str = "", new: str = "") -> Path:
    """The recipe with one thing changed."""
    told = RECIPE.replace("ZOO", str(ZOO))
    assert old in told
    path = folder / "recipe.toml"
    path.write_text(told.replace(old, new, 1) if old else told)
    return path


def write_record(folder: Path, name: str, seed: int, seconds: float = 60.0) -> None:
    """A made-up recording with its annotations, in the formats of PhysioNet."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Synthetic(rate_hz=360, seconds=seconds, premature_every=5, seed=seed, noise_mv=0.02)
    mv = np.concatenate([block.mv for block in source.blocks()])[:, :1]
    digital = np.rint(mv[:, 0] * 200).astype("<i2")
    (folder / f"{name}.dat").write_bytes(digital.tobytes())
    checksum = (int(digital.sum()) + 0x8000) % 0x10000 - 0x8000
    (folder / f"{name}.hea").write_text(
        f"{name} 1 360 {len(mv)}\n{name}.dat 16 200/mV 16 0 {digital[0]} {checksum} 0 II\n"
    )
    beats = [(beat.index, "V" if beat.ventricular else "N") for beat in source.beats()]
    write_annotations(folder / f"{name}.atr", annotated(beats))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with two recordings of a minute."""
    folder = tmp_path_factory.mktemp("stream")
    write_recipe(folder)
    for seed, name in enumerate(("one", "two")):
        write_record(folder / "set", name, seed)
    return folder


@pytest.fixture(scope="session")
def recipe(project: Path) -> Recipe:
    """The recipe, read."""
    return read_recipe(project / "recipe.toml")


@pytest.fixture(scope="session")
def networks(recipe: Recipe) -> Networks:
    """Its modules."""
    torch.set_num_threads(1)
    return read_networks(recipe)


@pytest.fixture(scope="session")
def maker(networks: Networks) -> Maker:
    """Makes its files, each once."""
    return Maker(networks)


@pytest.fixture(scope="session")
def manifest(recipe: Recipe, networks: Networks):  # type: ignore[no-untyped-def]  # Manifest
    """Its contract without variants."""
    return manifest_of(recipe, networks)


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    """A minute of rows, as the signal path leaves them."""
    from export.training.ecg.records import through

    source = Synthetic(rate_hz=250, seconds=60, premature_every=5, seed=3, noise_mv=0.02)
    mv = np.concatenate([block.mv for block in source.blocks()])[:, :1]
    return through(mv, 250, ["II"])[0]
