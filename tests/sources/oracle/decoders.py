"""Which transfer syntaxes can be written and read here, and what brings the others."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.sources.oracle import dcmtk
from tests.sources.oracle.datasets import SYNTAXES

_MODULES = {
    "jpeg-ls": ("jpeg_ls", "pyjpegls"),
    "jpeg-2000": ("openjpeg", "pylibjpeg-openjpeg"),
    "jpeg-lossless": ("gdcm", "python-gdcm"),
}


dcmtk_is_here = pytest.mark.skipif(dcmtk.MISSING is not None, reason=dcmtk.MISSING or "")
"""Of every module that asks DCMTK."""


def needs(syntax: str) -> list[pytest.MarkDecorator]:
    """Skips, with its reason, where the decoder of a syntax is missing.

    Args:
        syntax: a key of `datasets.SYNTAXES`, or a transfer syntax UID.
    """
    key = next((key for key, uid in SYNTAXES.items() if syntax in (key, uid)), syntax)
    if key not in _MODULES:
        return []
    module, package = _MODULES[key]
    return [pytest.mark.skipif(find_spec(module) is None, reason=f"{package} is not installed")]
