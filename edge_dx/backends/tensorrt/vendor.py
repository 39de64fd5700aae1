"""The library as it is here. What differs between its versions is asked for here and nowhere else.

TensorRT 11 knows only strongly typed networks, where precision comes from the graph alone;
TensorRT 10 has to be told so with a flag. TensorRT for RTX has the same interface under another
module name, is always strongly typed, and compiles for a stated compute capability without a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections import deque
from typing import Any

from edge_dx.errors import EngineMissing

MODULES = ("tensorrt", "tensorrt_rtx_bindings")
_KEPT_LINES = 12


def library() -> Any:
    """The Python module of TensorRT, or of TensorRT for RTX where that is what is installed.

    Raises:
        EngineMissing: neither is, or it cannot be loaded.
    """
    for name in MODULES:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            return importlib.import_module(name)
        except Exception as error:  # a missing shared library, for example
            raise EngineMissing(
                f"{name} is installed but cannot be loaded ({error}); see docs/tensorrt.md"
            ) from error
    raise EngineMissing(
        f"neither {' nor '.join(MODULES)} is installed; TensorRT comes with JetPack, or from "
        "NVIDIA's own package index (docs/tensorrt.md)"
    )


def is_rtx(trt: Any) -> bool:
    """Whether this is TensorRT for RTX."""
    return "rtx" in trt.__name__


def version(trt: Any) -> str:
    """Flavour and version, as engines are keyed by it."""
    return f"{'tensorrt-rtx' if is_rtx(trt) else 'tensorrt'} {trt.__version__}"


def network_flags(trt: Any) -> int:
    """Flags of `create_network`: strongly typed where that has to be asked for."""
    if is_rtx(trt) or int(str(trt.__version__).partition(".")[0]) >= 11:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


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
        return f"CUDA does not answer ({failure})"
    if int(error) or not count:
        return f"no GPU answers (CUDA error {int(error)}, {count} devices)"
    return None


def logger(trt: Any) -> Any:
    """A logger that keeps its last lines for error messages and prints nothing."""

    class Kept(trt.ILogger):  # type: ignore[misc]  # the base comes from the library that is here
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: deque[str] = deque(maxlen=_KEPT_LINES)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                self.lines.append(" ".join(message.split()))

        def told(self) -> str:
            return " | ".join(self.lines) or "the library said nothing"

    return Kept()
