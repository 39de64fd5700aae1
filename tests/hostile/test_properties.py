"""Files that Hypothesis makes up: headers of any values, and any bytes behind a format's mark."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_dx.errors import InputError
from edge_dx.sources import read
from edge_dx.sources.limits import MAX_FRAME_BYTES, MAX_FRAMES, MAX_PIXELS
from tests.hostile import attempts, build
from tests.hostile.seeds import Kind

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
pytest.importorskip("onnx", reason="onnx, which makes the tests' bundles, is not installed")

often = settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
word = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 31, 32, 33, 64, 255, 8000, 32768, 65535])
tag = st.sampled_from([
    (0x0028, e) for e in (0x2, 0x6, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x121)
])  # fmt: skip
numbers = st.sampled_from(
    [
        b"1 ",
        b"0 ",
        b"-1",
        b"3 ",
        b"1e400 ",
        b"nan ",
        b"inf ",
        b"1\\2 ",
        b"\\ ",
        b"x ",
        b"",
        b"\xff\0",
    ]
)
decimal = st.sampled_from([
    (0x0028, 0x8), (0x0028, 0x1050), (0x0028, 0x1051), (0x0028, 0x1052), (0x0028, 0x1053),
    (0x0028, 0x30), (0x0018, 0x1164), (0x0018, 0x1063), (0x0018, 0x1065), (0x0010, 0x1010),
    (0x0020, 0x32), (0x0020, 0x37), (0x0018, 0x40),
])  # fmt: skip
photometric = st.sampled_from(
    [b"MONOCHROME1 ", b"MONOCHROME2 ", b"PALETTE COLOR ", b"RGB ", b"YBR_FULL", b"YBR_FULL_422",
     b"YBR_ICT ", b"ARGB", b""]
)  # fmt: skip
syntax = st.sampled_from([build.EXPLICIT, build.DEFLATED, build.RLE, build.JPEG, build.LOSSLESS,
                          "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.3"])  # fmt: skip


@st.composite
def films(draw: st.DrawFn) -> bytes:
    """A film whose image module says anything, over pixels of any length."""
    header: dict[build.Tag, build.Value] = {
        key: ("US", build.u16(value))
        for key, value in draw(st.dictionaries(tag, word, max_size=4)).items()
    }
    header |= {
        key: ("IS" if key == (0x0028, 0x8) else "DS", value)
        for key, value in draw(st.dictionaries(decimal, numbers, max_size=3)).items()
    }
    if draw(st.booleans()):
        header[0x0028, 0x4] = ("CS", draw(photometric))
    if draw(st.booleans()):
        table = build.element((0x28, 0x3002), "US", draw(st.binary(max_size=8)))
        table += build.element((0x28, 0x3006), "OW", draw(st.binary(max_size=64)))
        header[0x28, draw(st.sampled_from([0x3000, 0x3010]))] = ("SQ", build.item(table))
    if draw(st.booleans()):
        header |= build.palette(draw(word), draw(st.binary(max_size=64)), draw(word) % 65536)
    if draw(st.booleans()):
        tail = build.encapsulated(*draw(st.lists(st.binary(max_size=80), max_size=3)))
    else:
        count = draw(st.sampled_from([0, 2, 1024, 2048, 4096, 6144]))
        vr = draw(st.sampled_from(["OW", "OB", "UN"]))
        tail = build.element((0x7FE0, 0x10), vr, bytes(count))
    return build.film(header, tail=tail, syntax=draw(syntax))


@often
@given(raw=films())
def test_a_header_of_any_values_has_an_outcome_within_the_limits(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        assert attempts.outcome("dicom", raw, Path(directory))
        path = Path(directory) / "again.dcm"
        path.write_bytes(raw)
        try:
            study = read(path)
            pixels = study.decode(study.frames - 1)
        except InputError:  # that the file is named is held elsewhere
            return
    assert pixels.shape[:2] == study.shape
    assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS
    assert pixels.nbytes <= MAX_FRAME_BYTES
    assert 1 <= study.frames <= MAX_FRAMES


MARKS: list[tuple[Kind, bytes]] = [
    ("dicom", build.wrapped(b"")), ("dicom", build.wrapped(b"", build.IMPLICIT)),
    ("dicom", build.wrapped(b"", build.BIG)), ("dicom", build.film()[:-2060]),
    ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), ("picture", b"\xff\xd8\xff"),
    ("picture", b"II*\0\x08\0\0\0"), ("picture", b"MM\0*\0\0\0\x08"), ("npy", b"\x93NUMPY\1\0"),
    ("case", b'{"facts":'), ("bundle", b"PK\x03\x04"), ("manifest", b'{"schema_version": 1,'),
    ("tflite", b"\x14\0\0\0TFL3"), ("picture", b""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "mark"), MARKS, ids=lambda v: str(v)[:40])
def test_any_bytes_behind_a_mark_have_an_outcome(kind: Kind, mark: bytes) -> None:
    @settings(often, max_examples=60)
    @given(rest=st.binary(max_size=400))
    def tried(rest: Any) -> None:
        with tempfile.TemporaryDirectory() as directory:
            assert attempts.outcome(kind, mark + rest, Path(directory))

    tried()
