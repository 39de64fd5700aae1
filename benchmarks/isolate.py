"""What reading in a process of its own costs, file by file, beside reading here.

    python benchmarks/isolate.py [--rounds 20] [--out benchmarks/results/isolate.md]

From a file to decoded pixels, both ways in turn within each round, each in a process of its own,
for what one leaves behind on the heap changes the times of the other; of a cine every frame. The
helper's start is told apart: it is paid once, and again after a file has cost it its life. Memory
is the proportional share (PSS) of each process after the last round. Files lie in memory
(/dev/shm). Runs in half a minute.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from edge_dx import device, phantom, sources
from edge_dx.isolate import Reader
from edge_dx.phantom.files import write_dicom, write_png

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the tests' writer of DICOM makes the cine

from tests.hostile import build  # noqa: E402 (after the path)

CINE_FRAMES = 65


def files(folder: Path) -> dict[str, Path]:
    """A thumbnail, films of two sizes, and a cine in baseline JPEG."""
    found = {}
    for side in (512, 2140):
        drawn = phantom.draw(seed=1, size=side, bits=12)
        found[f"{side} px film, PNG"] = folder / f"{side}.png"
        found[f"{side} px film, DICOM"] = folder / f"{side}.dcm"
        write_png(drawn, folder / f"{side}.png")
        write_dicom(drawn, folder / f"{side}.dcm")
    picture = phantom.draw(seed=1, size=512).pixels
    height, width = picture.shape
    jpegs = [cv2.imencode(".jpg", np.roll(picture, 5 * n, axis=1))[1].tobytes()
             for n in range(CINE_FRAMES)]  # fmt: skip
    header = {**build.facts(height, width, 8), (0x28, 8): ("IS", build.text(str(CINE_FRAMES)))}
    path = folder / "cine.dcm"
    path.write_bytes(build.film(header, tail=build.encapsulated(*jpegs), syntax=build.JPEG))
    found[f"512 px cine of {CINE_FRAMES} frames, JPEG DICOM"] = path
    return found


class Way:
    """A process that reads files in one way, when it is told to."""

    def __init__(self, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--way", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, what: str) -> list[float]:
        """Milliseconds for the file of this path; for `memory` megabytes, of its helper too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        return [float(number) for number in self._process.stdout.readline().split()]

    def close(self) -> None:
        self._process.communicate()


def serve(way: str) -> None:
    """The process of a `Way`."""
    with Reader() as reader:
        read = reader.read if way == "isolated" else sources.read
        for line in sys.stdin:
            if line.strip() == "memory":
                pids = [os.getpid(), *([reader.pid] if reader.pid else [])]
                print(*(share_mb(pid) for pid in pids), flush=True)
                continue
            begun = time.perf_counter_ns()
            for pixels in read(Path(line.strip())).each():
                assert pixels.size
            print((time.perf_counter_ns() - begun) / 1e6, flush=True)


def start_ms() -> float:
    """From nothing to the facts of a small file."""
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder, Reader() as reader:
        path = Path(folder) / "small.png"
        path.write_bytes(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
        begun = time.perf_counter_ns()
        reader.read(path)
        return (time.perf_counter_ns() - begun) / 1e6


def share_mb(pid: int) -> float:
    """Memory of a process; what it shares counts in part."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")) / 1e3


def shared_memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=("here", "isolated"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        serve(options.way)
        return 0
    starts = [start_ms() for _ in range(3)]
    rows = []
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        ways = {name: Way(name) for name in ("here", "isolated")}
        for name, path in files(Path(folder)).items():
            laps: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(options.rounds + 1):
                for way, process in ways.items():
                    (took,) = process.ask(str(path))
                    if number:  # the first warms both up
                        laps[way].append(took)
            here, there = np.array(laps["here"]), np.array(laps["isolated"])
            more = np.percentile(there - here, [50, 5, 95])
            rows.append(
                f"| {name} | {path.stat().st_size / 2**20:.1f} MB | {np.median(here):.1f} | "
                f"{np.median(there):.1f} | {more[0]:+.1f} | {more[1]:+.1f} to {more[2]:+.1f} |"
            )
        (alone,), (asking, helper) = (process.ask("memory") for process in ways.values())
        for process in ways.values():
            process.close()
    report = "\n".join([
        "# Reading in a process of its own",
        "",
        f"`python benchmarks/isolate.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, "
        f"{options.rounds} rounds, both ways in turn in each. From a "
        "file to decoded pixels, of a cine all its frames. The difference is the median over "
        "rounds of the difference within a round.",
        "",
        "| file | size | here, ms | isolated, ms | difference, ms | 5 % to 95 % of rounds |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"The helper starts in {np.median(starts):.0f} ms ({min(starts):.0f} to "
        f"{max(starts):.0f}), once. After all this it holds {helper:.0f} MB beside the "
        f"{asking:.0f} MB of the process that asks; one that read the same files itself holds "
        f"{alone:.0f} MB.",
        "",
    ])  # fmt: skip
    print(report)
    if options.out:
        options.out.write_text(report, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
