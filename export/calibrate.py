"""Activation ranges: what each tensor of the graph reaches on real studies.

onnxruntime's calibrators compute them from images that the device's own preparation made. They
are values of their own here, so that they can be stored with what they depend on and a fresh
clone without the data set quantizes to the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.manifest import Part, Sha256
from export.vocabulary import QuantizationPart

_CHUNK = 8
"""Images per collection: histogram calibrators hold all activations of a chunk in memory."""


class Ranges(Part, frozen=True, kw_only=True):
    """Activation ranges with all that they depend on.

    Attributes:
        graph_sha256: of the fp32 file.
        images_sha256: of the prepared images' bytes, in their order.
        method: how they were chosen, with its parameter.
        ranges: tensor → (lowest, highest).
    """

    graph_sha256: Sha256
    images_sha256: Sha256
    method: str
    ranges: dict[str, tuple[float, float]]

    def fit(self, graph_sha256: str, images_sha256: str | None, method: str) -> bool:
        """Whether they belong to this graph, images (None: absent, not asked) and method."""
        same_data = images_sha256 in (None, self.images_sha256)
        return self.graph_sha256 == graph_sha256 and same_data and self.method == method


def method_name(part: QuantizationPart) -> str:
    """The method with its parameter, as a key."""
    return f"percentile {part.percentile}" if part.method == "percentile" else part.method


def calibrate(
    graph_sha256: str,
    graph: bytes,
    tensor_ops: tuple[str, ...],
    input_name: str,
    images: np.ndarray[Any, Any],
    images_sha256: str,
    part: QuantizationPart,
) -> Ranges:
    """Runs prepared images `(N, C, H, W)` uint8 through the graph and collects ranges.

    Args:
        graph_sha256: names the fp32 file that the preprocessed graph came from.
        graph: the preprocessed graph.
        tensor_ops: operators whose inputs and outputs get a range.
        input_name: the graph's input.
        images: what the device's preparation gives for the calibration set.
        images_sha256: of those images' bytes.
        part: the method.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    method = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[part.method]
    options: dict[str, Any] = {"symmetric": False}
    if part.method == "percentile":
        options["percentile"] = part.percentile
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "graph.onnx"
        path.write_bytes(graph)
        calibrator = create_calibrator(
            path,
            tensor_ops,
            augmented_model_path=str(Path(directory) / "augmented.onnx"),
            calibrate_method=method,
            extra_options=options,
        )
        with contextlib.redirect_stdout(io.StringIO()):  # histogram calibrators chat
            for start in range(0, len(images), _CHUNK):
                calibrator.collect_data(_Reader(input_name, images[start : start + _CHUNK]))
            found = calibrator.compute_data()
    ranges = {}
    for name, data in found.items():
        low, high = data.range_value
        ranges[name] = (float(np.asarray(low).reshape(())), float(np.asarray(high).reshape(())))
    return Ranges(
        graph_sha256=graph_sha256,
        images_sha256=images_sha256,
        method=method_name(part),
        ranges=dict(sorted(ranges.items())),
    )


def tensors_data(ranges: Mapping[str, tuple[float, float]]) -> Any:
    """The ranges in the form that onnxruntime's quantizer takes."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    pairs = {
        name: (np.float32(low).reshape(()), np.float32(high).reshape(()))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, pairs)


class _Reader:
    """Feeds images one at a time, in the shape of onnxruntime's `CalibrationDataReader`."""

    def __init__(self, name: str, images: np.ndarray[Any, Any]) -> None:
        self._name = name
        self._images = images
        self._next = 0

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        if self._next == len(self._images):
            return None
        image = self._images[self._next : self._next + 1]
        self._next += 1
        return {self._name: image}

    def __len__(self) -> int:
        return len(self._images)
