"""An ONNX file → a TensorRT engine, by one path from TensorRT 10.3 to 11.4 and for RTX.

Precision stands in the graph (Q/DQ for int8, casts for float16) and the network is strongly
typed. The builder's precision flags and calibrators, which TensorRT 11 removed, are never touched,
and float32 is float32: TF32 is forbidden.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_dx.backends.tensorrt import vendor
from edge_dx.backends.tensorrt.watching import Progress, Say, log_of
from edge_dx.errors import EngineError, EngineFailed, EngineRefused

WORKSPACE_BYTES = 256 * 2**20
"""Scratch memory that a kernel may use; on a Jetson it is taken from everybody else's."""

# What the parser says → what to do about it. In this order: the text about shifted zero points
# speaks of UINT8 too.
_FIXES = {
    "Non-zero zero point": "quantize symmetrically, with zero point 0",
    "UInt8 but must": "convert a uint8 image with Cast before anything else",
    "UINT8": "quantize to int8 with zero point 0, and convert a uint8 image with Cast",
    "Int32 but must": "leave biases in float (no quantized biases)",
    "Plugin not found": "write it with standard ONNX operators",
    "same type": "put a Cast where the precision changes",
}
_FIX = (
    "Export it as a tensorrt variant: symmetric int8 with zero point 0, no quantized biases, "
    "standard operators"
)


@dataclass(frozen=True)
class Options:
    """How a graph is compiled; an engine is keyed by it.

    Attributes:
        max_batch: largest batch of the optimization profile, whose smallest is 1.
        opt_batch: the batch that the engine is tuned for.
        workspace_bytes: scratch memory that a kernel may use.
        compute_capability: compile ahead of time for such a GPU (TensorRT for RTX alone); the
            GPU that is here where None.
    """

    max_batch: int = 8
    opt_batch: int = 1
    workspace_bytes: int = WORKSPACE_BYTES
    compute_capability: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.opt_batch <= self.max_batch:
            raise ValueError(f"batch sizes 1, {self.opt_batch}, {self.max_batch} do not ascend")

    def __str__(self) -> str:
        batch = f"batch 1 to {self.max_batch}, tuned for {self.opt_batch}"
        ahead = f"; for {self.compute_capability}" if self.compute_capability else ""
        return f"strongly typed; no TF32; workspace {self.workspace_bytes}; {batch}{ahead}"


@dataclass(frozen=True)
class Built:
    """What a build gives.

    Attributes:
        plan: the serialized engine.
        timing_cache: what the builder measured, to make the next build quick; None where this
            library keeps none.
    """

    plan: bytes = field(repr=False)
    timing_cache: bytes | None = field(repr=False)


def engine_from_onnx(
    payload: bytes,
    options: Options,
    *,
    say: Say,
    timing_cache: bytes | None = None,
    trt: Any = None,
) -> Built:
    """Compiles a graph.

    Args:
        payload: the ONNX file.
        options: how.
        say: takes progress lines; building takes seconds to minutes. What it raises stops the
            build and comes out of this function.
        timing_cache: of an earlier build on this device.
        trt: the library; the one that is here where None.

    Raises:
        EngineMissing: no library is here.
        EngineRefused: the parser does not take the graph; the message names the nodes and what
            to do about them.
        EngineFailed: the file is no graph, or the builder failed; the message has the library's
            last lines.
    """
    trt = vendor.library() if trt is None else trt
    log = log_of(trt)
    log.forget()
    with Progress(say) as progress:
        try:
            builder = trt.Builder(log)
            network = builder.create_network(vendor.network_flags(trt))
            _parse(trt, network, log, payload)
            config = builder.create_builder_config()
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
            vendor.exact_float32(trt, config)
            if options.compute_capability is not None:
                vendor.ahead_of_time(trt, config, options.compute_capability)
            _profile(builder, config, network, options)
            cache = vendor.timing_cache(trt, config, timing_cache)
            vendor.watch(trt, config, progress)
            log.forget()  # on a machine without a driver it is full of that by now
            plan = builder.build_serialized_network(network, config)
            if progress.stopped is not None:
                raise progress.stopped
            if plan is None:
                raise EngineFailed(f"TensorRT built no engine: {log.told()}")
            found = config.get_timing_cache() if cache is not None else None
            return Built(bytes(plan), bytes(found.serialize()) if found is not None else None)
        except EngineError:
            raise
        except Exception as error:
            if error is progress.stopped:
                raise
            told = " ".join(str(error).split())
            raise EngineFailed(f"TensorRT failed while building ({told}): {log.told()}") from error


def prebuild(payload: bytes, *, compute_capability: tuple[int, int], say: Say) -> bytes:
    """Compiles ahead of time with TensorRT for RTX, on a machine that needs no GPU.

    It proves that the parser and the builder take the graph; it says nothing about speed, and
    nothing about compute capabilities that TensorRT for RTX does not know (Orin's 8.7).

    Args:
        payload: the ONNX file.
        compute_capability: of the GPU, for example (8, 6).
        say: takes progress lines.

    Returns:
        The serialized engine.

    Raises:
        EngineMissing: TensorRT for RTX is not installed, whatever else is.
        EngineRefused, EngineFailed: as `engine_from_onnx`.
    """
    rtx = vendor.library((vendor.RTX,))
    options = Options(compute_capability=compute_capability)
    return engine_from_onnx(payload, options, say=say, trt=rtx).plan


def _parse(trt: Any, network: Any, log: Any, payload: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    taken = parser.parse(payload)
    errors = [parser.get_error(k) for k in range(parser.num_errors)]
    if any(vendor.is_no_model(trt, error) for error in errors):
        raise EngineFailed("TensorRT cannot read the file: it is not an ONNX model, or damaged")
    found = [vendor.told_by_parser(error) for error in errors]
    if taken and not network.num_outputs:  # an empty file is an empty graph to the parser
        raise EngineFailed("TensorRT cannot read the file: it has no graph in it")
    if taken and not log.uint8_as_int8:
        return
    if not found and not taken and not network.num_layers:
        raise EngineFailed(f"TensorRT cannot read the file: {log.told()}")
    if taken:
        # Levels above 127 would saturate without a word: the parser takes the wish for a uint8
        # zero point and quantizes to int8 all the same.
        found.append(("", "a uint8 zero point would be taken for int8 (UINT8)"))
    told = "; ".join(_with_fix(node, what) for node, what in found) or log.told()
    raise EngineRefused(f"TensorRT does not take this graph: {told}. {_FIX}")


def _with_fix(node: str, what: str) -> str:
    fix = next((fix for said, fix in _FIXES.items() if said in what), None)
    return f"{node}: {what}".removeprefix(": ") + (f" → {fix}" if fix else "")


def _profile(builder: Any, config: Any, network: Any, options: Options) -> None:
    """The range of batch sizes, where the graph leaves the batch free."""
    profile, free = builder.create_optimization_profile(), False
    for k in range(network.num_inputs):
        tensor = network.get_input(k)
        shape = tuple(int(n) for n in tensor.shape)
        if any(n < 0 for n in shape[1:]):
            raise EngineRefused(
                f"input {tensor.name} has the shape {shape}: only the batch may be left free"
            )
        if shape and shape[0] < 0:
            free = True
            three = [(n, *shape[1:]) for n in (1, options.opt_batch, options.max_batch)]
            profile.set_shape(tensor.name, *three)
    if free and config.add_optimization_profile(profile) < 0:
        raise EngineFailed(f"TensorRT takes no batch of 1 to {options.max_batch}")
