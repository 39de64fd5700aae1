"""Whole files of every kind that is read, for mutations to begin with.

The tests make most of them; pydicom brings its own, and real ones are taken from `../shared/data`
where that is present. All are small: a mutation of a large file mostly hits pixels.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge_dx import manifest as contract
from edge_dx.bundle import archive_bytes, write_bundle
from tests import several, tiny
from tests.hostile import build
from tests.sources import clips

Kind = Literal["dicom", "picture", "video", "npy", "case", "bundle", "manifest", "tflite"]
KINDS: tuple[Kind, ...] = (
    "dicom", "picture", "video", "npy", "case", "bundle", "manifest", "tflite",
)  # fmt: skip
SHARED = Path(__file__).parents[3] / "shared" / "data"
STREAMS = Path(__file__).parent / "streams"
"""`tiny.film(3, 32)` as DCMTK's `dcmcjpeg +e1`, pyjpegls and openjpeg have written it: not every
machine that tests has them.
"""
_SYNTAXES = {"lossless.jpg": build.LOSSLESS, "film.jls": build.JPEG_LS, "film.j2k": build.JPEG_2000}
LARGEST = 200_000
"""Bytes. Larger real files are left out, so that all readers get their share of the time."""


@dataclass(frozen=True)
class Seed:
    """A whole file."""

    kind: Kind
    name: str
    raw: bytes


def own() -> Iterator[Seed]:
    """Files that the tests make: nobody's data, so they may be committed."""
    for make in (_dicom, _pictures, _arrays, _models):
        yield from make()


def every() -> list[Seed]:
    """Own files, pydicom's and real ones, in an order that does not depend on the machine."""
    found = [*own(), *_videos(), *_shipped(), *_real()]
    return sorted(found, key=lambda seed: (seed.kind, seed.name))


def _dicom() -> Iterator[Seed]:
    grey = np.frombuffer(build.pixels(bits=8), np.uint8).reshape(32, 32)
    jpeg = cv2.imencode(".jpg", tiny.film(3, 32))[1].tobytes()
    ramp = build.u16(*range(0, 65536, 256))
    window = {(0x28, 0x1050): ("DS", b"30000 "), (0x28, 0x1051): ("DS", b"20000 ")}
    lut = build.item(
        build.element((0x28, 0x3002), "US", build.u16(256, 0, 16))
        + build.element((0x28, 0x3006), "OW", ramp)
    )
    frames = {(0x28, 8): ("IS", b"3 "), (0x18, 0x1063): ("DS", b"33.3")}
    eight = build.facts(bits=8)
    made = {
        "plain": build.film(),
        "windowed": build.film(window),
        "voi-lut": build.film({(0x28, 0x3010): ("SQ", lut)}),
        "modality-lut": build.film({(0x28, 0x3000): ("SQ", lut)}),
        "deflated": build.film(window, syntax=build.DEFLATED),
        "nested": build.film(extra=build.nested(6)),
        "palette": build.film({**eight, **build.palette(256, ramp)}, grey.tobytes(), bits=8),
        "region": build.film({**eight, **build.region(2, 2, 29, 29)}, grey.tobytes(), bits=8),
        "cine": build.film({**eight, **frames}, grey.tobytes() * 3, bits=8),
        "jpeg": build.film(eight, tail=build.encapsulated(jpeg), syntax=build.JPEG),
        "jpeg-cine": build.film({**eight, **frames}, tail=build.encapsulated(jpeg, jpeg, jpeg),
                                syntax=build.JPEG),
        "rle": build.film(eight, tail=build.encapsulated(_run_lengths(grey)), syntax=build.RLE),
        "colour": build.film(
            {**eight, (0x28, 2): ("US", build.u16(3)), (0x28, 4): ("CS", b"RGB "),
             (0x28, 6): ("US", build.u16(0))},
            np.repeat(grey[..., None], 3, axis=2).tobytes(), bits=8,
        ),
    }  # fmt: skip
    yield from (Seed("dicom", name, raw) for name, raw in made.items())
    for name, syntax in _SYNTAXES.items():
        tail = build.encapsulated((STREAMS / name).read_bytes())
        yield Seed("dicom", name, build.film(eight, tail=tail, syntax=syntax))


