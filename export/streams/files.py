"""The files of a stream's variants: every network in every encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from edge_dx.manifest import Manifest, NetworkFile, Variant, Wire
from edge_dx.manifest.stream import NetworkName
from export.calibrate import Ranges
from export.running import ENGINES_OF
from export.scheme import DOT_PRODUCTS
from export.streams import onnx_from_step, tflite_from_step
from export.streams.modules import Format, Networks
from export.streams.recipe import VariantName
from export.streams.steps import Step

MakeRanges = dict[NetworkName, Ranges]


@dataclass(frozen=True)
class File:
    """One network in one encoding.

    Attributes:
        wires: tensors that stand otherwise in the file.
        undelegated: operators that no fast kernel takes.
        quantized: whether anything in it is.
    """

    payload: bytes = field(repr=False)
    wires: Mapping[str, Wire] = field(default_factory=dict)
    undelegated: tuple[str, ...] = ()
    quantized: bool = False

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True)
class Files:
    """One variant.

    Attributes:
        name: of the variant.
        networks: its files.
        quantization: how it was made, in words.
        reduce_range: weights in 7 bits.
    """

    name: VariantName
    networks: Mapping[NetworkName, File]
    quantization: Mapping[str, str] = field(default_factory=dict)
    reduce_range: bool = False

    @property
    def format(self) -> Format:
        """Of the files."""
        return "tflite" if self.name.startswith("tflite") else "onnx"

    @property
    def batch_one(self) -> bool:
        """TFLite's kernels are prepared for one shape."""
        return self.format == "tflite"

    def member(self, network: NetworkName) -> str:
        """The bundle's member with a network's file. What is not quantized is the float file."""
        quantized = self.networks[network].quantized
        variant = self.name if quantized else self.name.replace("int8", "fp32")
        return f"variants/{variant}.{network}.{self.format}"

    @property
    def members(self) -> dict[str, bytes]:
        """All of them."""
        return {self.member(name): file.payload for name, file in self.networks.items()}

    @property
    def entry(self) -> Variant:
        """The manifest's entry with nothing measured."""
        detector = self.networks.get("detector", File(b""))
        int8 = self.name.endswith("int8")
        processors = int8 and self.format == "onnx" and not self.reduce_range
        return Variant(
            name=self.name,
            file=self.member("detector") if "detector" in self.networks else "",
            format=self.format,
            precision="int8" if int8 else "fp32",
            engines=ENGINES_OF[self.format][:1],
            batch="one" if self.batch_one else "any",
            tolerance={},
            operating_points=(),
            fidelity=None,
            wires=dict(detector.wires),
            runs_on=DOT_PRODUCTS if processors else (),
            undelegated=len(detector.undelegated),
            quantization=dict(self.quantization),
            networks={
                name: NetworkFile(
                    file=self.member(name), wires=dict(file.wires),
                    undelegated=len(file.undelegated),
                )
                for name, file in self.networks.items()
                if name != "detector"
            },
        )  # fmt: skip


class Maker:
    """Makes the files of some networks; float files are made once.

    Args:
        networks: the modules.
        reduce_range: see `CalibrationPart`.
    """

    def __init__(self, networks: Networks, *, reduce_range: bool = False) -> None:
        self.networks, self._reduce_range = networks, reduce_range
        self._steps: dict[Format, dict[NetworkName, Step]] = {}
        self._float: dict[tuple[Format, NetworkName], File] = {}
        self._prepared: dict[NetworkName, bytes] = {}

    def step(self, kind: Format, network: NetworkName) -> Step:
        """A network as the format's files hold it."""
        if kind not in self._steps:
            self._steps[kind] = self.networks.steps(kind)
        return self._steps[kind][network]

    def float_file(self, kind: Format, network: NetworkName) -> File:
        """A network in float.

        Raises:
            GraphError: the exporter or converter refuses it.
            MissingExtra: the converter is not installed.
        """
        key = (kind, network)
        if key not in self._float:
            step = self.step(kind, network)
            if kind == "onnx":
                self._float[key] = File(onnx_from_step.onnx_from_step(step))
            else:
                payload = tflite_from_step.tflite_from_step(step)
                self._float[key] = File(payload, *tflite_from_step.wires_of(payload, step))
        return self._float[key]

    def prepared(self, kind: Format, network: NetworkName) -> bytes:
        """The float file as its quantizer takes it."""
        payload = self.float_file(kind, network).payload
        if kind == "tflite":
            return payload
        if network not in self._prepared:
            self._prepared[network] = onnx_from_step.preprocess(payload)
        return self._prepared[network]

    def quantized_file(self, kind: Format, network: NetworkName, ranges: Ranges) -> File:
        """A network with its quantizable layers in int8.

        Raises:
            GraphError: the quantizer refuses it.
        """
        step, prepared = self.step(kind, network), self.prepared(kind, network)
        if kind == "onnx":
            payload = onnx_from_step.quantize(
                prepared, step, ranges.ranges, reduce_range=self._reduce_range
            )
            return File(payload, quantized=True)
        payload = tflite_from_step.quantize(prepared, step, ranges.ranges)
        return File(payload, *tflite_from_step.wires_of(payload, step), quantized=True)

    def files(self, variant: VariantName, ranges: Mapping[NetworkName, Ranges]) -> Files:
        """A variant. Networks with nothing to quantize are float in int8 variants too."""
        kind: Format = "tflite" if variant.startswith("tflite") else "onnx"
        made = {}
        int8 = variant.endswith("int8")
        for name in self.networks.modules:
            if int8 and self.step(kind, name).quantized:
                made[name] = self.quantized_file(kind, name, ranges[name])
            else:
                made[name] = self.float_file(kind, name)
        told = {}
        if int8:
            spelt = " in 7 bits" if self._reduce_range and kind == "onnx" else ""
            told = {
                "scheme": f"static, weights int8 per channel{spelt}, what they are multiplied with "
                "int8 per tensor",
                "float": "sums, memory, recurrent units, answers",
                "ranges": "; ".join(f"{n}: {found.method}" for n, found in ranges.items()),
            }
        return Files(variant, made, told, self._reduce_range)


def variant_of(kind: Format, precision: Literal["fp32", "int8"]) -> VariantName:
    """The variant's name."""
    return {
        ("onnx", "fp32"): "onnx-fp32",
        ("onnx", "int8"): "onnx-int8",
        ("tflite", "fp32"): "tflite-fp32",
        ("tflite", "int8"): "tflite-int8",
    }[kind, precision]  # type: ignore[return-value]  # all four are


def with_entries(manifest: Manifest, variants: tuple[Variant, ...]) -> Manifest:
    """The manifest with these variants."""
    return msgspec.structs.replace(manifest, variants=variants)
