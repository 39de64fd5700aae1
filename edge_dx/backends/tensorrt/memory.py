"""Device memory, pinned host buffers and a stream, through CUDA's runtime.

On a GPU of its own, data pass through pinned host memory into device memory. A Jetson's GPU shares
its memory with the processor: there one mapped buffer serves both and nothing is copied.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_dx.errors import EngineFailed
from edge_dx.tensors import Array


@dataclass(frozen=True)
class Buffer:
    """Memory of one tensor, by address; both addresses may mean the same bytes."""

    host: int
    device: int
    nbytes: int

    def view(self, shape: tuple[int, ...], dtype: str) -> Array:
        """The host memory's beginning as an array; it lives only as long as the buffer.

        Raises:
            EngineFailed: the buffer is smaller than that.
        """
        kind = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if nbytes > self.nbytes:
            raise EngineFailed(f"a tensor of {nbytes} bytes does not fit {self.nbytes}")
        raw = memoryview((ctypes.c_byte * nbytes).from_address(self.host)).cast("B")
        array: Array = np.frombuffer(raw, kind).reshape(shape)
        return array


class Cuda:
    """CUDA's runtime on the first GPU, with every return code checked.

    Args:
        runtime: the module `cuda.bindings.runtime`.
        zero_copy: whether the GPU works in the processor's own memory; where None, as it is
            sensible: on a GPU that has no memory of its own.

    Attributes:
        gpu: its name.
        capability: its compute capability, for example `8.7`.
        zero_copy: whether buffers are mapped and never copied.
        stream: what all copies and inferences are queued in, as an address.

    Raises:
        EngineFailed: the GPU does not answer.
    """

    def __init__(self, runtime: Any, zero_copy: bool | None = None) -> None:
        self._runtime = runtime
        found = self.call("cudaGetDeviceProperties", 0)
        name = found.name
        self.gpu = (name.decode() if isinstance(name, bytes) else str(name)).rstrip("\0")
        self.capability = f"{found.major}.{found.minor}"
        self.zero_copy = bool(found.integrated) if zero_copy is None else zero_copy
        self.stream = int(self.call("cudaStreamCreate"))

    def call(self, function: str, *arguments: Any) -> Any:
        """Calls a function of the runtime; gives what it gives beside its code.

        Raises:
            EngineFailed: the code is not success.
        """
        code, *found = getattr(self._runtime, function)(*arguments)
        if int(code):
            told = getattr(code, "name", str(code))
            raise EngineFailed(f"CUDA: {function} failed ({told})")
        return found[0] if len(found) == 1 else tuple(found)

    def to_device(self, buffer: Buffer, nbytes: int) -> None:
        """Copies a buffer's first bytes to the GPU, in the stream's order."""
        if not self.zero_copy:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
            self.call("cudaMemcpyAsync", buffer.device, buffer.host, nbytes, kind, self.stream)

    def to_host(self, buffer: Buffer, nbytes: int) -> None:
        """Copies a buffer's first bytes back; they are there after `wait`."""
        if not self.zero_copy:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self.call("cudaMemcpyAsync", buffer.host, buffer.device, nbytes, kind, self.stream)

    def wait(self) -> None:
        """Until the stream has done all that it was given."""
        self.call("cudaStreamSynchronize", self.stream)

    def buffer(self, nbytes: int) -> Buffer:
        """Host and device memory for one tensor."""
        if self.zero_copy:
            mapped = self._runtime.cudaHostAllocMapped
            host = int(self.call("cudaHostAlloc", nbytes, mapped))
            with self._given_back_on_error(host):
                device = int(self.call("cudaHostGetDevicePointer", host, 0))
        else:
            host = int(self.call("cudaMallocHost", nbytes))
            with self._given_back_on_error(host):
                device = int(self.call("cudaMalloc", nbytes))
        return Buffer(host, device, nbytes)

    def free(self, buffer: Buffer) -> None:
        """Gives a buffer back."""
        try:
            if not self.zero_copy:
                self.call("cudaFree", buffer.device)
        finally:
            self.call("cudaFreeHost", buffer.host)

    def close(self) -> None:
        """Gives the stream back."""
        self.call("cudaStreamDestroy", self.stream)

    @contextlib.contextmanager
    def _given_back_on_error(self, host: int) -> Iterator[None]:
        try:
            yield
        except EngineFailed:
            with contextlib.suppress(EngineFailed):  # the first failure is the one to tell
                self.call("cudaFreeHost", host)
            raise
