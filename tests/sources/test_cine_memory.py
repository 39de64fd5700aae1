"""A cine of 10,000 frames takes no more memory than one of 65: frames are decoded one by one."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the cines are written with pydicom")

from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from edge_dx.sources.limits import HELD_BYTES
from tests.sources.oracle.datasets import grey, store

FEW, MANY = 65, 10_000
MARGIN_MB = 8.0
"""For the places of 10,000 frames and what the allocator keeps back; the pixels are 92 MB."""

PEAK = """
import sys
import edge_dx.sources
study = edge_dx.sources.read(sys.argv[1])
brightness = sum(int(frame.sum()) for frame in study.each())
status = dict(line.split(":") for line in open("/proc/self/status"))
print(study.frames, brightness, int(status["VmHWM"].split()[0]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("syntax", ["explicit", "jpeg"])
def test_peak_memory_does_not_grow_with_frames(syntax: str, tmp_path: Path) -> None:
    few, many = (cine(tmp_path / f"{n}.dcm", n, syntax) for n in (FEW, MANY))
    assert many.stat().st_size > HELD_BYTES, "is held in memory as a whole, which proves nothing"
    assert peak_mb(many, MANY) < peak_mb(few, FEW) + MARGIN_MB


def peak_mb(path: Path, frames: int) -> float:
    """Of a process of its own that decodes all frames."""
    told = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(told[0]) == frames
    assert int(told[1]) > 0
    return float(told[2])


def cine(path: Path, frames: int, syntax: str) -> Path:
    """Frames of 96 × 96 noise, which no codec makes small; 65 of them over and over."""
    noise = np.random.default_rng(1).integers(0, 256, (min(frames, FEW), 96, 96), np.uint8)
    if syntax == "explicit":
        every = noise[np.arange(frames) % FEW]
        return store(grey("MONOCHROME2", 8, signed=False), every, syntax, path)
    streams = [jpeg(frame) for frame in noise]
    data = grey("MONOCHROME2", 8, signed=False)
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.NumberOfFrames, data.Rows, data.Columns = frames, 96, 96
    data.PixelData = encapsulate([streams[n % FEW] for n in range(frames)])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.save_as(path, enforce_file_format=True)
    return path


def jpeg(frame: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=92)
    return stream.getvalue()
