"""What a TFLite file must be before an interpreter sees it.

The interpreters trust their file. LiteRT checks the web of offsets and little of what it says: a
weight said to lie beyond the end of the file, an operator without its second input or a type that
a kernel does not expect ends the process. tflite_runtime checks nothing: of files cut short or
with some bytes changed, every third killed it. So everything that the older of the two readers
follows is followed here first, and the graph must make sense: indices exist, a tensor is made once
and before it is used, constants are as long as their shapes say. What remembers from one run to
the next is refused too, because engines are stateless.

No check of a file can promise that a kernel takes all that it allows. A file from strangers is
best loaded once in a process of its own before it is signed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_dx.backends.flatbuffer import Broken, Table, root

MAX_TENSOR_BYTES = 2**30
"""No tensor of a model for the point of care comes near it."""

MAX_TABLES = 20_000
"""Tensors or operators of a graph; a recurrent network unrolled over 90 steps has 1,700."""
MAX_RANK = 8

# Numbers of the schema (tensorflow/compiler/mlir/lite/schema/schema.fbs); they never change.
_BYTES = {0: 4.0, 1: 2.0, 2: 4.0, 3: 1.0, 4: 8.0, 6: 1.0, 7: 2.0, 9: 1.0, 17: 0.5}
"""float32, float16, int32, uint8, int64, bool, int16, int8, int4: bytes of one element."""
_INT4 = 17
_VECTORS_IN_OPTIONS = {8: {}, 17: {0: "i32"}, 30: {0: "i32"}}
_STRANGE_OPTIONS = (3, 111, 115)
_WINDOWS = {1: (1, 2), 2: (1, 2), 5: (1, 2, 3, 4), 49: (1, 2)}
"""Options that begin with a padding → their fields for strides and window sizes."""
_COMPOSITE = 21
_CUSTOM, _REMEMBERING = 32, {
    16: "LSTM", 24: "RNN", 27: "SVDF", 35: "UNIDIRECTIONAL_SEQUENCE_RNN",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM", 46: "BIDIRECTIONAL_SEQUENCE_RNN",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM", 118: "IF", 119: "WHILE", 129: "CALL_ONCE",
    136: "HASHTABLE", 142: "VAR_HANDLE", 143: "READ_VARIABLE", 144: "ASSIGN_VARIABLE",
}  # fmt: skip
_WEIGHTED = {3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 9: "FULLY_CONNECTED", 67: "TRANSPOSE_CONV"}
_INPUTS = {
    **dict.fromkeys((1, 5, 6, 8, 11, 12, 13, 14, 17, 19, 20, 21, 25, 26, 28, 43, 47, 50, 59,
                     66, 73, 75, 76, 77, 88, 92, 93, 98, 101, 104, 108, 111, 114, 116, 117,
                     150, 152, 53), (1, 1)),
    **dict.fromkeys((0, 18, 23, 34, 36, 39, 40, 41, 42, 49, 54, 55, 56, 57, 58, 61, 62, 63, 69,
                     70, 71, 72, 74, 78, 79, 81, 82, 89, 90, 91, 94, 95, 97, 99, 100, 105, 107,
                     126, 128, 130), (2, 2)),
    **dict.fromkeys((37, 38, 60, 64, 65, 102, 123), (3, 3)),
    **dict.fromkeys((3, 9), (2, 3)),
    4: (3, 3), 22: (1, 2), 45: (4, 4), 48: (2, 2), 67: (3, 4),
}  # fmt: skip
"""Operator → fewest and most inputs. Kernels look for the next one without asking."""


_SAME_TYPE = (1, 3, 4, 17, 19, 20, 21, 22, 34, 39, 40, 43, 45, 65, 70)
"""Operators whose output is of their first input's type."""


@dataclass(frozen=True)
class _Tensor:
    kind: int
    constant: bool


