"""An ONNX file → a TensorRT engine, by one path from TensorRT 10.3 to 11.4 and for RTX.

Precision stands in the graph (Q/DQ for int8, casts for float16) and the network is strongly
typed. The builder's precision flags and calibrators, which TensorRT 11 removed, are never touched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge_dx.backends.tensorrt import vendor
from edge_dx.errors import EngineFailed, EngineRefused

Say = Callable[[str], None]

WORKSPACE_BYTES = 256 * 2**20
"""Scratch memory that a kernel may use; on a Jetson it is taken from everybody else's."""

_HEARTBEAT_S = 10.0


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
    *,
    max_batch: int,
    say: Say,
    timing_cache: bytes | None = None,
    compute_capability: tuple[int, int] | None = None,
) -> Built:
    """Compiles a graph.

    Args:
        payload: the ONNX file.
        max_batch: largest batch of the optimization profile; 1 is the one it is tuned for.
        say: takes progress lines; building takes seconds to minutes.
        timing_cache: of an earlier build on this device.
        compute_capability: compile ahead of time for such a GPU (TensorRT for RTX alone).

    Raises:
        EngineRefused: the parser does not take the graph; the message names the nodes.
        EngineFailed: the builder failed; the message has the library's last lines.
    """
    trt = vendor.library()
    log = vendor.logger(trt)
    try:
        builder = trt.Builder(log)
        network = builder.create_network(vendor.network_flags(trt))
        _parse(trt, network, log, payload)
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        if compute_capability is not None:
            _ahead_of_time(trt, config, compute_capability)
        _profile(builder, config, network, max_batch)
        cache = None if vendor.is_rtx(trt) else _with_timing_cache(config, timing_cache)
        with _Progress(trt, config, say):
            plan = builder.build_serialized_network(network, config)
    except (EngineRefused, EngineFailed):
        raise
    except Exception as error:
        raise EngineFailed(f"TensorRT failed while building ({error}): {log.told()}") from error
    if plan is None:
        raise EngineFailed(f"TensorRT built no engine: {log.told()}")
    kept = None
    if cache is not None:
        found = config.get_timing_cache()
        kept = bytes(found.serialize()) if found is not None else None
    return Built(bytes(plan), kept)


def prebuild(payload: bytes, *, compute_capability: tuple[int, int], say: Say) -> bytes:
    """Compiles ahead of time with TensorRT for RTX, on a machine that needs no GPU.

    It proves that the parser and the builder take the graph; it says nothing about speed, and
    nothing about compute capabilities that TensorRT for RTX does not know (Orin's 8.7).

    Raises:
        EngineMissing, EngineRefused, EngineFailed: as `engine_from_onnx`.
    """
    built = engine_from_onnx(payload, max_batch=8, say=say, compute_capability=compute_capability)
    return built.plan


def _parse(trt: Any, network: Any, log: Any, payload: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(payload):
        return
    told = []
    for k in range(parser.num_errors):
        error = parser.get_error(k)
        kind, name = (_maybe(error, key) for key in ("node_operator", "node_name"))
        node = f"node {name or error.node()} ({kind}): " if kind or name else ""
        told.append(node + " ".join(str(error.desc()).split()))
    raise EngineRefused(
        f"TensorRT does not take this graph: {'; '.join(told) or log.told()}. Export it as a "
        "tensorrt variant: symmetric int8 with zero point 0, no quantized biases"
    )


def _maybe(error: Any, key: str) -> str:
    """A detail of a parser error that older libraries do not have."""
    method = getattr(error, key, None)
    return str(method()) if method is not None else ""


def _ahead_of_time(trt: Any, config: Any, capability: tuple[int, int]) -> None:
    name = f"SM{capability[0]}{capability[1]}"
    known = getattr(trt, "ComputeCapability", None)
    if known is None or not hasattr(config, "set_compute_capability"):
        raise EngineRefused(
            f"{vendor.version(trt)} compiles for the GPU that is here alone; ahead of time it "
            "takes TensorRT for RTX"
        )
    if not hasattr(known, name):
        raise EngineRefused(f"{vendor.version(trt)} does not compile ahead of time for {name}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(known, name), 0)


def _profile(builder: Any, config: Any, network: Any, max_batch: int) -> None:
    """The range of batch sizes, where the graph leaves the batch free."""
    profile, free = builder.create_optimization_profile(), False
    for k in range(network.num_inputs):
        tensor = network.get_input(k)
        shape = tuple(int(n) for n in tensor.shape)
        if any(n < 0 for n in shape[1:]):
            raise EngineRefused(
                f"input {tensor.name} has the shape {shape}: only the batch may be left free"
            )
        if shape[0] < 0:
            free = True
            one, most = (1, *shape[1:]), (max_batch, *shape[1:])
            profile.set_shape(tensor.name, one, one, most)
    if free:
        config.add_optimization_profile(profile)


def _with_timing_cache(config: Any, stored: bytes | None) -> Any:
    """Gives the builder its earlier measurements, or an empty cache; None where it has none.

    TensorRT for RTX is not asked: it measures nothing while it builds.
    """
    if not hasattr(config, "create_timing_cache"):
        return None
    for content in (stored, b"") if stored else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None  # of another device or version, and not even an empty one is taken


class _Progress:
    """Tells that a build is alive: the phase it is in and the seconds gone, now and then."""

    def __init__(self, trt: Any, config: Any, say: Say) -> None:
        self._say = say
        self._phase = "starting"
        self._done = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        base = getattr(trt, "IProgressMonitor", None)
        if base is not None and hasattr(config, "progress_monitor"):
            config.progress_monitor = self._monitor(base)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._done.wait(_HEARTBEAT_S):
            gone = time.monotonic() - self._started
            self._say(f"TensorRT is building this device's engine: {self._phase}, {gone:.0f} s")

    def _monitor(self, base: Any) -> Any:
        progress = self

        class Monitor(base):  # type: ignore[misc]  # the base comes from the library that is here
            def __init__(self) -> None:
                base.__init__(self)
                self.steps: dict[str, int] = {}

            def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
                self.steps[phase] = steps
                progress._phase = phase

            def step_complete(self, phase: str, step: int) -> bool:
                progress._phase = f"{phase}, step {step + 1} of {self.steps.get(phase, '?')}"
                return True  # go on

            def phase_finish(self, phase: str) -> None:
                self.steps.pop(phase, None)

        return Monitor()
