"""ONNX files through TensorRT, compiled on the device that runs them.

    vendor            the library as it is here: TensorRT 10.3 to 11.4, or TensorRT for RTX
    engine_from_onnx  an ONNX file → an engine; also ahead of time, without a GPU
    cache             where engines are kept, and when one is built again
    memory            device memory, pinned buffers and a stream
    watching          what the library says, and how far a build is
    backend           the engine of edge_dx

An engine is bound to the GPU, the library's version and the flags that it was built with, and two
builds of the same file are not the same to the bit. So the file in the bundle stays the truth: an
engine is rebuilt whenever anything that it depends on changes, the golden inputs are run again
after each build, and each result carries the engine's digest.
"""

from __future__ import annotations

from edge_dx.backends.tensorrt.backend import TensorRt
from edge_dx.backends.tensorrt.cache import beside
from edge_dx.backends.tensorrt.engine_from_onnx import prebuild
from edge_dx.backends.tensorrt.vendor import problem

__all__ = ["TensorRt", "beside", "prebuild", "problem"]
