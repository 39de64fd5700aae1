"""A TensorRT made of onnxruntime, by version, and the fixture's means to put it in place.

The fake has the names that the real libraries have: TensorRT 10 wants to be told that a network is
strongly typed, TensorRT 11 has removed the precision flags and calibrators, and a name that a
version does not have raises AttributeError here too, as does setting one. What the fake does was
seen on TensorRT for RTX 1.7 where that could be tried; `test_ahead_of_time.py` holds its names
against that library's.
"""

from __future__ import annotations

import enum
import hashlib
import importlib.machinery
import itertools
import sys
import types
import weakref
from dataclasses import dataclass, field
from typing import Any

import onnx
import pytest

from tests.backends.tensorrt import fake_cuda
from tests.backends.tensorrt.fake_engine import DataType, Engine, TensorIOMode

VERSIONS = ("10.3.0", "10.13.2", "10.16.2", "11.4.1")
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
        self.made = True

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def __init__(self) -> None:
        self.made = True


class ErrorCode(enum.Enum):
    MODEL_DESERIALIZE_FAILED = 3
    UNSUPPORTED_NODE = 9


@dataclass
class Fault:
    """What goes wrong, and what was seen: a test's hold on the fake.

    Attributes:
        parser: errors of the parser: operator, name of the node, text.
        progress: steps of a build, and what was answered to each.
    """

    gpu: fake_cuda.Gpu = field(default_factory=fake_cuda.Gpu)
    parser: list[tuple[str, str, str]] = field(default_factory=list)
    builds_nothing: bool = False
    does_not_load: bool = False
    does_not_start: bool = False
    no_context: bool = False
    builds: int = 0
    timing_caches: list[bytes] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    builder_flags: list[set[str]] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    progress: list[bool] = field(default_factory=list)

    @property
    def cuda(self) -> dict[str, int]:
        """Function of CUDA's runtime → code that it gives."""
        return self.gpu.codes


class Parser:
    def __init__(self, network: Any, log: ILogger) -> None:
        self.network, self.log = network, log
        self.errors: list[tuple[ErrorCode, str, str, str, int]] = []

    def parse(self, payload: bytes) -> bool:
        if not payload.strip(b"\0"):
            return True  # an empty graph, as the real parser has it
        try:
            model = onnx.load_from_string(payload)
        except Exception:
            told = "Failed to parse the ONNX model."
            self.errors = [(ErrorCode.MODEL_DESERIALIZE_FAILED, "", "", told, -1)]
            return False
        self.network.take(payload, model.graph)
        self.errors = [
            (ErrorCode.UNSUPPORTED_NODE, kind, name, told, k)
            for k, (kind, name, told) in enumerate(self.network.trt.fault.parser)
        ]
        zeros = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.UINT8}
        if any(zeros & set(node.input[2:]) for node in model.graph.node):
            self.log.log(
                Severity.WARNING,
                "TensorRT supports QuantizeLinear/DequantizeLinear with UINT8 zero_point only on "
                "DLA (version >= 3.16). Defaulting to INT8 instead.",
            )
        return not self.errors

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, k: int) -> Any:
        code, kind, name, told, number = self.errors[k]
        error = types.SimpleNamespace(desc=lambda: told, node=lambda: number, code=lambda: code)
        if self.network.trt.version_info >= (10, 5):  # as if the names of nodes had come later
            error.node_operator, error.node_name = lambda: kind, lambda: name
        return error


class Network:
    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.payload = b""
        self.inputs: list[Any] = []
        self.num_outputs = self.num_layers = 0

    def take(self, payload: bytes, graph: Any) -> None:
        self.payload = payload
        self.num_outputs, self.num_layers = len(graph.output), len(graph.node)
        for value in graph.input:
            shape = tuple(
                d.dim_value if d.HasField("dim_value") else -1
                for d in value.type.tensor_type.shape.dim
            )
            self.inputs.append(types.SimpleNamespace(name=value.name, shape=shape))

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, k: int) -> Any:
        return self.inputs[k]


