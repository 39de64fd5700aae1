"""The library as it is here. What differs between its versions is asked for here and nowhere else.

TensorRT 11 knows only strongly typed networks, where precision comes from the graph alone;
TensorRT 10 has to be told so with a flag. TensorRT for RTX has the same interface under another
module name, is always strongly typed, and compiles for a stated compute capability without a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from edge_dx.errors import EngineMissing, EngineRefused

RTX = "tensorrt_rtx_bindings"
MODULES = ("tensorrt", RTX)
_OLDEST_MAJOR = 10  # strongly typed networks from ONNX files with Q/DQ


def library(names: tuple[str, ...] = MODULES) -> Any:
    """The Python module of TensorRT, or of TensorRT for RTX where that is what is installed.

    Args:
        names: the modules that will do, the first one found is used.

    Raises:
        EngineMissing: none is installed, it cannot be loaded, or it is too old.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            trt = importlib.import_module(name)
        except Exception as error:  # a missing shared library, for example
            raise EngineMissing(
                f"{name} is installed but cannot be loaded ({error}); see docs/tensorrt.md"
            ) from error
        if not is_rtx(trt) and _major(trt) < _OLDEST_MAJOR:
            raise EngineMissing(
                f"{version(trt)} is too old, {_OLDEST_MAJOR}.3 and newer will do (JetPack 6.1 and "
                "newer); see docs/tensorrt.md"
            )
        return trt
    raise EngineMissing(
        f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} not installed; TensorRT comes "
        "with JetPack, or from NVIDIA's own package index (docs/tensorrt.md)"
    )


def is_rtx(trt: Any) -> bool:
    """Whether this is TensorRT for RTX."""
    return "rtx" in str(trt.__name__)


def version(trt: Any) -> str:
    """Flavour and version, as engines are keyed by it."""
    return f"{'tensorrt-rtx' if is_rtx(trt) else 'tensorrt'} {trt.__version__}"


def network_flags(trt: Any) -> int:
    """Flags of `create_network`: strongly typed where that has to be asked for."""
    if is_rtx(trt) or _major(trt) > _OLDEST_MAJOR:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def exact_float32(trt: Any, config: Any) -> None:
    """Forbids TF32, which the builder otherwise uses for float32 products (10 bits of mantissa).

    It is on by default since Ampere, and a graph in float32 was measured in float32.
    """
    flag = getattr(getattr(trt, "BuilderFlag", None), "TF32", None)
    if flag is not None:
        config.clear_flag(flag)


def ahead_of_time(trt: Any, config: Any, capability: tuple[int, int]) -> None:
    """Makes the builder compile for a GPU that is not here.

    Args:
        trt: the library.
        config: of the builder.
        capability: compute capability, for example (8, 6).

    Raises:
        EngineRefused: this library compiles for the GPU that is here alone, or not for that one.
    """
    name = f"SM{capability[0]}{capability[1]}"
    known = getattr(trt, "ComputeCapability", None)
    if known is None or not hasattr(config, "set_compute_capability"):
        raise EngineRefused(
            f"{version(trt)} compiles for the GPU that is here alone; ahead of time it takes "
            "TensorRT for RTX (docs/tensorrt.md)"
        )
    wanted = getattr(known, name, None)
    if wanted is None:
        raise EngineRefused(
            f"{version(trt)} does not compile ahead of time for {name}; build on the device itself"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(wanted, 0)


def timing_cache(trt: Any, config: Any, stored: bytes | None) -> Any:
    """Gives the builder its earlier measurements, or an empty cache to fill.

    Returns:
        The cache, or None where the builder keeps none: TensorRT for RTX measures nothing while
        it builds.
    """
    if is_rtx(trt) or not hasattr(config, "create_timing_cache"):
        return None
    for content in (stored, b"") if stored else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None  # what was stored is of another device, and not even an empty one is taken


def watch(trt: Any, config: Any, watcher: Any) -> None:
    """Has the builder tell its phases to `watcher`, where it can (IProgressMonitor).

    Args:
        trt: the library.
        config: of the builder.
        watcher: has `phase_start`, `step_complete` and `phase_finish`.
    """
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None or not hasattr(config, "progress_monitor"):
        return

    class Monitor(base):  # type: ignore[misc]  # the base comes from the library that is here
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            watcher.phase_start(phase, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            return bool(watcher.step_complete(phase, step))

        def phase_finish(self, phase: str) -> None:
            watcher.phase_finish(phase)

    config.progress_monitor = Monitor()


def told_by_parser(error: Any) -> tuple[str, str]:
    """Which node an error of the parser is about ("" where none) and what it says."""
    kind, name = (_maybe(error, key) for key in ("node_operator", "node_name"))
    number = int(error.node())
    node = f"node {name or number} ({kind})" if kind or name else ""
    if not node and number >= 0:
        node = f"node {number}"
    return node, " ".join(str(error.desc()).split())


def is_no_model(trt: Any, error: Any) -> bool:
    """Whether the parser could not even read the file."""
    code = getattr(getattr(trt, "ErrorCode", None), "MODEL_DESERIALIZE_FAILED", None)
    return code is not None and _of(error, "code") == code


def runtime() -> Any:
    """CUDA's runtime interface of cuda-python.

    Raises:
        EngineMissing: it is not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise EngineMissing(
            f"cuda-python is not installed ({error}); pip install 'edge-dx[tensorrt]'"
        ) from error


def problem() -> str | None:
    """Why TensorRT cannot run here, or None: no library, no cuda-python, no GPU."""
    try:
        library()
        cuda = runtime()
        error, count = cuda.cudaGetDeviceCount()
    except EngineMissing as missing:
        return str(missing)
    except Exception as failure:  # a driver that is not there shows itself in many ways
        return f"CUDA does not answer ({failure}); see docs/tensorrt.md"
    if int(error) == _INSUFFICIENT_DRIVER:
        return (
            "no GPU answers: there is no driver, or it is older than the installed cuda-bindings "
            "(JetPack 6 takes 'cuda-bindings<13'); see docs/tensorrt.md"
        )
    if int(error) or not count:
        told = getattr(error, "name", f"CUDA error {int(error)}")
        return f"no GPU answers ({told}, {count or 0} devices); see docs/tensorrt.md"
    return None


_INSUFFICIENT_DRIVER = 35


def _major(trt: Any) -> int:
    """0 where the version is not written as a number, as in the stubs of package indexes."""
    first = str(trt.__version__).partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _maybe(error: Any, key: str) -> str:
    """A detail of a parser error that older libraries do not have."""
    return str(_of(error, key) or "")


def _of(error: Any, key: str) -> Any:
    method = getattr(error, key, None)
    return method() if method is not None else None
