"""DCMTK's renderer as the second opinion.

It is asked for 32 bit of output, because it cuts off what is behind the point where edge_dx rounds:
at 32 bit its answer is as good as real-valued, and the one right integer of our type is the nearest
to it. No other tolerance is then needed for anything that is stored without loss.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.filereader import read_file_meta_info

Reals = NDArray[np.float64]

_UNPACKED = Path(__file__).parents[3] / "build" / "dcmtk" / "bin"
BY_SYNTAX = {
    "1.2.840.10008.1.2.4.50": "dcmj2pnm",
    "1.2.840.10008.1.2.4.51": "dcmj2pnm",
    "1.2.840.10008.1.2.4.57": "dcmj2pnm",
    "1.2.840.10008.1.2.4.70": "dcmj2pnm",
    "1.2.840.10008.1.2.4.80": "dcml2pnm",
    "1.2.840.10008.1.2.4.81": "dcml2pnm",
}
"""Which of the three renderers reads a transfer syntax; `dcm2pnm` reads all that is not here."""


class Refused(Exception):
    """DCMTK does not render the file, and says why."""


def tool(name: str) -> str | None:
    """Where a tool lies: on the PATH, or where `.ci/dcmtk` unpacks it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}{_UNPACKED}")


MISSING = None if tool("dcm2pnm") else "DCMTK is not here; `bash .ci/dcmtk` brings it"


def run(name: str, *arguments: str | Path) -> bytes:
    """The output of a tool.

    Raises:
        Refused: it failed.
    """
    program = tool(name)
    assert program is not None, MISSING
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        raise Refused(done.stderr.decode(errors="replace").strip())
    return done.stdout


def rendered(path: Path, *options: str, frame: int = 0, bits: int = 32) -> Reals:
    """What DCMTK shows of one frame, `(H, W)` or `(H, W, 3)`, 0 for black to 1 for white.

    Args:
        path: the DICOM file.
        options: what is said about windows and tables; overlays are never drawn.
        frame: counted from 0.
        bits: of the output.
    """
    syntax = read_file_meta_info(path).get("TransferSyntaxUID", "")
    told = run(
        BY_SYNTAX.get(syntax, "dcm2pnm"),
        *("-q", "-O", "+F", str(frame + 1), "+opn", str(bits)), *options, path,
    )  # fmt: skip
    if not told.startswith((b"P2", b"P3")):
        raise Refused("it wrote no picture")
    kind, size, top, values = told.split(b"\n", 3)
    columns, rows = map(int, size.split())
    shape = (rows, columns) if kind == b"P2" else (rows, columns, 3)
    return np.array(values.split(), np.float64).reshape(shape) / int(top)


def apart(pixels: NDArray[np.generic], expected: Reals) -> Reals:
    """How far each pixel is from the second opinion, in levels of its type beyond rounding."""
    assert pixels.shape == expected.shape, f"{pixels.shape} instead of {expected.shape}"
    top = np.iinfo(pixels.dtype).max
    # 2^-8 of a level covers the 32 bit of the renderer, whose last one is cut off.
    beyond: Reals = np.maximum(np.abs(pixels - expected * top) - 0.5 - 2**-8, 0)
    return beyond
