"""Imports engines so that they tell nobody.

onnxruntime from 1.29 on and OpenVINO report home from Linux as soon as they are imported: the one
keeps a device identifier and uploads names and digests of models, the other asks a web analytics
service. A device at the point of care opens no connection that nobody asked for. Both decide while
they are being imported, so whoever imports them first decides; edge_dx always imports them here.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

_TELEMETRY = "openvino_telemetry"


def silence() -> None:
    """Tells onnxruntime to stay silent in this process and those that it starts."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def engine_module(package: str) -> ModuleType:
    """Imports an engine's package, silenced.

    Raises:
        ImportError: it is not installed, or broken; broken packages raise other errors too.
    """
    silence()
    hidden = _TELEMETRY not in sys.modules
    if hidden:  # OpenVINO has a stub for where its telemetry is not installed
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # "not to be found"
    try:
        return importlib.import_module(package)
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
