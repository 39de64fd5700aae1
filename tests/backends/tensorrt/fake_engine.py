"""An engine and its context over onnxruntime: they read and write the fake GPU's memory."""

from __future__ import annotations

import ctypes
import enum
from typing import Any

import numpy as np
import onnxruntime as ort

_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16,
          "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}  # fmt: skip


class DataType(enum.Enum):
    FLOAT = "tensor(float)"
    HALF = "tensor(float16)"
    UINT8 = "tensor(uint8)"
    INT8 = "tensor(int8)"


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class Engine:
    def __init__(self, plan: bytes, fault: Any) -> None:
        self.fault, self.most = fault, plan[4]
        self.session = ort.InferenceSession(plan[8:], providers=["CPUExecutionProvider"])
        self.tensors = {v.name: (v, TensorIOMode.OUTPUT) for v in self.session.get_outputs()[::-1]}
        self.tensors |= {v.name: (v, TensorIOMode.INPUT) for v in self.session.get_inputs()}

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
        return None if self.fault.no_context else Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert name in self.engine.tensors
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if not 1 <= shape[0] <= self.engine.most:
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        batch = next((shape[0] for shape in self.shapes.values()), -1)
        shape = self.engine.get_tensor_shape(name)
        return self.shapes.get(name, tuple(batch if n < 0 else n for n in shape))

    def execute_async_v3(self, stream: int) -> bool:
        gpu = self.engine.fault.gpu
        assert stream in gpu.streams
        if self.engine.fault.does_not_start:
            return False
        shapes = dict(self.shapes)

        def run() -> None:
            session, feeds = self.engine.session, {}
            for value in session.get_inputs():
                dtype = np.dtype(_NUMPY[value.type])
                shape = shapes.get(value.name, tuple(value.shape))
                nbytes = int(np.prod(shape)) * dtype.itemsize
                where = gpu.memory(self.addresses[value.name], nbytes, device=True)
                raw = ctypes.string_at(where, nbytes)
                feeds[value.name] = np.frombuffer(raw, dtype).reshape(shape)
            for value, array in zip(session.get_outputs(), session.run(None, feeds), strict=True):
                array = np.ascontiguousarray(array)
                where = gpu.memory(self.addresses[value.name], array.nbytes, device=True)
                ctypes.memmove(where, array.ctypes.data, array.nbytes)

        gpu.queue.append(run)
        return True
