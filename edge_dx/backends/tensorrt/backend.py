"""The engine `tensorrt`: native interface, no torch, no provider that falls back node by node."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_dx.backends.protocol import Backend
from edge_dx.backends.specs import check_file, file_specs
from edge_dx.backends.tensorrt import cache, vendor
from edge_dx.backends.tensorrt.engine_from_onnx import WORKSPACE_BYTES, Built, engine_from_onnx
from edge_dx.backends.tensorrt.memory import Buffer, Cuda
from edge_dx.errors import EdgeDxError, EngineError, EngineFailed, EngineRefused
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds

MAX_BATCH = 8
"""Largest batch of the engine; larger ones are cut in pieces."""

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "UINT8": "uint8",
           "INT32": "int32", "INT64": "int64", "BOOL": "bool"}  # fmt: skip


def say_on_stderr(line: str) -> None:
    """Building takes a while and must not look like a hang."""
    print(f"edge-dx: {line}", file=sys.stderr, flush=True)


class TensorRt:
    """An engine compiled for this GPU, from the bundle's file or from what was kept of it."""

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        del threads  # the GPU has its own
        self._name = f"variant {variant.name} on engine tensorrt"
        self._running = threading.Lock()  # one context, one set of buffers
        self._buffers: dict[str, Buffer] = {}
        wrong = vendor.problem()
        if wrong is not None:
            raise EngineRefused(f"{self._name}: {wrong}")
        trt = vendor.library()
        self._cuda: Cuda | None = Cuda(vendor.runtime())
        self.facts = facts_of(trt, self._cuda, payload)
        try:
            found = cache.engine(self.facts, lambda kept: _build(payload, kept), say_on_stderr)
            self._built = found.digest
            self._log = vendor.logger(trt)
            runtime = trt.Runtime(self._log)
            engine = runtime.deserialize_cuda_engine(found.plan)
            if engine is None:
                raise EngineFailed(f"the engine does not load: {self._log.told()}")
            self._runtime, self._engine = runtime, engine
            self._context: Any = engine.create_execution_context()
            if self._context is None:
                raise EngineFailed(f"no execution context: {self._log.told()}")
            specs = [_spec(engine, engine.get_tensor_name(k)) for k in range(engine.num_io_tensors)]
            is_input = trt.TensorIOMode.INPUT
            inputs = tuple(s for s in specs if engine.get_tensor_mode(s.name) == is_input)
            outputs = tuple(s for s in specs if engine.get_tensor_mode(s.name) != is_input)
            promised = file_specs(manifest, variant)
            check_file(self._name, inputs, outputs, promised)
            order = [spec.name for spec in promised[1]]
            self._inputs = inputs
            self._outputs = tuple(sorted(outputs, key=lambda spec: order.index(spec.name)))
            self._free = inputs[0].shape[0] is None
            for spec in specs:
                self._buffers[spec.name] = self._cuda.buffer(_nbytes(spec))
                address = self._buffers[spec.name].device
                self._context.set_tensor_address(spec.name, address)
        except EngineError as error:
            self.close()
            raise type(error)(f"{self._name}: {error}") from error
        except EdgeDxError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise EngineFailed(f"{self._name}: TensorRT raised ({error})") from error

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The engine's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The engine's outputs."""
        return self._outputs

    @property
    def built(self) -> str:
        """SHA-256 of the engine that was compiled for this device."""
        return self._built

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the engine; see `Backend.run`. Batches over `MAX_BATCH` are cut in pieces."""
        check_feeds(self._inputs, feeds)
        n = len(feeds[self._inputs[0].name])
        if n == 0:
            raise EngineFailed(f"{self._name}: no study was given")
        with self._running:
            if self._cuda is None:
                raise EngineFailed(f"{self._name}: is closed")
            try:
                parts = [
                    self._piece(self._cuda, {k: v[i : i + MAX_BATCH] for k, v in feeds.items()})
                    for i in range(0, n, MAX_BATCH)
                ]
            except EngineFailed as error:
                raise EngineFailed(f"{self._name}: {error}") from error
            except Exception as error:
                raise EngineFailed(f"{self._name}: TensorRT raised ({error})") from error
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Lets go of the engine and its memory."""
        with self._running:
            cuda, self._cuda = self._cuda, None
            if cuda is None:
                return
            self._context = self._engine = self._runtime = None
            for buffer in self._buffers.values():
                cuda.free(buffer)
            self._buffers.clear()
            cuda.close()

    def _piece(self, cuda: Cuda, feeds: Mapping[str, Array]) -> dict[str, Array]:
        n = 0
        for name, array in feeds.items():
            n = len(array)
            buffer = self._buffers[name]
            np.copyto(buffer.view(array.shape, array.dtype.name), array)
            if self._free and not self._context.set_input_shape(name, array.shape):
                raise EngineFailed(f"shape {array.shape} of {name} is refused: {self._log.told()}")
            cuda.to_device(buffer, array.nbytes)
        if not self._context.execute_async_v3(cuda.stream):
            raise EngineFailed(f"the inference was not started: {self._log.told()}")
        sizes = {spec.name: (n, *(d or 1 for d in spec.shape[1:])) for spec in self._outputs}
        for spec in self._outputs:
            nbytes = int(np.prod(sizes[spec.name])) * np.dtype(spec.dtype).itemsize
            cuda.to_host(self._buffers[spec.name], nbytes)
        cuda.wait()
        return {
            spec.name: self._buffers[spec.name].view(sizes[spec.name], spec.dtype).copy()
            for spec in self._outputs
        }


def facts_of(trt: Any, cuda: Cuda, payload: bytes) -> dict[str, str]:
    """Everything that an engine of this file on this device depends on."""
    return {
        "gpu": cuda.gpu,
        "compute_capability": cuda.capability,
        "library": vendor.version(trt),
        "flags": f"strongly typed; workspace {WORKSPACE_BYTES}; batch 1 to {MAX_BATCH}",
        "file_sha256": hashlib.sha256(payload).hexdigest(),
    }


def _build(payload: bytes, timing_cache: bytes | None) -> Built:
    say_on_stderr("compiling the model for this GPU; this happens once and takes up to minutes")
    return engine_from_onnx(
        payload, max_batch=MAX_BATCH, say=say_on_stderr, timing_cache=timing_cache
    )


def _spec(engine: Any, name: str) -> TensorSpec:
    kind = engine.get_tensor_dtype(name)
    shape = tuple(int(n) if n >= 0 else None for n in engine.get_tensor_shape(name))
    return TensorSpec(name, _DTYPES.get(kind.name, kind.name), shape)


def _nbytes(spec: TensorSpec) -> int:
    sizes = [MAX_BATCH if n is None else n for n in spec.shape]
    return int(np.prod(sizes, dtype=np.int64)) * np.dtype(spec.dtype).itemsize


_: type[Backend] = TensorRt