def problem(payload: bytes) -> str | None:
    """Why an interpreter must not see this file, or None. No engine is needed to tell."""
    if payload[4:8] != b"TFL3":
        return "is no TFLite file (the mark TFL3 is not there)"
    try:
        model = root(payload)
        if model.number(0, "u32") != 3:
            return f"is of TFLite schema {model.number(0, 'u32')}, edge_dx reads 3"
        _check(model)
    except Broken as error:
        return f"is a damaged TFLite file ({error})"
    return None


def _check(model: Table) -> None:
    if model.has(8) or model.has(9):
        raise Broken("weights in files beside it are not taken")
    buffers = [_buffer(table) for table in model.tables(4)]
    codes = [_code(table) for table in model.tables(1)]
    graphs = _distinct("subgraphs", model.tables(2))
    model.string(3)
    for number in model.numbers(5, "i32"):
        _index("metadata buffer", int(number), len(buffers))
    for table in model.tables(6):
        table.string(0)
        _index("metadata buffer", table.number(1, "u32"), len(buffers))
    sizes = [_graph(table, buffers, codes, len(graphs)) for table in graphs]
    if not sizes:
        raise Broken("it has no graph")
    for table in model.tables(7):
        table.string(2)
        _index("signature's graph", table.number(4, "u32"), len(graphs))
        for side in (0, 1):
            for entry in table.tables(side):
                entry.string(0)
                there = sizes[table.number(4, "u32")]
                _index("signature's tensor", entry.number(1, "u32"), there)


def _buffer(table: Table) -> int:
    """Bytes of a constant, 0 where the buffer holds none."""
    start, size = table.number(1, "u64"), table.number(2, "u64")
    if start <= 1:  # 1 is a writer's placeholder
        return table.size(0)
    if start + size > len(table.buffer):
        raise Broken("weights lie behind the end of the file")
    return size


def _code(table: Table) -> int:
    table.string(1)
    code = max(table.number(0, "i8"), table.number(3, "i32"))
    if code == _CUSTOM or table.has(1):
        raise Broken("it has an operator that is not TFLite's own")
    if code in _REMEMBERING:
        raise Broken(f"operator {_REMEMBERING[code]} keeps state or control flow inside the file")
    return code


def _graph(table: Table, buffers: list[int], codes: list[int], graphs: int) -> int:
    tensors = [_tensor(item, buffers) for item in _distinct("tensors", table.tables(0))]
    table.string(4)
    inputs, outputs = _whole(table.numbers(1, "i32")), _whole(table.numbers(2, "i32"))
    for index in (*inputs, *outputs):
        _index("graph's tensor", index, len(tensors))
    if not outputs or len({*inputs}) != len(inputs):
        raise Broken("the graph has no outputs, or an input twice")
    known = {k for k, tensor in enumerate(tensors) if tensor.constant}
    if known.intersection(inputs):
        raise Broken("an input of the graph is a constant")
    known.update(inputs)
    for operator in _distinct("operators", table.tables(3)):
        number = operator.number(0, "u32")
        _index("operator code", number, len(codes))
        made = _operator(operator, codes[number], tensors, known, graphs)
        if known.intersection(made) or len({*made}) != len(made):
            raise Broken("a tensor is made twice")
        known.update(made)
    if not known.issuperset(outputs):
        raise Broken("an output of the graph is never made")
    return len(tensors)


def _tensor(table: Table, buffers: list[int]) -> _Tensor:
    kind, shape = table.number(1, "i8"), _whole(table.numbers(0, "i32"))
    table.string(3)
    table.numbers(7, "i32")
    if kind not in _BYTES:
        raise Broken(f"a tensor is of type {kind}, which edge_dx does not take")
    if table.number(5, "u8") or any(map(table.has, (6, 9, 10))):
        raise Broken("a tensor is a variable, sparse, a variant or in another file")
    size = math.prod(shape) * _BYTES[kind] if len(shape) <= MAX_RANK else math.inf
    if any(n < 0 for n in shape) or size > MAX_TENSOR_BYTES:
        raise Broken(f"a tensor has the shape {list(shape[:9])}")
    index = table.number(2, "u32")
    _index("tensor's buffer", index, len(buffers))
    if buffers[index] and buffers[index] != math.ceil(size):
        raise Broken(f"a constant of shape {list(shape)} has {buffers[index]} bytes")
    _check_quantization(table, shape)
    return _Tensor(kind, bool(buffers[index]))


