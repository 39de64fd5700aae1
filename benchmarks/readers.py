"""Who reads DICOM in `sources.py`: each gives float32 tensors, 0 for black to 1 for white.

    python benchmarks/readers.py NAME FILE FRAMES

reads so many frames in a process of its own, says when the first is there, then its peak memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


def by_edge_dx(path: Path) -> Iterator[Tensor]:
    from edge_dx import sources

    for pixels in sources.read(path).each():
        yield pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def by_pydicom(path: Path) -> Iterator[Tensor]:
    """Frame by frame, with the look-up functions of its documentation."""
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, iter_pixels
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    header = pydicom.dcmread(path, stop_before_pixels=True)
    deflated = header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    for stored in iter_pixels(pydicom.dcmread(path) if deflated else path):
        if header.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, header)
        if stored.ndim == 3:
            yield stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max)
            continue
        shown = apply_voi_lut(apply_modality_lut(stored, header), header).astype(np.float32)
        tensor = shown / np.float32(2**header.BitsStored - 1)
        yield 1 - tensor if header.PhotometricInterpretation == "MONOCHROME1" else tensor


def by_pydicom_array(path: Path) -> Iterator[Tensor]:
    """The usual `pixel_array`: every frame at once."""
    import pydicom

    stored = pydicom.dcmread(path).pixel_array
    for frame in stored if stored.ndim == 4 else stored[None]:
        yield frame.astype(np.float32) / np.float32(255)


def by_dcmtk(path: Path) -> Iterator[Tensor]:
    program, window = asked_of_dcmtk(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        out = Path(folder, "frame")
        subprocess.run(
            [program, "-q", "-O", "+Fa", *window, "+op", str(path), str(out)],
            check=True, capture_output=True,
        )  # fmt: skip
        for picture in sorted(Path(folder).iterdir(), key=lambda p: int(p.name.split(".")[1])):
            yield from_pnm(picture.read_bytes())


@cache
def asked_of_dcmtk(path: Path) -> tuple[str, list[str]]:
    """Which of its programs renders a file, and with which window; found out once."""
    import pydicom

    sys.path.insert(0, str(Path(__file__).parents[1]))  # the oracle of the tests knows where it is
    from tests.sources.oracle import dcmtk

    header = pydicom.dcmread(path, stop_before_pixels=True)
    syntax = str(header.file_meta.TransferSyntaxUID)
    program = dcmtk.tool(dcmtk.BY_SYNTAX.get(syntax, "dcm2pnm"))
    return str(program), ["+Wi", "1"] if "WindowWidth" in header else []


def from_pnm(raw: bytes) -> Tensor:
    kind, size, _, values = raw.split(b"\n", 3)
    columns, rows = map(int, size.split())
    shape = (rows, columns, 3) if kind == b"P6" else (rows, columns)
    return np.frombuffer(values, np.uint8).reshape(shape).astype(np.float32) / np.float32(255)


CONTENDERS: dict[str, Callable[[Path], Iterator[Tensor]]] = {
    "edge_dx": by_edge_dx,
    "pydicom": by_pydicom,
    "pydicom, pixel_array": by_pydicom_array,
    "dcmtk": by_dcmtk,
}


def main() -> int:
    name, path, frames = sys.argv[1:]
    warnings.simplefilter("ignore")  # pydicom's, about what is odd in real headers
    for number, tensor in enumerate(CONTENDERS[name](Path(path))):
        assert tensor.max() > 0
        if number == 0:
            print("first", flush=True)
        if number == int(frames) - 1:
            break
    with Path("/proc/self/status").open() as status:
        print(next(int(x.split()[1]) / 1024 for x in status if x.startswith("VmHWM")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
