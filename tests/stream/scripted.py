"""A source of frames that does what a test says, and a model that takes frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.bundle import write_bundle
from edge_dx.model import Model, load
from edge_dx.sources import Study, from_array
from edge_dx.sources.frames import Frame
from edge_dx.trust import TrustStore
from tests import tiny

Step = Frame | BaseException | threading.Event | None
FILMS = [tiny.film(seed, 40) for seed in range(12)]


def frame(number: int, at_s: float = 0.0, film: int | None = None, **changes: Any) -> Frame:
    """A frame that arrived `at_s`, with a picture of its own unless it is told which."""
    pixels = FILMS[(number if film is None else film) % len(FILMS)].copy()
    return Frame(**{"pixels": pixels, "number": number, "device_time_s": at_s,
                    "host_ns": round(at_s * 1e9), **changes})  # fmt: skip


class Script:
    """Frames are given, None means that none came, errors are raised, events waited for."""

    name = "script"
    path: Path | None = None

    def __init__(self, steps: Sequence[Step], live: bool = True, stamped: bool = False) -> None:
        self.steps = steps
        self.stamped = stamped  # with the time of this machine, in place of the script's
        self.live = live
        self.expected: int | None = None
        self.closed = threading.Event()

    def frames(self) -> Iterator[Frame | None]:
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, threading.Event):
                assert step.wait(10), "nobody let the script go on"
                continue
            if step and self.stamped:
                step = replace(step, host_ns=time.monotonic_ns())
            yield step

    def study(self, frame: Frame) -> Study:
        return from_array(frame.pixels)

    def close(self) -> None:
        self.closed.set()


def model_of(folder: Path, trust: TrustStore, frames: str = "each") -> Model:
    """The tiny model, made for single images or for each frame."""
    parts = tiny.parts()
    parts.manifest["eligibility"]["frames"] = frames
    path = folder / f"{frames}.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    return load(path, trust=trust)


def score_of(model: Model, pixels: np.ndarray[Any, Any]) -> float | None:
    """What the model says about a picture alone."""
    return model(from_array(pixels)).score