def _run_lengths(grey: np.ndarray) -> bytes:
    """A frame of 8 bits as PS3.5 Annex G has it, in runs of 32 that repeat nothing."""
    runs = b"".join(b"\x1f" + row.tobytes() for row in grey)
    return struct.pack("<16I", 1, 64, *[0] * 14) + runs


def _pictures() -> Iterator[Seed]:
    film = tiny.film(4, 48)
    deep = film.astype(np.uint16) * 257
    colour = np.dstack([film, film[::-1], film.T])
    forms: list[tuple[str, np.ndarray, list[int]]] = [
        ("grey.png", film, []), ("deep.png", deep, []), ("colour.png", colour, []),
        ("grey.jpg", film, []), ("colour.jpg", colour, []),
        ("progressive.jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        ("grey.tif", film, [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        ("lzw.tif", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        ("deflate.tif", film, [cv2.IMWRITE_TIFF_COMPRESSION, 8]),
        ("packbits.tif", colour, [cv2.IMWRITE_TIFF_COMPRESSION, 32773]),
    ]  # fmt: skip
    for name, pixels, how in forms:
        raw = cv2.imencode(Path(name).suffix, pixels, how)[1].tobytes()
        yield Seed("picture", name, raw)


def _arrays() -> Iterator[Seed]:
    for name, values in (
        ("spectrum", np.array([0, 3, 1, -1, 0, 2], np.float32)),
        ("double", np.array([0, 3, 1, -1, 0, 2], np.float64)),
        ("turned", np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))),
    ):
        out = io.BytesIO()
        np.save(out, values)
        yield Seed("npy", name, out.getvalue())
    case = {"picture": "picture.png", "facts": {"age": 63, "sex": "M"}, "spectrum": "spectrum.npy"}
    yield Seed("case", "case", json.dumps(case).encode())
    yield Seed("case", "spread", json.dumps(case, indent=2, ensure_ascii=True).encode())


def _models() -> Iterator[Seed]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tiny.edx"
        parts = tiny.parts()
        manifest = parts.built()
        write_bundle(path, manifest, parts.members)
        yield Seed("bundle", "unsigned", path.read_bytes())
        told = contract.encode(manifest)
        small = archive_bytes(told, {"card.md": b"# Tiny\n"})
        yield Seed("bundle", "without-members", small)
    yield Seed("manifest", "tiny", told)
    yield Seed("manifest", "several", contract.encode(several.parts().built()))
    for precision in ("fp32", "int8"):
        yield Seed("tflite", precision, tiny.tflite_file(precision))


def _videos() -> Iterator[Seed]:
    frames = clips.pictures(4)
    with tempfile.TemporaryDirectory() as directory:
        for suffix, coding in ((".avi", "MJPG"), (".mp4", "mp4v"), (".mkv", "MJPG")):
            path = clips.write(Path(directory) / f"clip{suffix}", frames, coding)
            yield Seed("video", path.name, path.read_bytes())


def _shipped() -> Iterator[Seed]:
    try:
        import pydicom
    except ImportError:
        return
    home = Path(pydicom.__file__).parent / "data" / "test_files"
    for path in sorted(home.glob("*.dcm")):
        if path.stat().st_size <= LARGEST:
            yield Seed("dicom", f"pydicom/{path.name}", path.read_bytes())


def _real() -> Iterator[Seed]:
    wanted: tuple[tuple[Kind, str], ...] = (
        ("dicom", "dicom_samples/files/*.dcm"), ("picture", "us_breast_busi/**/*.png"),
        ("picture", "xray_*/**/*.jp*g"), ("picture", "xray_*/**/*.png"),
        ("tflite", "models_mlperf_tiny/models/*.tflite"), ("video", "us_lung_pocus/**/*.mp4"),
    )  # fmt: skip
    for kind, pattern in wanted:
        small = [p for p in sorted(SHARED.glob(pattern)) if p.stat().st_size <= LARGEST]
        for path in small[:6]:
            yield Seed(kind, f"shared/{path.name}", path.read_bytes())
