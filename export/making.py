"""From the module to the files of its variants, each quantized the way that measurement chose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from edge_dx.manifest import AnyInput, AnyOutput, ImageInput, Wire
from export import quantize, quantize_tflite
from export.answers import noise, sqnr_db
from export.calibrate import Observed, Ranges, feeds_digest, methods
from export.errors import EvidenceMismatch
from export.float16 import to_float16
from export.latency import latencies
from export.network import FromInputs
from export.onnx_from_torch import onnx_from_torch
from export.report.record import Candidate, LayerNoise
from export.running import Arrays, Made, open_made, run_each
from export.scheme import Layer, Scheme
from export.tflite_from_torch import tflite_from_torch, wires_of
from export.vocabulary import RecipeFile

Feeds = Mapping[str, np.ndarray[Any, Any]]
_BLOCKS = 3


@dataclass(frozen=True)
class Choice:
    """How a quantized variant is made, and why so.

    Attributes:
        scheme: chosen.
        ranges: by the scheme's method.
        candidates: all that were tried; empty where the choice was stored.
    """

    scheme: Scheme
    ranges: Ranges
    candidates: tuple[Candidate, ...] = ()


class Maker:
    """Makes files; float graphs and observations are made once and kept.

    Args:
        told: the recipe.
        network: the module behind its normalisation.
        inputs: of the manifest.
        outputs: of the manifest.
        calibration: input → (N, …), or None where the set is not here.
        say: takes progress lines.
    """

    def __init__(
        self,
        told: RecipeFile,
        network: FromInputs,
        inputs: tuple[AnyInput, ...],
        outputs: tuple[AnyOutput, ...],
        calibration: Feeds | None,
        say: Callable[[str], None],
    ) -> None:
        self.told = told
        self.network = network
        self.inputs = inputs
        self.outputs = outputs
        self.calibration = calibration
        self.say = say
        self._observed: dict[str, Observed] = {}

    @cached_property
    def onnx(self) -> Made:
        """The fp32 ONNX file, parent of all ONNX variants."""
        return Made("onnx-fp32", onnx_from_torch(self.network, self.outputs))

    @cached_property
    def tflite(self) -> Made:
        """The fp32 TFLite file."""
        payload = tflite_from_torch(self.network)
        wires, left = wires_of(payload, self.inputs, self.outputs)
        return Made("tflite-fp32", payload, wires, undelegated=left)

    @cached_property
    def preprocessed(self) -> bytes:
        """The ONNX graph as the quantizer wants it."""
        return quantize.preprocess(self.onnx.payload)

    @cached_property
    def feeds_sha256(self) -> str | None:
        """Names the calibration set's prepared inputs."""
        return feeds_digest(self.calibration) if self.calibration is not None else None

    def parent(self, name: str) -> Made:
        """The fp32 file that a variant is made from."""
        return self.tflite if name.startswith("tflite") else self.onnx

    def float_file(self, name: str) -> Made:
        """A variant that needs no calibration."""
        if name == "tensorrt-fp16":
            return Made(name, to_float16(self.onnx.payload), quantization={
                "scheme": "weights and activations float16, inputs and outputs as they were",
            })  # fmt: skip
        return replace(self.parent(name), name=name)

    def quantized(
        self, name: str, scheme: Scheme, ranges: Ranges, only: Layer | None = None
    ) -> Made:
        """An int8 variant, or one with a single layer quantized."""
        alone = only.name if only else None
        told = {**scheme.told(), "feeds_sha256": ranges.feeds_sha256}
        if name.startswith("tflite"):
            payload = quantize_tflite.quantize(self.tflite.payload, ranges.ranges, scheme, alone)
            wires, left = wires_of(payload, self.inputs, self.outputs)
            return Made(name, payload, wires, undelegated=left, quantization=told)
        payload = quantize.quantize(self.preprocessed, ranges.ranges, self.outputs, scheme, alone)
        return Made(name, payload, runs_on=scheme.runs_on, quantization=told)

    def layers(self, name: str, scheme: Scheme) -> tuple[Layer, ...]:
        """The layers that a variant may keep in float."""
        if name.startswith("tflite"):
            return quantize_tflite.layers(self.tflite.payload)
        return quantize.layers(self.preprocessed, self.outputs, scheme.head)

    def ranges(self, name: str, method: str) -> Ranges:
        """Activation ranges from the calibration set."""
        kind = "tflite" if name.startswith("tflite") else "onnx"
        if kind not in self._observed:
            assert self.calibration is not None, "the caller looks first"
            assert self.feeds_sha256 is not None, "it names the calibration set"
            n = len(next(iter(self.calibration.values())))
            self.say(f"  observing the activations of {n} studies ({kind})")
            parent = self.parent(name)
            if kind != "tflite":
                streams = quantize.observe(self.preprocessed, self.calibration)
            else:
                streams = quantize_tflite.observe(self.tflite.payload, self._in_file())
            digest = hashlib.sha256(parent.payload).hexdigest()
            self._observed[kind] = Observed(digest, self.feeds_sha256, streams)
        found = self._observed[kind].ranges(method)
        if kind == "tflite":
            found = self._with_grey_levels(found)
        return found

    def choose(self, name: str, feeds: Feeds, wanted: Arrays) -> Choice:
        """Tries every scheme of the recipe on the validation set and takes the best.

        Args:
            name: of the variant.
            feeds: the validation set.
            wanted: the module's outputs for it.
        """
        schemes = self._schemes(name)
        made = [self.quantized(name, s, self.ranges(name, s.method)) for s in schemes]
        backends = {str(k): open_made(m, self.inputs, self.outputs) for k, m in enumerate(made)}
        off = [
            noise(self.outputs, wanted, run_each(backend, feeds), feeds)
            for backend in backends.values()
        ]
        took = latencies(backends, feeds, _BLOCKS) if len(made) > 1 else None
        for backend in backends.values():
            backend.close()
        times = [took[str(k)].p50_ms if took else 0.0 for k in range(len(made))]
        limit = self.told.quantization.slower * min(times)
        fast = [k for k, spent in enumerate(times) if spent <= limit]
        best = min(fast, key=lambda k: off[k])
        candidates = tuple(
            Candidate(
                scheme=scheme,
                sqnr_db=round(sqnr_db(off[k]), 2),
                latency_p50_ms=times[k],
                bytes=len(made[k].payload),
                chosen=k == best,
                why=_why(k, best, fast, len(made), self.told.quantization.slower),
            )
            for k, scheme in enumerate(schemes)
        )
        chosen = schemes[best]
        self.say(
            f"  {name}: {len(schemes)} schemes tried; {chosen.activation}, {chosen.method}, "
            f"{chosen.head} head leaves the answers at {sqnr_db(off[best]):.1f} dB"
        )
        return Choice(chosen, self.ranges(name, chosen.method), candidates)

    def layer_noise(
        self, name: str, choice: Choice, feeds: Feeds, wanted: Arrays
    ) -> tuple[tuple[Layer, LayerNoise], ...]:
        """What quantizing each layer alone does to the answers, in the graph's order."""
        plain = replace_scheme(choice.scheme, ())
        found = []
        for layer in self.layers(name, plain):
            alone = self.quantized(name, plain, choice.ranges, layer)
            backend = open_made(alone, self.inputs, self.outputs)
            off = noise(self.outputs, wanted, run_each(backend, feeds), feeds)
            backend.close()
            reverted = layer.name in choice.scheme.reverted
            found.append(
                (
                    layer,
                    LayerNoise(layer=layer.told, sqnr_db=round(sqnr_db(off), 2), reverted=reverted),
                )
            )
        return tuple(found)

    def check_stored(self, ranges: Ranges, name: str, source: str) -> None:
        """Makes sure that stored ranges belong to the graph just exported.

        Raises:
            EvidenceMismatch: they were collected on another graph, or on other studies.
        """
        graph = self.parent(name).sha256
        if not ranges.fit(graph, self.feeds_sha256):
            raise EvidenceMismatch(
                f"{source}: the activation ranges of {name} belong to the graph "
                f"{ranges.graph_sha256} and other studies or preparation; the graph just exported "
                f"is {graph}. Calibrate with the data set (--data DIR --write-evidence), or export "
                "with the versions that made the evidence"
            )

    def _schemes(self, name: str) -> list[Scheme]:
        part = self.told.quantization
        if name == "onnx-int8":
            ways = [
                Scheme(activation=activation, symmetric=False, method=method, head=head,
                       reduce_range=part.reduce_range)
                for activation, head, method in product(part.activations, part.heads, methods(part))
            ]  # fmt: skip
        elif name == "tensorrt-int8":
            # The head stays out: where TensorRT takes it apart again it falls back on float32
            # products, which TensorRT for RTX does not have for Turing.
            ways = [
                Scheme(activation="int8", symmetric=True, method=method, head="float")
                for method in methods(part)
            ]
        else:
            ways = [
                Scheme(activation="int8", symmetric=False, method=method, head="int8")
                for method in methods(part)
            ]
        return ways

    def _in_file(self) -> dict[str, np.ndarray[Any, Any]]:
        """The calibration set as the fp32 TFLite file takes it."""
        from edge_dx.backends import input_specs
        from edge_dx.backends.wires import encoder
        from export.running import draft_manifest

        assert self.calibration is not None, "the caller looks first"
        specs = input_specs(draft_manifest(self.inputs, self.outputs))
        found = {}
        for item, spec in zip(self.inputs, specs, strict=True):
            wire = self.tflite.wires[item.name]
            found[wire.tensor] = encoder(item, spec, wire)(self.calibration[item.name])
        return found

    def _with_grey_levels(self, found: Ranges) -> Ranges:
        """The image's own range in place of the one seen, so that its levels are grey levels."""
        import msgspec

        ranges = dict(found.ranges)
        for item in self.inputs:
            wire: Wire = self.tflite.wires[item.name]
            if isinstance(item, ImageInput):
                ranges[wire.tensor] = quantize_tflite.image_range(item, wire, ranges[wire.tensor])
        return msgspec.structs.replace(found, ranges=ranges)


def replace_scheme(scheme: Scheme, reverted: tuple[str, ...]) -> Scheme:
    """The scheme with these layers in float."""
    import msgspec

    return msgspec.structs.replace(scheme, reverted=reverted)


def _why(k: int, best: int, fast: list[int], n: int, slower: float) -> str:
    if n == 1:
        return "the recipe allows no other"
    if k == best:
        return "nearest to the module among those fast enough"
    if k not in fast:
        return f"more than {slower:g} times as slow as the fastest"
    return "further from the module"