def _check_quantization(table: Table, shape: Sequence[int]) -> None:
    found = table.table(4)
    if found is None:
        return
    if found.number(4, "u8"):
        raise Broken("a tensor is quantized in a way of its own")
    found.numbers(0, "f32")
    found.numbers(1, "f32")
    scales, zeros = found.numbers(2, "f32"), found.numbers(3, "i64")
    axis = found.number(6, "i32")
    if len(zeros) not in (0, len(scales)):
        raise Broken(f"a tensor has {len(scales)} scales and {len(zeros)} zero points")
    if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
        raise Broken(f"{len(scales)} scales do not fit the shape {list(shape)}")
    if not all(math.isfinite(scale) and scale >= 0 for scale in scales):
        raise Broken("a scale is no number")


def _operator(
    table: Table, code: int, tensors: list[_Tensor], known: set[int], graphs: int
) -> tuple[int, ...]:
    inputs, outputs = _whole(table.numbers(1, "i32")), _whole(table.numbers(2, "i32"))
    fewest, most = _INPUTS.get(code, (1, 1024))
    if not fewest <= len(inputs) <= most:
        raise Broken(f"operator {code} has {len(inputs)} inputs")
    for place, index in enumerate(inputs):
        if index == -1 and code in _WEIGHTED and place >= fewest:
            continue  # a bias may be absent
        _index("operator's input", index, len(tensors))
        if index not in known:
            raise Broken(f"operator {code} uses a tensor before it is made")
    if not outputs:
        raise Broken(f"operator {code} has no output")
    for index in outputs:
        _index("operator's output", index, len(tensors))
        if tensors[index].kind == _INT4:
            raise Broken(f"operator {code} gives int4, which is for weights alone")
        if code in _SAME_TYPE and tensors[index].kind != tensors[inputs[0]].kind:
            raise Broken(f"operator {code} gives another type than it takes")
    if table.has(5) or table.number(9, "u64") > 1 or table.numbers(8, "i32"):
        raise Broken(f"operator {code} has custom options or intermediates")
    table.numbers(7, "u8")
    kind, options = table.number(3, "u8"), table.table(4)
    if kind in _STRANGE_OPTIONS:
        raise Broken(f"options of kind {kind} are not taken")
    if options is not None:
        options.scalars(_VECTORS_IN_OPTIONS.get(kind))
        sizes = [options.number(field, "i32") for field in _WINDOWS.get(kind, ())]
        if sizes and (options.number(0, "i8") not in (0, 1) or not _fit(sizes)):
            raise Broken(f"operator {code} has padding or strides that do not exist")
    _options_2(table, graphs)
    return outputs


def _options_2(table: Table, graphs: int) -> None:
    options = table.table(12)
    if options is None:
        return
    if table.number(11, "u8") != _COMPOSITE:
        raise Broken(f"options of the second kind {table.number(11, 'u8')} are not taken")
    options.string(0)
    _index("composite's graph", options.number(1, "i32"), graphs)
    options.size(2)


def _fit(sizes: list[int]) -> bool:
    return all(1 <= size <= 65_535 for size in sizes)


def _distinct(what: str, tables: list[Table]) -> list[Table]:
    """Each once: a small file may name the same table a million times."""
    if len({table.at for table in tables}) != len(tables):
        raise Broken(f"two {what} are the same")
    if len(tables) > MAX_TABLES:
        raise Broken(f"it has {len(tables)} {what}")
    return tables


def _whole(numbers: Sequence[float]) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)


def _index(what: str, index: int, there_are: int) -> None:
    if not 0 <= index < there_are:
        raise Broken(f"the {what} {index} does not exist")
