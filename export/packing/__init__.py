"""From finished model files to a signed bundle, without torch.

A maker who already has ONNX or TFLite files describes them in a TOML file (`vocabulary`), and
`edge-dx-export pack` writes the bundle. What a file says of itself is read from the file (`files`:
format, tensor names, types, quantization) and never typed by hand; `wiring` compares it with the
description. Nothing is measured here: thresholds are the maker's, figures stay empty, and the
card says so. What is made here are golden outputs (`cases`), so that a device can prove that it
computes what this workstation computed. `making` puts it all together.
"""

from export.packing.making import pack
from export.packing.plan import Plan, read_plan

__all__ = ["Plan", "pack", "read_plan"]
