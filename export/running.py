"""Runs exported files through the very runtime of the device, before there is a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_dx.backends import Backend, open_backend
from edge_dx.manifest import (
    AnyOutput,
    Budget,
    Eligibility,
    Fidelity,
    ImageInput,
    Manifest,
    Provenance,
    Variant,
)

Arrays = dict[str, np.ndarray[Any, Any]]
ENGINE = "onnx"


def draft_manifest(image: ImageInput, outputs: tuple[AnyOutput, ...]) -> Manifest:
    """A manifest with the tensors alone: all that opening an engine asks of it."""
    nothing = "0" * 64
    return Manifest(
        schema_version=1, name="draft", version="0.0.0", task="classification", title="",
        intended_use="", licence="", inputs=(image,), outputs=outputs,
        eligibility=Eligibility(), variants=(), golden=(),
        provenance=Provenance(
            factory="", weights_sha256=nothing, recipe_sha256=nothing, tools={},
            calibration=None, validation=None, training=None,
        ),
        budget=Budget(), members={},
    )  # fmt: skip


def draft_variant(name: str) -> Variant:
    """A variant with its name, file and precision, and nothing measured."""
    return Variant(
        name=name,
        file=f"variants/{name}.onnx",
        format="onnx",
        precision="int8" if name.endswith("int8") else "fp32",
        engines=(ENGINE,),
        batch="any",
        tolerance={},
        operating_points=(),
        fidelity=Fidelity(
            reference="", compared_on="", n=0, max_score_error=0.0, decision_flips=0, auc=None
        ),
    )


def open_file(
    payload: bytes, name: str, image: ImageInput, outputs: tuple[AnyOutput, ...]
) -> Backend:
    """Opens an exported file with one thread, the way the device does.

    Raises:
        EngineError: the engine refuses it.
        TensorMismatch: its inputs or outputs are not those of the recipe.
    """
    return open_backend(ENGINE, draft_manifest(image, outputs), draft_variant(name), payload, 1)


def run_each(backend: Backend, images: np.ndarray[Any, Any]) -> Arrays:
    """Runs images `(N, C, H, W)` one at a time, as a device does; outputs joined over N."""
    name = backend.inputs[0].name
    rows = [backend.run({name: images[i : i + 1]}) for i in range(len(images))]
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
