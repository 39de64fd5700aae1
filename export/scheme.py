"""How a file was quantized: all that decides its bytes beside the graph and the ranges."""

from __future__ import annotations

from typing import Literal

from edge_dx.manifest import InstructionSet, Part

DOT_PRODUCTS: tuple[InstructionSet, ...] = ("avx_vnni", "avx512_vnni", "amx_int8", "asimd")
"""Where 8 by 8 bit products are added without saturation; any one of them suffices.

x86 without VNNI adds pairs of products in 16 bits (onnxruntime#12072); 64-bit Arm never does.
"""


class Scheme(Part, frozen=True, kw_only=True):
    """One way of quantizing a graph.

    Attributes:
        activation: type of the activations.
        symmetric: zero point 0 for the activations too, and no quantized biases (TensorRT).
        method: of the activation ranges, with its parameter.
        head: whether what stands behind the last feature map is quantized.
        reduce_range: weights in 7 bits.
        reverted: layers that went back to float, worst first.
    """

    activation: Literal["uint8", "int8"]
    symmetric: bool
    method: str
    head: Literal["float", "int8"]
    reduce_range: bool = False
    reverted: tuple[str, ...] = ()

    @property
    def runs_on(self) -> tuple[InstructionSet, ...]:
        """Instruction sets that an ONNX file of this scheme needs; empty for any processor."""
        return () if self.reduce_range else DOT_PRODUCTS

    def told(self) -> dict[str, str]:
        """In words, for the manifest."""
        spelt = "symmetric " if self.symmetric else ""
        return {
            "scheme": f"static Q/DQ, activations {spelt}{self.activation} per tensor, weights int8 "
            "per channel" + (" in 7 bits" if self.reduce_range else ""),
            "head": "float" if self.head == "float" else "int8, as all the rest",
            "ranges": self.method,
            "reverted to float": ", ".join(self.reverted) or "no layer",
        }


class Layer(Part, frozen=True, kw_only=True):
    """A layer that quantization can take or leave.

    Attributes:
        name: how the quantizer refers to it.
        told: for people, for example `Conv 5 (80→160, 1×1)`.
    """

    name: str
    told: str
