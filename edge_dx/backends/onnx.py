"""ONNX files through onnxruntime, one class per execution provider.

onnxruntime falls back silently: a provider that cannot be loaded is replaced by the CPU with a
warning, and nodes that a provider does not take run on the CPU with none. Here the provider is
asked for alone, `session.disable_cpu_ep_fallback` refuses a mixed graph, and the providers of the
finished session are compared with the one asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from edge_dx.backends.protocol import Backend
from edge_dx.backends.quiet import engine_module
from edge_dx.backends.specs import check_file, file_specs
from edge_dx.errors import EngineFailed, EngineRefused
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds

# onnxruntime's own exceptions share no base but Exception; a test fails when one is not listed.
VENDOR_ERRORS: dict[str, str] = {
    "Fail": "onnxruntime failed",
    "InvalidArgument": "onnxruntime refused an argument",
    "NoSuchFile": "a file that the graph refers to is missing",
    "NoModel": "no model was loaded",
    "EngineError": "an execution provider failed",
    "RuntimeException": "onnxruntime failed while running",
    "InvalidProtobuf": "the file is not an ONNX model",
    "ModelLoaded": "the model was already loaded",
    "NotImplemented": "this onnxruntime lacks an operator of the graph; update it",
    "InvalidGraph": "the graph is not valid for this onnxruntime; update it or export again",
    "EPFail": "an execution provider failed",
    "ModelLoadCanceled": "loading was cancelled",
    "ModelRequiresCompilation": "the model must be compiled for this provider first",
    "DeviceReset": "the device was reset",
    "NotFound": "onnxruntime did not find something that the graph needs",
}

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8",
           "tensor(int64)": "int64", "tensor(float16)": "float16"}  # fmt: skip


class _Onnx:
    """An onnxruntime session on exactly one provider."""

    provider: ClassVar[str]
    engine: ClassVar[str]

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        ort: Any = engine_module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions; the log would repeat them
        if self.provider != "CPUExecutionProvider":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        self._name = f"variant {variant.name} on engine {self.engine}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # the fallback announces itself as a warning
                session = ort.InferenceSession(payload, options, providers=[self.provider])
        except Exception as error:
            raise self._translated(error) from error
        if session.get_providers()[0] != self.provider:
            raise EngineRefused(
                f"{self._name}: onnxruntime chose {session.get_providers()} in place of "
                f"{self.provider}"
            )
        self._session: Any = session
        self._inputs = tuple(_spec(value) for value in session.get_inputs())
        found = tuple(_spec(value) for value in session.get_outputs())
        promised = file_specs(manifest, variant)
        check_file(self._name, self._inputs, found, promised)
        self._names = [spec.name for spec in promised[1]]
        self._outputs = tuple(sorted(found, key=lambda spec: self._names.index(spec.name)))

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
        """Nothing: the session reads the file as it is."""
        return None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Backend.run`."""
        check_feeds(self._inputs, feeds)
        session = self._session  # another thread may close in between
        if session is None:
            raise EngineFailed(f"{self._name}: is closed")
        try:
            arrays = session.run(self._names, dict(feeds))
        except Exception as error:
            raise self._translated(error) from error
        return dict(zip(self._names, arrays, strict=True))

    def close(self) -> None:
        """Lets go of the session."""
        self._session = None

    def _translated(self, error: Exception) -> EngineFailed:
        what = VENDOR_ERRORS.get(type(error).__name__, "onnxruntime raised")
        return EngineFailed(f"{self._name}: {what} ({error})")


class OnnxCpu(_Onnx):
    """onnxruntime on the CPU."""

    provider = "CPUExecutionProvider"
    engine = "onnx"


class OnnxCuda(_Onnx):
    """onnxruntime on an NVIDIA GPU, the whole graph or not at all."""

    provider = "CUDAExecutionProvider"
    engine = "onnx-cuda"


def _spec(value: Any) -> TensorSpec:
    shape = tuple(n if isinstance(n, int) else None for n in value.shape)
    return TensorSpec(value.name, _DTYPES.get(value.type, value.type), shape)


_: type[Backend] = OnnxCpu  # the class keeps the protocol, said where mypy reads it
