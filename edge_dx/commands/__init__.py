"""The commands of `edge-dx`, one module each with an `act(options) -> exit code`."""

from __future__ import annotations

import argparse
from typing import Any

from edge_dx.trust import TrustStore


def opening(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `load` and `open_bundle` that the options set."""
    return {
        "trust": TrustStore.from_directory(options.trust) if options.trust else None,
        "allow_unsigned": options.allow_unsigned,
    }