class Config:
    """Closed: setting what the real class does not have raises AttributeError."""

    __slots__ = ("cache", "flags_set", "profile", "progress_monitor", "trt")

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.cache: Any = None
        self.profile: dict[str, Any] = {}
        self.progress_monitor: Any = None
        self.flags_set = {"TF32"}

    def clear_flag(self, flag: Any) -> None:
        self.flags_set.discard(flag.name)

    def set_memory_pool_limit(self, pool: Any, limit: int) -> None:
        assert pool is self.trt.MemoryPoolType.WORKSPACE
        self.trt.fault.limits.append(limit)

    def add_optimization_profile(self, profile: Any) -> int:
        self.profile = profile.shapes
        return 0 if all(a <= b <= c for a, b, c in profile.shapes.values()) else -1

    def create_timing_cache(self, content: bytes) -> Any:
        self.trt.fault.timing_caches.append(content)
        return types.SimpleNamespace(content=content, serialize=lambda: b"measured")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content not in (b"", b"measured"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache


class Listened:
    """The library listens to the first logger while anything made with it lives."""

    def __init__(self, trt: Any, log: ILogger) -> None:
        assert log.made, "the logger's base was not initialised"
        if not trt.alive:
            trt.heard = log
        trt.alive.add(self)
        self.trt, self.log = trt, trt.heard


class Builder(Listened):
    def create_network(self, flags: int) -> Network:
        strong = 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        needed = strong if self.trt.version_info[0] == 10 else 0
        assert flags == needed, f"flags {flags}, this version needs {needed}"
        self.trt.fault.flags.append(flags)
        return Network(self.trt)

    def create_builder_config(self) -> Config:
        return Config(self.trt)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return types.SimpleNamespace(
            shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three})
        )

    def build_serialized_network(self, network: Network, config: Config) -> Any:
        fault = self.trt.fault
        fault.builds += 1
        fault.builder_flags.append(config.flags_set)
        fault.profiles.append(config.profile)
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Building Engine", None, 2)
            fault.progress.append(config.progress_monitor.step_complete("Building Engine", 0))
            if not fault.progress[-1]:
                self.log.log(Severity.ERROR, "Build canceled by user")
                return None
            config.progress_monitor.phase_finish("Building Engine")
        if fault.builds_nothing:
            self.log.log(Severity.ERROR, "Could not find any\nimplementation for node Conv_3")
            return None
        most = max((three[2][0] for three in config.profile.values()), default=1)
        # No two builds are the same to the bit (NVIDIA/TensorRT#4798).
        head = next(_SERIAL).to_bytes(4, "little") + bytes([most]) + self.trt.mark()
        return head + network.payload


class Runtime(Listened):
    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if self.trt.fault.does_not_load or plan[5:8] != self.trt.mark():
            self.log.log(Severity.ERROR, "Serialization assertion failed: version mismatch")
            return None
        return Engine(plan, self.trt.fault)


def tensorrt(version: str, fault: Fault) -> types.ModuleType:
    """The module `tensorrt` of a version."""
    module: Any = types.ModuleType("tensorrt")
    module.__version__ = version
    module.version_info = tuple(int(n) for n in version.split(".")[:2])
    module.fault = fault
    module.alive = weakref.WeakSet()
    module.heard = None
    module.mark = lambda: hashlib.sha256(
        f"{version} {fault.gpu.name} {fault.gpu.driver}".encode()
    ).digest()[:3]
    module.ILogger, module.DataType, module.TensorIOMode = ILogger, DataType, TensorIOMode
    module.ErrorCode, module.IProgressMonitor = ErrorCode, IProgressMonitor
    module.OnnxParser = Parser
    module.Builder = lambda log: Builder(module, log)
    module.Runtime = lambda log: Runtime(module, log)
    module.MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")
    ten = module.version_info[0] == 10
    network = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if ten else {"STRONGLY_TYPED": 1}
    module.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", network)
    builder = {"TF32": 7, "REFIT": 4} | ({"FP16": 0, "INT8": 1} if ten else {})
    module.BuilderFlag = enum.IntEnum("BuilderFlag", builder)
    return module


def install(
    monkeypatch: pytest.MonkeyPatch, version: str = "10.3.0", **gpu: Any
) -> tuple[Fault, fake_cuda.Gpu]:
    """Puts a version of the fake where the library and cuda-python would be."""
    fault = Fault(fake_cuda.Gpu(**gpu))
    here = {
        "tensorrt": tensorrt(version, fault),
        "cuda": types.ModuleType("cuda"),
        "cuda.bindings": types.ModuleType("cuda.bindings"),
        "cuda.bindings.runtime": fake_cuda.runtime(fault.gpu),
    }
    for name, module in here.items():
        # What `find_spec` gives for a module that is imported already.
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    return fault, fault.gpu


def spoil(fault: Fault, how: dict[str, Any]) -> None:
    """Makes something go wrong: `cuda` gives codes to functions, the rest are fields."""
    for name, value in how.items():
        if name == "cuda":
            fault.cuda.update(value)
        else:
            setattr(fault, name, value)
