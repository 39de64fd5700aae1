"""Readers that do what none may, so that the run of mutations is seen to notice it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from tests.hostile.seeds import Kind, Seed

_FAULTS = {
    "npy": lambda: os.abort(),
    "case": lambda: time.sleep(60),
    "manifest": lambda: bytearray(2**30),
    "tflite": lambda: {}["no error of ours"],
}


def outcome(kind: Kind, raw: bytes, directory: Path) -> str:
    """Every fourth file or so of four kinds does its worst."""
    if kind in _FAULTS and sum(raw) % 4 == 0:
        _FAULTS[kind]()
    return "analysed"


def warm_up(seeds: Iterable[Seed]) -> None:
    """Nothing is imported late."""
