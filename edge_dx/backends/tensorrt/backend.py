"""The engine `tensorrt`: native interface, no torch, no provider that falls back node by node."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_dx.backends.protocol import Backend
from edge_dx.backends.specs import check_file, file_specs
from edge_dx.backends.tensorrt import cache, vendor
from edge_dx.backends.tensorrt.engine_from_onnx import Built, Options, engine_from_onnx
from edge_dx.backends.tensorrt.memory import Buffer, Cuda
from edge_dx.backends.tensorrt.watching import log_of
from edge_dx.errors import EdgeDxError, EngineError, EngineFailed, EngineRefused, TensorMismatch
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds

MAX_BATCH = 8
"""Largest batch of the engine; larger ones are cut in pieces."""

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "UINT8": "uint8",
           "INT32": "int32", "INT64": "int64", "BOOL": "bool"}  # fmt: skip


def say_on_stderr(line: str) -> None:
    """Building takes a while and must not look like a hang."""
    with contextlib.suppress(OSError, ValueError):  # nobody reads it, which stops no build
        print(f"edge-dx: {line}", file=sys.stderr, flush=True)


class TensorRt:
    """An engine compiled for this GPU, from the bundle's file or from what was kept of it."""

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        del threads  # the GPU has its own
        self._name = f"variant {variant.name} on engine tensorrt"
        self._running = threading.Lock()  # one context, one set of buffers
        self._buffers: dict[str, Buffer] = {}
        self._cuda: Cuda | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._built = ""
        self._inputs: tuple[TensorSpec, ...] = ()
        self._outputs: tuple[TensorSpec, ...] = ()
        self._free, self._most = True, MAX_BATCH
        wrong = vendor.problem()
        if wrong is not None:
            raise EngineRefused(f"{self._name}: {wrong}")
        try:
            self._open(vendor.library(), Cuda(vendor.runtime()), payload)
            self._take_tensors(file_specs(manifest, variant))
        except EngineError as error:
            self.close()
            raise type(error)(f"{self._name}: {error}") from error
        except EdgeDxError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise EngineFailed(f"{self._name}: TensorRT raised ({error})") from error
        except BaseException:  # Ctrl-C during a build
            self.close()
            raise

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
        sizes = {len(array) for array in feeds.values()}
        if len(sizes) != 1:
            raise TensorMismatch(
                f"{self._name}: the inputs hold {' and '.join(map(str, sorted(sizes)))} studies"
            )
        n = sizes.pop()
        if n == 0:
            raise EngineFailed(f"{self._name}: no study was given")
        with self._running:
            if self._cuda is None:
                raise EngineFailed(f"{self._name}: is closed")
            try:
                parts = [
                    self._piece(self._cuda, {k: v[i : i + self._most] for k, v in feeds.items()})
                    for i in range(0, n, self._most)
                ]
            except Exception as error:
                with contextlib.suppress(EngineFailed):  # what was queued still uses the buffers
                    self._cuda.wait()
                told = str(error) if isinstance(error, EngineFailed) else f"it raised ({error})"
                raise EngineFailed(f"{self._name}: {told}") from error
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Lets go of the engine and its memory. A GPU that fails to take it back is told of."""
        with self._running:
            cuda, self._cuda = self._cuda, None
            if cuda is None:
                return
            # In this order: a context must not outlive its engine, nor that its runtime.
            self._context = None
            self._engine = None
            self._runtime = None
            taken: list[Callable[[], None]] = [
                functools.partial(cuda.free, buffer) for buffer in self._buffers.values()
            ]
            self._buffers = {}
            for give_back in (*taken, cuda.close):
                try:
                    give_back()
                except EngineFailed as error:  # after a failed run every call repeats that failure
                    say_on_stderr(f"{self._name}: {error}")

    def _open(self, trt: Any, cuda: Cuda, payload: bytes) -> None:
        self._cuda, self._trt, self._log = cuda, trt, log_of(trt)
        options = Options(max_batch=MAX_BATCH)
        facts = facts_of(trt, cuda, payload, options)

        def build(timing: bytes | None) -> Built:
            say_on_stderr("compiling the model for this GPU; this is done once and takes minutes")
            return engine_from_onnx(payload, options, say=say_on_stderr, timing_cache=timing)

        self._runtime = trt.Runtime(self._log)
        found = cache.engine(facts, build, say_on_stderr)
        self._log.forget()
        self._engine = self._runtime.deserialize_cuda_engine(found.plan)
        if self._engine is None and found.was_kept:  # of another driver, say: no fact tells that
            say_on_stderr(f"the engine that was kept does not load ({self._log.told()})")
            found = cache.engine(facts, build, say_on_stderr, distrusted=found.digest)
            self._engine = self._runtime.deserialize_cuda_engine(found.plan)
        if self._engine is None:
            raise EngineFailed(f"the engine does not load: {self._log.told()}")
        self._built = found.digest
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineFailed(f"no execution context: {self._log.told()}")

    def _take_tensors(self, promised: Any) -> None:
        """Checks the engine's tensors and gives each its memory."""
        engine, cuda = self._engine, self._cuda
        assert cuda is not None
        specs = [_spec(engine, engine.get_tensor_name(k)) for k in range(engine.num_io_tensors)]
        is_input = self._trt.TensorIOMode.INPUT
        inputs = tuple(s for s in specs if engine.get_tensor_mode(s.name) == is_input)
        outputs = tuple(s for s in specs if engine.get_tensor_mode(s.name) != is_input)
        check_file(self._name, inputs, outputs, promised)
        batches = {spec.shape[0] for spec in specs}
        if len(batches) != 1:
            raise EngineRefused("some tensors have a fixed batch and some a free one")
        batch = batches.pop()
        self._free, self._most = batch is None, MAX_BATCH if batch is None else batch
        order = [[spec.name for spec in side] for side in promised]
        self._inputs = tuple(sorted(inputs, key=lambda spec: order[0].index(spec.name)))
        self._outputs = tuple(sorted(outputs, key=lambda spec: order[1].index(spec.name)))
        for spec in specs:
            sizes = [self._most, *(n or 1 for n in spec.shape[1:])]
            nbytes = int(np.prod(sizes, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
            buffer = self._buffers[spec.name] = cuda.buffer(nbytes)
            if not self._context.set_tensor_address(spec.name, buffer.device):
                raise EngineFailed(f"{spec.name} gets no memory: {self._log.told()}")

    def _piece(self, cuda: Cuda, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._log.forget()
        for name, array in feeds.items():
            buffer = self._buffers[name]
            np.copyto(buffer.view(array.shape, array.dtype.name), array)
            if self._free and not self._context.set_input_shape(name, array.shape):
                raise EngineFailed(f"shape {array.shape} of {name} is refused: {self._log.told()}")
            cuda.to_device(buffer, array.nbytes)
        n = len(next(iter(feeds.values())))
        views = {}
        for spec in self._outputs:
            shape = tuple(int(d) for d in self._context.get_tensor_shape(spec.name))
            if shape != (n, *spec.shape[1:]):
                raise EngineFailed(f"{spec.name} would have the shape {shape} for {n} studies")
            views[spec.name] = self._buffers[spec.name].view(shape, spec.dtype)
        if not self._context.execute_async_v3(cuda.stream):
            raise EngineFailed(f"the inference was not started: {self._log.told()}")
        for name, view in views.items():
            cuda.to_host(self._buffers[name], view.nbytes)
        cuda.wait()
        return {name: view.copy() for name, view in views.items()}


def facts_of(trt: Any, cuda: Cuda, payload: bytes, options: Options) -> dict[str, str]:
    """Everything that an engine of this file on this device depends on."""
    return {
        "gpu": cuda.gpu,
        "compute_capability": cuda.capability,
        "library": vendor.version(trt),
        "flags": str(options),
        "file_sha256": hashlib.sha256(payload).hexdigest(),
    }


def _spec(engine: Any, name: str) -> TensorSpec:
    kind = engine.get_tensor_dtype(name)
    shape = tuple(int(n) if n >= 0 else None for n in engine.get_tensor_shape(name))
    return TensorSpec(name, _DTYPES.get(kind.name, kind.name), shape)


_: type[Backend] = TensorRt
