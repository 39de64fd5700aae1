"""A TensorRT and a CUDA runtime made of onnxruntime and ordinary memory.

The fake has the names that the real libraries have, by version: TensorRT 10 wants to be told that
a network is strongly typed, TensorRT 11 has removed the precision flags and calibrators, and an
attribute that a version does not have raises AttributeError here too. "Device memory" is memory
of this process, so copies, shapes and addresses are really used.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import types
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

_SERIAL = itertools.count()


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = Severity
    Severity = Severity

    def __init__(self) -> None:
        self.heard = True

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self) -> None:
        self.made = True


class DataType(enum.Enum):
    FLOAT = "tensor(float)"
    HALF = "tensor(float16)"
    UINT8 = "tensor(uint8)"
    INT8 = "tensor(int8)"


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


@dataclass
class Fault:
    """What goes wrong, for tests of what then happens."""

    parser: list[tuple[str, str, str]] = field(default_factory=list)
    builds_nothing: bool = False
    does_not_load: bool = False
    does_not_start: bool = False
    cuda: dict[str, int] = field(default_factory=dict)
    builds: int = 0
    timing_caches: list[bytes] = field(default_factory=list)


class Parser:
    def __init__(self, network: Any, log: ILogger) -> None:
        self.network, self.log = network, log
        self.faults = network.fault.parser

    def parse(self, payload: bytes) -> bool:
        try:
            model = onnx.load_from_string(payload)
        except Exception as error:
            self.faults = [("", "", str(error))]
            return False
        if not model.graph.node:
            self.faults = [("", "", "no graph")]
            return False
        self.network.payload = payload
        self.network.inputs = [
            types.SimpleNamespace(
                name=v.name,
                shape=tuple(d.dim_value if d.HasField("dim_value") else -1
                            for d in v.type.tensor_type.shape.dim),
            )
            for v in model.graph.input
        ]  # fmt: skip
        return not self.faults

    @property
    def num_errors(self) -> int:
        return len(self.faults)

    def get_error(self, k: int) -> Any:
        kind, name, told = self.faults[k]
        error = types.SimpleNamespace(desc=lambda: told, node=lambda: k)
        if self.network.version >= (10, 5):  # the names of nodes came later
            error.node_operator, error.node_name = lambda: kind, lambda: name
        return error


class Network:
    def __init__(self, fault: Fault, version: tuple[int, ...]) -> None:
        self.fault, self.version = fault, version
        self.payload, self.inputs = b"", []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, k: int) -> Any:
        return self.inputs[k]


class Config:
    def __init__(self, fault: Fault) -> None:
        self.fault, self.profiles, self.limits = fault, [], {}
        self.progress_monitor: Any = None
        self.cache: Any = None

    def set_memory_pool_limit(self, pool: Any, limit: int) -> None:
        self.limits[pool] = limit

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return 0

    def create_timing_cache(self, content: bytes) -> Any:
        self.fault.timing_caches.append(content)
        return types.SimpleNamespace(content=content, serialize=lambda: b"measured")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content not in (b"", b"measured"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache


class Builder:
    def __init__(self, trt: Any, log: ILogger) -> None:
        assert log.heard, "the logger's base was not initialised"
        self.trt, self.log = trt, log

    def create_network(self, flags: int) -> Network:
        strong = 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        needed = strong if self.trt.version[0] == 10 else 0
        assert flags == needed, f"flags {flags}, this version needs {needed}"
        return Network(self.trt.fault, self.trt.version)

    def create_builder_config(self) -> Config:
        return Config(self.trt.fault)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return types.SimpleNamespace(
            shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three})
        )

    def build_serialized_network(self, network: Network, config: Config) -> Any:
        self.trt.fault.builds += 1
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Building Engine", None, 2)
            assert config.progress_monitor.step_complete("Building Engine", 0)
            config.progress_monitor.phase_finish("Building Engine")
        if self.trt.fault.builds_nothing:
            self.log.log(Severity.ERROR, "Could not find any implementation for node Conv_3")
            return None
        # No two builds are the same to the bit (NVIDIA/TensorRT#4798).
        return next(_SERIAL).to_bytes(8, "little") + network.payload


class Engine:
    def __init__(self, plan: bytes, fault: Fault) -> None:
        self.fault = fault
        self.session = ort.InferenceSession(plan[8:], providers=["CPUExecutionProvider"])
        self.tensors = {v.name: (v, TensorIOMode.INPUT) for v in self.session.get_inputs()}
        self.tensors |= {v.name: (v, TensorIOMode.OUTPUT) for v in self.session.get_outputs()}

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def get_tensor_name(self, k: int) -> str:
        return list(self.tensors)[k]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self.tensors[name][1]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType(self.tensors[name][0].type)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self.tensors[name][0].shape)

    def create_execution_context(self) -> Any:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = int(address)
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if not 1 <= shape[0] <= 8:
            return False
        self.shapes[name] = tuple(shape)
        return True

    def execute_async_v3(self, stream: Any) -> bool:
        if self.engine.fault.does_not_start:
            return False
        session = self.engine.session
        feeds = {}
        for value in session.get_inputs():
            dtype = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}[value.type]
            shape = self.shapes.get(value.name, tuple(value.shape))
            nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raw = (ctypes.c_byte * nbytes).from_address(self.addresses[value.name])
            feeds[value.name] = np.frombuffer(raw, dtype).reshape(shape).copy()
        for value, array in zip(session.get_outputs(), session.run(None, feeds), strict=True):
            ctypes.memmove(self.addresses[value.name], array.ctypes.data, array.nbytes)
        return True


def tensorrt(version: str, fault: Fault) -> types.ModuleType:
    """The module `tensorrt` of a version."""
    module: Any = types.ModuleType("tensorrt")
    module.__version__ = version
    module.version = tuple(int(n) for n in version.split(".")[:2])
    module.fault = fault
    module.ILogger, module.DataType, module.TensorIOMode = ILogger, DataType, TensorIOMode
    module.IProgressMonitor = IProgressMonitor
    module.OnnxParser = Parser
    module.Builder = lambda log: Builder(module, log)
    module.MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")
    flags = {"STRONGLY_TYPED": 1} if module.version[0] >= 11 else {
        "EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}  # fmt: skip
    module.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", flags)
    if module.version[0] == 10:
        module.BuilderFlag = enum.IntEnum("BuilderFlag", {"FP16": 0, "INT8": 1})

    class Runtime:
        def __init__(self, log: ILogger) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if fault.does_not_load:
                self.log.log(Severity.ERROR, "Serialization assertion failed: version mismatch")
                return None
            return Engine(plan, fault)

    module.Runtime = Runtime
    return module


class cudaError(enum.IntEnum):  # noqa: N801 (CUDA's own spelling)
    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815


def cuda(fault: Fault, gpu: str = "Orin (fake)", integrated: int = 0) -> types.ModuleType:
    """The module `cuda.bindings.runtime`, over ordinary memory. `live` counts what is held."""
    module: Any = types.ModuleType("cuda.bindings.runtime")
    held: dict[int, Any] = {}
    module.held = held
    module.copies = []

    def code(name: str) -> cudaError:
        return cudaError(fault.cuda.get(name, 0))

    def allocate(name: str) -> Any:
        def call(nbytes: int, *flags: int) -> tuple[Any, ...]:
            if code(name):
                return code(name), None
            memory = (ctypes.c_byte * max(nbytes, 1))()
            held[ctypes.addressof(memory)] = memory
            return code(name), ctypes.addressof(memory)

        return call

    def free(name: str) -> Any:
        def call(address: int) -> tuple[Any, ...]:
            del held[int(address)]  # a second free is a KeyError
            return (code(name),)

        return call

    def copy(target: int, source: int, nbytes: int, kind: Any, stream: Any) -> tuple[Any, ...]:
        if not code("cudaMemcpyAsync"):
            ctypes.memmove(int(target), int(source), nbytes)
            module.copies.append(kind)
        return (code("cudaMemcpyAsync"),)

    properties = types.SimpleNamespace(
        name=gpu.encode() + b"\0\0", major=8, minor=7, integrated=integrated
    )
    module.cudaMemcpyKind = enum.IntEnum(
        "cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2}
    )
    module.cudaHostAllocMapped = 2
    module.cudaGetDeviceCount = lambda: (code("cudaGetDeviceCount"), 1)
    module.cudaGetDeviceProperties = lambda k: (code("cudaGetDeviceProperties"), properties)
    module.cudaStreamCreate = lambda: (code("cudaStreamCreate"), 77)
    module.cudaStreamDestroy = lambda stream: (code("cudaStreamDestroy"),)
    module.cudaStreamSynchronize = lambda stream: (code("cudaStreamSynchronize"),)
    module.cudaMalloc = allocate("cudaMalloc")
    module.cudaMallocHost = allocate("cudaMallocHost")
    module.cudaHostAlloc = allocate("cudaHostAlloc")
    module.cudaHostGetDevicePointer = lambda address, flags: (cudaError(0), address)
    module.cudaFree = free("cudaFree")
    module.cudaFreeHost = free("cudaFreeHost")
    module.cudaMemcpyAsync = copy
    return module
