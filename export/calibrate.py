"""Activation ranges: what each tensor of a graph reaches on real studies.

The graph, ONNX or TFLite, runs on what the device's own preparation made of the calibration set,
and every activation is observed once; each method then takes its range from the same statistics.
The histograms, percentiles and the entropy search are onnxruntime's, for both formats:
ai-edge-quantizer's own calibrator keeps a moving average of minimum and maximum, which starts at
the first study and cut the logits of `chest-tb` off at zero.

Ranges are values of their own, so that they can be stored with what they depend on and a fresh
clone without the data set quantizes to the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edge_dx.manifest import Part, Sha256
from export.vocabulary import QuantizationPart

Arrays = Mapping[str, np.ndarray[Any, Any]]

_CHUNK = 8
"""Studies whose activations are held at once."""
_BINS = 2048
_LEVELS = 128
"""Of the entropy search: TensorRT's own figures."""


class Ranges(Part, frozen=True, kw_only=True):
    """Activation ranges with all that they depend on.

    Attributes:
        graph_sha256: of the float file.
        feeds_sha256: of the prepared inputs' bytes, in their order.
        method: how they were chosen, with its parameter.
        ranges: tensor → (lowest, highest).
    """

    graph_sha256: Sha256
    feeds_sha256: Sha256
    method: str
    ranges: dict[str, tuple[float, float]]

    def fit(self, graph_sha256: str, feeds_sha256: str | None) -> bool:
        """Whether they belong to this graph and these inputs (None: absent, not asked)."""
        return self.graph_sha256 == graph_sha256 and feeds_sha256 in (None, self.feeds_sha256)


def methods(part: QuantizationPart) -> tuple[str, ...]:
    """The recipe's methods, each with its parameter: `minmax`, `entropy`, `percentile 99.99`."""
    found: list[str] = []
    for method in part.methods:
        if method == "percentile":
            found += [f"percentile {value:g}" for value in part.percentiles]
        else:
            found.append(method)
    return tuple(found)


def feeds_digest(feeds: Arrays) -> str:
    """SHA-256 over names, shapes and bytes of prepared inputs."""
    digest = hashlib.sha256()
    for name, array in sorted(feeds.items()):
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Observed:
    """What was seen of each activation: extremes and two histograms.

    Args:
        graph_sha256: names the float file that was observed.
        feeds_sha256: names what it was observed on.
        streams: for each study, tensor → its values.
    """

    def __init__(self, graph_sha256: str, feeds_sha256: str, streams: Iterable[Arrays]) -> None:
        self.graph_sha256 = graph_sha256
        self.feeds_sha256 = feeds_sha256
        self._extremes: dict[str, tuple[float, float]] = {}
        self._fine = _collector()
        chunk: dict[str, list[np.ndarray[Any, Any]]] = {}
        for number, tensors in enumerate(streams, 1):
            for name, values in tensors.items():
                low, high = self._extremes.get(name, (np.inf, -np.inf))
                self._extremes[name] = (
                    min(low, float(values.min())),
                    max(high, float(values.max())),
                )
                chunk.setdefault(name, []).append(values)
            if number % _CHUNK == 0:
                self._add(chunk)
        self._add(chunk)

    def ranges(self, method: str) -> Ranges:
        """The range of every tensor by a method as `methods` spells it."""
        kind, _, parameter = method.partition(" ")
        if kind == "minmax":
            found = dict(self._extremes)
        else:
            self._fine.method = kind
            self._fine.percentile = float(parameter or 100)
            with contextlib.redirect_stdout(io.StringIO()):  # the collector chats
                computed = self._fine.compute_collection_result()
            found = {
                name: (float(np.asarray(low)), float(np.asarray(high)))
                for name, (low, high, *_) in computed.items()
            }
        return Ranges(
            graph_sha256=self.graph_sha256,
            feeds_sha256=self.feeds_sha256,
            method=method,
            ranges=dict(sorted(found.items())),
        )

    def _add(self, chunk: dict[str, list[np.ndarray[Any, Any]]]) -> None:
        if chunk:
            with contextlib.redirect_stdout(io.StringIO()):
                self._fine.collect(dict(chunk))
            chunk.clear()


def tensors_data(ranges: Mapping[str, tuple[float, float]]) -> Any:
    """The ranges in the form that onnxruntime's quantizer takes."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    pairs = {
        name: (np.float32(low).reshape(()), np.float32(high).reshape(()))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, pairs)


def _collector() -> Any:
    from onnxruntime.quantization.calibrate import HistogramCollector

    return HistogramCollector(
        method="percentile",
        symmetric=False,
        num_bins=_BINS,
        num_quantized_bins=_LEVELS,
        percentile=100.0,
        scenario="same",
    )
