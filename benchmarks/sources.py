"""Reading DICOM beside plain pydicom + numpy and beside DCMTK's command line, in one run.

    python benchmarks/sources.py [--rounds 15] [--out benchmarks/results/sources.md]

From a file to tensors: float32, 0 for black to 1 for white, after the whole grey pipeline, of every
frame. Plain is what a script does that knows pydicom well: its own iterator over frames, its own
look-up functions, one inversion. DCMTK writes PGM of 8 bit, which numpy then reads: a process per
file, whose start is told apart. Contenders take turns within each round; ratios are the median over
rounds of the ratio to plain pydicom in the same round. One thread each.

Latency and memory come from a fresh process for every figure. Files lie in memory (/dev/shm).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from readers import CONTENDERS, asked_of_dcmtk, by_dcmtk

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the oracle of the tests writes the files

Times = dict[str, list[float]]

SIDE, CINE_FRAMES = 512, 16
SAMPLES = ROOT.parent / "shared" / "data" / "dicom_samples" / "files"
MEMORY_FRAMES = (1, 65, 1_000, 10_000)
START = "dcmtk, start"


def generated(folder: Path) -> dict[str, tuple[Path, Path]]:
    """A single film (grey, 12 of 16 bit, rescale and window) and a cine (RGB, 3 × 8 bit) of 512 ×
    512 in every transfer syntax. Baseline JPEG has 8 bit and colour differences for the cine.
    """
    from edge_dx import phantom
    from tests.sources.oracle import datasets

    drawn = phantom.draw(seed=1, size=SIDE).pixels
    grain = np.random.default_rng(1).integers(0, 16, drawn.shape, np.uint16)
    film = (drawn.astype(np.uint16) * 16 + grain)[None]
    grey = np.stack([np.roll(drawn, 5 * n, axis=1) for n in range(CINE_FRAMES)])
    cine = np.repeat(grey[..., None], 3, axis=-1)
    cine[:, :64, :64] = (200, 40, 60)  # a flow box

    files = {}
    for name in datasets.SYNTAXES:
        single, many = folder / f"{name}-film.dcm", folder / f"{name}-cine.dcm"
        if name == "jpeg":
            datasets.store_jpeg(datasets.grey("MONOCHROME2", 8, signed=False), drawn[None], single)
            datasets.store_jpeg(datasets.colour("YBR_FULL_422"), cine, many, subsampling=1)
        else:
            data = datasets.grey("MONOCHROME2", 12, signed=False)
            data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
            data.WindowCenter, data.WindowWidth = "1024", "3000"
            datasets.store(data, film, name, single)
            datasets.store(datasets.colour("RGB"), cine, name, many)
        files[name] = single, many
    return files


@dataclass(frozen=True)
class Laps:
    """Milliseconds per file, a lap of each contender per round.

    Attributes:
        frames: in the file.
        times: contender → laps; `START` among them where DCMTK is.
    """

    frames: int
    times: Times

    def rate(self, name: str) -> str:
        """Frames per second."""
        if name not in self.times:
            return "–"
        return f"{1000 * self.frames / float(np.median(self.times[name])):.0f}"

    def rate_after_start(self) -> str:
        """Of DCMTK, without what a file with next to nothing in it takes in the same round."""
        if "dcmtk" not in self.times:
            return "–"
        rest = float(np.median(np.subtract(self.times["dcmtk"], self.times[START])))
        return f"{1000 * self.frames / rest:.0f}" if rest > 1 else "start alone"

    def ratio(self) -> str:
        """Time of edge_dx to that of plain pydicom in the same round: median and 5 % to 95 %."""
        if "pydicom" not in self.times:
            return "– | –"
        found = np.array(self.times["edge_dx"]) / np.array(self.times["pydicom"])
        low, high = np.percentile(found, [5, 95])
        return f"{np.median(found):.2f} | {low:.2f} to {high:.2f}"


def measured(path: Path, tiny: Path, rounds: int) -> Laps:
    """One file, by all that read it.

    Args:
        path: the file.
        tiny: a file of 8 × 8 pixels, which tells DCMTK's start.
        rounds: how many.
    """
    asked = {name: (CONTENDERS[name], path) for name in readable(path)}
    if "dcmtk" in asked:
        asked[START] = (by_dcmtk, tiny)
    names, frames = list(asked), 0
    times: Times = {name: [] for name in names}
    for number in range(rounds + 1):  # the first round warms up
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            read, source = asked[name]
            start = time.perf_counter_ns()
            count = sum(1 for _ in read(source))
            took = (time.perf_counter_ns() - start) / 1e6
            if number:
                times[name].append(took)
            if name == "edge_dx":
                frames = count
    return Laps(frames, times)


def readable(path: Path) -> list[str]:
    """Those of the three that give tensors for a file at all."""
    found = []
    for name in ("edge_dx", "pydicom", "dcmtk"):
        try:
            for _ in CONTENDERS[name](path):
                pass
        except Exception as error:  # each has errors of its own
            told = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            print(f"{path.name}: {name} does not read it ({told!s:.120})", file=sys.stderr)
        else:
            found.append(name)
    return found


def alone(name: str, path: Path, frames: int) -> dict[str, float]:
    """A fresh process: milliseconds to the first tensor, and peak resident MB after all frames."""
    start = time.perf_counter_ns()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("readers.py")), name, str(path), str(frames)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    first_ms = (time.perf_counter_ns() - start) / 1e6
    last = process.stdout.read()
    if process.wait():
        raise RuntimeError(f"{name} failed on {path}")
    return {"first_ms": first_ms, "peak_mb": float(last)}


def long_cines(folder: Path) -> Iterator[tuple[int, Path, str]]:
    """Cines of 1 to 10,000 frames of baseline JPEG in colour, one at a time: the frames of the real
    one over and over, or of a drawn one where it is not beside the checkout.
    """
    import pydicom
    from pydicom.encaps import encapsulate, generate_frames

    from tests.sources.oracle import datasets

    real = SAMPLES / "us_cine_acuson_65f.dcm"
    told = "the frames of us_cine_acuson_65f.dcm" if real.exists() else "drawn frames"
    if real.exists():
        old = pydicom.dcmread(real)
        size, frames = (old.Rows, old.Columns), 65
    else:
        old = pydicom.dcmread(generated(folder)["jpeg"][1])
        size, frames = (SIDE, SIDE), CINE_FRAMES
    streams = list(generate_frames(old.PixelData, number_of_frames=frames))
    for count in MEMORY_FRAMES:
        data = datasets.colour("YBR_FULL_422")
        data.file_meta.TransferSyntaxUID = old.file_meta.TransferSyntaxUID
        data.NumberOfFrames, (data.Rows, data.Columns) = count, size
        data.PixelData = encapsulate([streams[n % len(streams)] for n in range(count)])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        path = folder / f"{count}.dcm"
        data.save_as(path, enforce_file_format=True)
        yield count, path, f"{told}, {size[1]} × {size[0]}"
        path.unlink()


def table(title: str, files: dict[str, Laps]) -> list[str]:
    """Markdown, a row per file."""
    lines = [
        f"## {title}, frames/s",
        "",
        "| | edge_dx | pydicom | dcmtk | dcmtk after its start | edge_dx, time × pydicom | "
        "5 % to 95 % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {label} | {laps.rate('edge_dx')} | {laps.rate('pydicom')} | {laps.rate('dcmtk')} | "
        f"{laps.rate_after_start()} | {laps.ratio()} |"
        for label, laps in files.items()
    ]
    return [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--fresh", type=int, default=7, help="fresh processes per latency figure")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sources.md"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # pydicom's, about what is odd in real headers
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.exists() else None))
    try:
        text = report(folder, options.rounds, options.fresh)
    finally:
        shutil.rmtree(folder)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)
    return 0


def report(folder: Path, rounds: int, fresh: int) -> str:
    """All of it."""
    from edge_dx import device
    from tests.sources.oracle import datasets

    header = datasets.grey("MONOCHROME2", 8, signed=False)
    tiny = datasets.store(header, np.ones((1, 8, 8), np.uint8), "explicit", folder / "tiny.dcm")
    files = generated(folder)
    films = {name: measured(film, tiny, rounds) for name, (film, _) in files.items()}
    cines = {name: measured(cine, tiny, rounds) for name, (_, cine) in files.items()}
    copies = [Path(shutil.copy(path, folder)) for path in sorted(SAMPLES.glob("*.dcm"))]
    real = {path.stem: measured(path, tiny, rounds) for path in copies}
    starts = [np.median(laps.times[START]) for laps in films.values() if START in laps.times]
    start = f"{np.median(starts):.0f} ms" if starts else "not here"

    lines = [
        "# Sources benchmark", "",
        f"`python benchmarks/sources.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, "
        f"{versions()}; {rounds} interleaved rounds, files in memory, one thread. Tensors are "
        "float32 after the whole grey pipeline. DCMTK is a process per file and renders 8 bit, "
        f"not 16; its start (a file of 8 × 8 pixels: {start}) is told apart. edge_dx "
        "works out the file's SHA-256 too, which a result carries.", "",
    ]  # fmt: skip
    lines += table(f"Single film, {SIDE} × {SIDE}, 12 bit with a window", films)
    lines += table(f"Cine of {CINE_FRAMES} frames, {SIDE} × {SIDE} RGB", cines)
    if real:
        lines += table("Real files", real)
    lines += latency(files["explicit"][0], files["jpeg"][1], fresh)
    lines += peak_memory(folder)
    return "\n".join(lines)


def latency(film: Path, cine: Path, fresh: int) -> list[str]:
    """Process start to the first tensor."""
    from tests.sources.oracle import dcmtk

    lines = ["## Process start to the first tensor", ""]
    lines += ["| file | contender | ms (median) | least to most |", "| --- | --- | --- | --- |"]
    for label, path in (("film, native", film), ("cine, JPEG", cine)):
        laps: Times = {name: [] for name in ("edge_dx", "pydicom", "dcmtk")}
        if dcmtk.MISSING:
            del laps["dcmtk"]
        for _ in range(fresh):
            for name in laps:
                one = first_by_dcmtk(path) if name == "dcmtk" else alone(name, path, 1)["first_ms"]
                laps[name].append(one)
        lines += [
            f"| {label} | {name} | {np.median(found):.0f} | {min(found):.0f} to {max(found):.0f} |"
            for name, found in laps.items()
        ]
    return [*lines, ""]


def first_by_dcmtk(path: Path) -> float:
    """Milliseconds for the first frame alone; reading its picture is left out."""
    program, window = asked_of_dcmtk(path)
    start = time.perf_counter_ns()
    subprocess.run([program, "-q", "+F", "1", *window, "+op", str(path), os.devnull], check=True)
    return (time.perf_counter_ns() - start) / 1e6


def peak_memory(folder: Path) -> list[str]:
    """Against the number of frames."""
    lines: list[str] = []
    for count, path, told in long_cines(folder):
        if not lines:
            lines = [
                f"## Peak resident memory against frames ({told}, baseline JPEG)",
                "",
                "| frames | file | edge_dx, all frames | its first tensor after | "
                "pydicom, frame by frame | pydicom, pixel_array |",
                "| --- | --- | --- | --- | --- | --- |",
            ]
        found = alone("edge_dx", path, count)
        one_by_one = alone("pydicom", path, count)["peak_mb"]
        stacked = "not run: the array alone is gigabytes"
        if count <= 1_000:
            stacked = f"{alone('pydicom, pixel_array', path, count)['peak_mb']:.0f} MB"
        lines.append(
            f"| {count} | {path.stat().st_size / 2**20:.1f} MB | {found['peak_mb']:.0f} MB | "
            f"{found['first_ms']:.0f} ms | {one_by_one:.0f} MB | {stacked} |"
        )
    return [*lines, ""]


def versions() -> str:
    from importlib.metadata import version

    names = ("pydicom", "pillow", "pyjpegls", "pylibjpeg-openjpeg", "python-gdcm", "numpy")
    return ", ".join(f"{name} {version(name)}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
