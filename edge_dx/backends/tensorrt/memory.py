"""Device memory, pinned host buffers and a stream, through CUDA's runtime.

On a GPU of its own, data pass through pinned host memory into device memory. A Jetson's GPU shares
its memory with the processor: there one mapped buffer serves both and nothing is copied.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_dx.errors import EngineFailed
from edge_dx.tensors import Array


class Cuda:
    """CUDA's runtime with every return code checked.

    Args:
        runtime: the module `cuda.bindings.runtime`.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        found = self.call("cudaGetDeviceProperties", 0)
        name = found.name
        self.gpu = (name.decode() if isinstance(name, bytes) else str(name)).rstrip("\0")
        self.capability = f"{found.major}.{found.minor}"
        self.shares_memory = bool(found.integrated)
        self.stream = self.call("cudaStreamCreate")

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
        if buffer.device != buffer.host and not self.shares_memory:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
            self.call("cudaMemcpyAsync", buffer.device, buffer.host, nbytes, kind, self.stream)

    def to_host(self, buffer: Buffer, nbytes: int) -> None:
        """Copies a buffer's first bytes back."""
        if buffer.device != buffer.host and not self.shares_memory:
            kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self.call("cudaMemcpyAsync", buffer.host, buffer.device, nbytes, kind, self.stream)

    def wait(self) -> None:
        """Until the stream has done all that it was given."""
        self.call("cudaStreamSynchronize", self.stream)

    def buffer(self, nbytes: int) -> Buffer:
        """Host and device memory for one tensor."""
        if self.shares_memory:
            mapped = self._runtime.cudaHostAllocMapped
            host = int(self.call("cudaHostAlloc", nbytes, mapped))
            return Buffer(host, int(self.call("cudaHostGetDevicePointer", host, 0)), nbytes)
        host = int(self.call("cudaMallocHost", nbytes))
        try:
            return Buffer(host, int(self.call("cudaMalloc", nbytes)), nbytes)
        except EngineFailed:
            self.call("cudaFreeHost", host)
            raise

    def free(self, buffer: Buffer) -> None:
        """Gives a buffer back."""
        if not self.shares_memory:
            self.call("cudaFree", buffer.device)
        self.call("cudaFreeHost", buffer.host)

    def close(self) -> None:
        """Gives the stream back."""
        self.call("cudaStreamDestroy", self.stream)


@dataclass(frozen=True)
class Buffer:
    """Memory of one tensor, by address."""

    host: int
    device: int
    nbytes: int

    def view(self, shape: tuple[int, ...], dtype: str) -> Array:
        """The host memory's beginning as an array; it lives only as long as the buffer."""
        kind = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        raw = memoryview((ctypes.c_byte * nbytes).from_address(self.host)).cast("B")
        array: Array = np.frombuffer(raw, kind).reshape(shape)
        return array
