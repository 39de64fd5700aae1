"""ONNX files through OpenVINO, for x86 carts.

OpenVINO chooses its precision by itself: where a processor has them it computes fp32 graphs in
bfloat16 or half precision. The hint `f32` forbids that; int8 graphs keep their Q/DQ.
"""

from __future__ import annotations

import io
import platform
import threading
from collections.abc import Mapping
from typing import Any

from edge_dx.backends.protocol import Backend
from edge_dx.backends.quiet import engine_module
from edge_dx.backends.specs import check_file, file_specs
from edge_dx.errors import EngineFailed, EngineRefused
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds

_X86 = ("x86_64", "AMD64", "i686")


class OpenVino:
    """OpenVINO on the processor, one stream, fp32 as fp32."""

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        self._name = f"variant {variant.name} on engine openvino"
        if variant.precision == "int8" and platform.machine() not in _X86:
            raise EngineRefused(
                f"{self._name}: OpenVINO computes int8 graphs in half precision on "
                f"{platform.machine()}, which is not what was measured; use the engine onnx"
            )
        openvino: Any = engine_module("openvino")
        promised = file_specs(manifest, variant)
        try:
            core = openvino.Core()
            model = core.read_model(model=io.BytesIO(payload))
            compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": "f32",
                },
            )
            self._request: Any = compiled.create_infer_request()
            self._inputs = tuple(_spec(port, promised[0]) for port in compiled.inputs)
            found = tuple(_spec(port, promised[1]) for port in compiled.outputs)
        except Exception as error:  # every failure is a RuntimeError with a long text
            raise EngineFailed(
                f"{self._name}: OpenVINO cannot load it ({_first(error)})"
            ) from error
        check_file(self._name, self._inputs, found, promised)
        order = [spec.name for spec in promised[1]]
        self._ports = {spec.name: i for i, spec in enumerate(found)}
        self._outputs = tuple(sorted(found, key=lambda spec: order.index(spec.name)))
        self._running = threading.Lock()  # a request holds one inference's tensors

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs."""
        return self._outputs

    @property
    def built(self) -> None:
        """Nothing that outlives the process."""
        return None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Backend.run`."""
        check_feeds(self._inputs, feeds)
        with self._running:
            if self._request is None:
                raise EngineFailed(f"{self._name}: is closed")
            try:
                # Copied both ways: the request's own memory is written again by the next run.
                self._request.infer(dict(feeds), share_inputs=False, share_outputs=False)
                return {
                    spec.name: self._request.get_output_tensor(self._ports[spec.name]).data.copy()
                    for spec in self._outputs
                }
            except Exception as error:
                told = f"OpenVINO failed ({_first(error)})"
                raise EngineFailed(f"{self._name}: {told}") from error

    def close(self) -> None:
        """Lets go of the compiled model."""
        with self._running:
            self._request = None


def _spec(port: Any, promised: tuple[TensorSpec, ...]) -> TensorSpec:
    """A port may have several names, where the graph hands one tensor on under another."""
    shape = tuple(n.get_length() if n.is_static else None for n in port.partial_shape)
    wanted = {spec.name for spec in promised}.intersection(port.names)
    name = min(wanted) if wanted else port.any_name
    return TensorSpec(name, port.element_type.to_dtype().name, shape)


def _first(error: Exception) -> str:
    """The line of a long message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0][:300]


_: type[Backend] = OpenVino
