"""What a demonstration judges without anybody's films: phantoms, and images of other kinds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_dx import phantom

_SIDE = 512
_OTHER_KINDS = (
    ("CT_small.dcm", "CT"),
    ("MR_small.dcm", "MR"),
    ("examples_ybr_color.dcm", "ultrasound cine"),
)
_NO_PYDICOM = "DICOM is left out: pydicom is not installed (pip install 'edge-dx[dicom]')"


@dataclass(frozen=True)
class Drawn:
    """A phantom's file.

    Attributes:
        file: where it lies.
        what: what was drawn, in words.
        twin: the same for files that show the same phantom.
    """

    file: Path
    what: str
    twin: str


def write_phantoms(directory: Path) -> tuple[list[Drawn], str]:
    """Draws three chests, each clear and with opacities, one in each file format.

    Returns:
        The files, and what was left out, in words (empty where nothing was).
    """
    directory.mkdir(parents=True, exist_ok=True)
    has_dicom = find_spec("pydicom") is not None
    drawn: list[Drawn] = []
    for count, kind in ((0, "clear"), (6, "opacities")):
        what = f"{count} opacities" if count else "clear"
        for seed, bits in ((1, 8), (5, 16), (3, 12)):
            film = phantom.draw(seed, _SIDE, phantom.random_opacities(seed, count), bits)
            twin = f"{kind}-{seed}"
            if bits != 12:
                file = directory / f"phantom-{twin}-{bits}bit.png"
                phantom.write_png(film, file)
                drawn.append(Drawn(file, what, twin))
            elif has_dicom:
                file = directory / f"phantom-{twin}-mono1.dcm"
                phantom.write_dicom(film, file, "MONOCHROME1")
                drawn.append(Drawn(file, what, twin))
                file = directory / f"phantom-{twin}-mono2.dcm"
                phantom.write_dicom(film, file, "MONOCHROME2")
                drawn.append(Drawn(file, what, twin))
    return drawn, "" if has_dicom else _NO_PYDICOM


def other_kinds() -> tuple[list[tuple[Path, str]], str]:
    """Real DICOM files of other modalities that lie inside the pydicom package.

    Returns:
        Each with its kind, and what is missing, in words.
    """
    spec = find_spec("pydicom")
    if spec is None or spec.origin is None:
        return [], _NO_PYDICOM
    # Only what the package itself carries: pydicom's own look-up may reach for the network.
    directory = Path(spec.origin).parent / "data" / "test_files"
    found = [(directory / name, kind) for name, kind in _OTHER_KINDS
             if (directory / name).is_file()]  # fmt: skip
    missing = [name for name, _ in _OTHER_KINDS if not (directory / name).is_file()]
    return found, f"not in this pydicom: {', '.join(missing)}" if missing else ""
