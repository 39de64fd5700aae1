"""CUDA's runtime over ordinary memory, as strict as the real one and then some.

Nothing that is queued in a stream happens before the stream is waited for, device addresses mean
nothing to the processor, and every address has to lie in memory that is held.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_FIRST_DEVICE_ADDRESS = 0x7F00_0000_0000_0000
_STREAMS = itertools.count(77)


class cudaError(enum.IntEnum):  # noqa: N801 (CUDA's own spelling)
    cudaSuccess = 0  # noqa: N815
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815
    cudaErrorIllegalAddress = 700  # noqa: N815


@dataclass
class Gpu:
    """The GPU: its memory, its queue, and what goes wrong on it.

    Attributes:
        codes: function → code that it gives in place of success.
        held: address → memory, of the host and of the device.
        queue: what the stream still has to do.
        copies: kinds of the copies done.
        streams: those that live.
    """

    name: str = "Orin (fake)"
    integrated: int = 0
    driver: str = "550"
    devices: int = 1
    codes: dict[str, int] = field(default_factory=dict)
    held: dict[int, Any] = field(default_factory=dict)
    mapped: dict[int, int] = field(default_factory=dict)
    queue: list[Callable[[], None]] = field(default_factory=list)
    copies: list[Any] = field(default_factory=list)
    streams: set[int] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)
    next_address: int = _FIRST_DEVICE_ADDRESS

    def memory(self, address: int, nbytes: int, *, device: bool) -> int:
        """The real address behind one, if all the bytes are held on that side."""
        assert type(address) is int, f"an address is an int, not {type(address)}"
        assert (address >= _FIRST_DEVICE_ADDRESS) == device, "an address of the other side"
        start = self.mapped.get(address, address)
        memory = self.held.get(start)
        assert memory is not None, f"{address:#x} is not held"
        assert nbytes <= ctypes.sizeof(memory), "past the end"
        return ctypes.addressof(memory)

    def allocate(self, nbytes: int, *, device: bool) -> int:
        memory = (ctypes.c_byte * max(nbytes, 1))()
        address = self.new_address() if device else ctypes.addressof(memory)
        self.held[address] = memory
        return address

    def new_address(self) -> int:
        self.next_address += 1 << 20
        return self.next_address

    def work(self) -> None:
        """Does all that was queued."""
        while self.queue:
            self.queue.pop(0)()


def runtime(gpu: Gpu) -> types.ModuleType:
    """The module `cuda.bindings.runtime`."""
    module: Any = types.ModuleType("cuda.bindings.runtime")
    module.cudaError_t = cudaError
    kinds = {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2}
    module.cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", kinds)
    module.cudaHostAllocMapped = 2

    def function(what: Callable[..., Any]) -> None:
        """Adds a function that gives its code first, and nothing else where it fails."""

        def call(*arguments: Any) -> tuple[Any, ...]:
            code = cudaError(gpu.codes.get(what.__name__, 0))
            if code:
                return (code, None) if what.__name__ in giving else (code,)
            found = what(*arguments)
            return (code, found) if what.__name__ in giving else (code,)

        setattr(module, what.__name__, call)

    giving = {"cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaStreamCreate", "cudaMalloc",
              "cudaMallocHost", "cudaHostAlloc", "cudaHostGetDevicePointer"}  # fmt: skip

    def cudaGetDeviceCount() -> int:  # noqa: N802
        return gpu.devices

    def cudaGetDeviceProperties(device: int) -> Any:  # noqa: N802
        assert device == 0
        padded = gpu.name.encode() + b"\0" * 8
        return types.SimpleNamespace(name=padded, major=8, minor=7, integrated=gpu.integrated)

    def cudaStreamCreate() -> int:  # noqa: N802
        stream = next(_STREAMS)
        gpu.streams.add(stream)
        return stream

    def cudaStreamDestroy(stream: int) -> None:  # noqa: N802
        gpu.work()
        gpu.streams.remove(stream)

    def cudaStreamSynchronize(stream: int) -> None:  # noqa: N802
        assert stream in gpu.streams
        gpu.work()

    def cudaMalloc(nbytes: int) -> int:  # noqa: N802
        gpu.asked.append(("cudaMalloc", nbytes))
        return gpu.allocate(nbytes, device=True)

    def cudaMallocHost(nbytes: int) -> int:  # noqa: N802
        gpu.asked.append(("cudaMallocHost", nbytes))
        return gpu.allocate(nbytes, device=False)

    def cudaHostAlloc(nbytes: int, flags: int) -> int:  # noqa: N802
        assert flags == module.cudaHostAllocMapped
        gpu.asked.append(("cudaHostAlloc", nbytes))
        return gpu.allocate(nbytes, device=False)

    def cudaHostGetDevicePointer(address: int, flags: int) -> int:  # noqa: N802
        assert address in gpu.held
        assert flags == 0
        gpu.mapped[there := gpu.new_address()] = address
        return there

    def cudaFree(address: int) -> None:  # noqa: N802
        gpu.work()  # it waits for the device
        assert address >= _FIRST_DEVICE_ADDRESS
        del gpu.held[address]  # a second free is a KeyError

    def cudaFreeHost(address: int) -> None:  # noqa: N802
        gpu.work()
        assert address < _FIRST_DEVICE_ADDRESS
        del gpu.held[address]

    def cudaMemcpyAsync(  # noqa: N802
        target: int, source: int, nbytes: int, kind: Any, stream: int
    ) -> None:
        assert stream in gpu.streams
        to_device = kind is module.cudaMemcpyKind.cudaMemcpyHostToDevice

        def copy() -> None:
            there = gpu.memory(target, nbytes, device=to_device)
            ctypes.memmove(there, gpu.memory(source, nbytes, device=not to_device), nbytes)
            gpu.copies.append(kind)

        gpu.queue.append(copy)

    for one in (cudaGetDeviceCount, cudaGetDeviceProperties, cudaStreamCreate, cudaStreamDestroy,
                cudaStreamSynchronize, cudaMalloc, cudaMallocHost, cudaHostAlloc,
                cudaHostGetDevicePointer, cudaFree, cudaFreeHost, cudaMemcpyAsync):  # fmt: skip
        function(one)
    return module
