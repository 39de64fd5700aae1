"""Descriptions of the tests' own models, and how they are packed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import several, tiny

TOML = "tomllib" if sys.version_info >= (3, 11) else "tomli"

TINY = """
name = "tiny"
version = "0.0.1"
task = "classification"
title = "Tiny test model"
intended_use = "tests"
licence = "Apache-2.0"

[[inputs]]
kind = "image"
name = "image"
shape = [1, 32, 32]
prepare = [
  { step = "colour", to = "grey" },
  { step = "resize", height = 32, width = 32, interpolation = "area" },
  { step = "intensity", kind = "percentile", low = 1, high = 99 },
]

[[outputs]]
kind = "scores"
name = "logits"
labels = ["finding"]
activation = "sigmoid"

[[outputs]]
kind = "heatmap"
name = "cam"
of = "logits"
shape = [8, 8]
bias = [-2.1]
scale = [0, 4]
identity_tolerance = 1e-3

[[outputs]]
kind = "features"
name = "features"
size = 4

[eligibility]
min_contrast = 0.01

[[models]]
file = "tiny.onnx"
variant = "onnx-fp32"
precision = "fp32"

[[models.operating_points]]
name = "triage"
label = "finding"
output = "logits"
threshold = 0.5
criterion = "made up"

[[golden]]
name = "texture"
what = "smooth random texture"
pattern = "texture"
seed = 3

[[golden]]
name = "blank"
what = "nothing"
pattern = "blank"
"""

SEVERAL = """
name = "several"
version = "0.0.1"
task = "classification"
title = "Everything"
intended_use = "tests"
licence = "Apache-2.0"

[[inputs]]
kind = "image"
name = "picture"
shape = [1, 16, 16]
prepare = [
  { step = "colour", to = "grey" },
  { step = "resize", height = 16, width = 16, interpolation = "area" },
  { step = "intensity", kind = "fixed", low = 0, high = 255 },
]

[[inputs]]
kind = "vector"
name = "facts"

[[inputs.fields]]
name = "age"
unit = "years"
low = 0
high = 120
mean = 60
std = 20

[[inputs.fields]]
name = "sex"
low = 0
high = 1
choices = { F = 0, M = 1 }

[[inputs]]
kind = "array"
name = "spectrum"
shape = [6]
unit = "dB"

[[outputs]]
kind = "scores"
name = "logits"
labels = ["finding"]
activation = "sigmoid"

[[outputs]]
kind = "scores"
name = "words"
labels = ["no", "yes", "other"]
activation = "softmax"
decision = "top1"

[[outputs]]
kind = "mask"
name = "lung"
labels = ["bright", "dark"]
activation = "sigmoid"
shape = [16, 16]

[[outputs]]
kind = "mask"
name = "organ"
labels = ["background", "organ"]
activation = "softmax"
shape = [16, 16]

[[outputs]]
kind = "values"
name = "volume"
fields = [{ name = "volume", unit = "ml", scale = 10, offset = 100 }, { name = "ratio", unit = "" }]

[[outputs]]
kind = "reconstruction"
name = "again"
of = "spectrum"

[[models]]
file = "several.onnx"
variant = "onnx-fp32"
precision = "fp32"
engines = ["onnx", "openvino"]

[[models.operating_points]]
name = "triage"
output = "logits"
label = "finding"
threshold = 0.5
criterion = "made up"

[[models.operating_points]]
name = "bright"
output = "lung"
label = "bright"
threshold = 0.5
criterion = "made up"

[[models.operating_points]]
name = "dark"
output = "lung"
label = "dark"
threshold = 0.9
criterion = "made up"

[[models.operating_points]]
name = "odd"
output = "again"
label = "anomaly"
threshold = 10
band = [9.5, 10.5]
criterion = "made up"

[[golden]]
name = "all"
what = "everything"
pattern = "ramp"
facts.facts = { age = 63, sex = "M" }
arrays.spectrum = { pattern = "noise", low = -3, high = 3 }
"""


def write(directory: Path, text: str = TINY, payload: bytes | None = None) -> tuple[Path, Path]:
    """The description and the model file that it speaks of."""
    name = "several.onnx" if text.startswith(SEVERAL[:20]) else "tiny.onnx"
    if payload is None:
        payload = several.network() if name == "several.onnx" else tiny.network()
    description, model = directory / "m.toml", directory / name
    description.write_text(text)
    model.write_bytes(payload)
    return description, model


def packed(directory: Path, text: str = TINY, payload: bytes | None = None) -> Path:
    from export.packing import pack, read_plan  # where it is skipped, it may not be importable

    description, model = write(directory, text, payload)
    output = directory / "out" / "x.edx"
    pack(read_plan(description), [model], output, tiny.PRIVATE_KEY)
    return output


def refused(directory: Path, match: str, text: str = TINY,
            payload: bytes | None = None) -> None:  # fmt: skip
    """The message names a file, and nothing is left behind."""
    from export.errors import PackError

    with pytest.raises(PackError, match=match) as caught:
        packed(directory, text, payload)
    told = str(caught.value)
    assert str(directory) in told or "variant" in told
    assert not list(directory.rglob("*.edx"))
    assert not list(directory.rglob(".packing-*"))
