"""Picture files: read exactly, or refused with a reason."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_dx import sources
from edge_dx.errors import InputError, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.result import Reason
from edge_dx.sources import files
from tests import tiny

Array = np.ndarray[Any, Any]

GREY = tiny.film(1, 48)[:40]  # height and width differ
DEEP = GREY.astype(np.uint16) * 257 + np.arange(48, dtype=np.uint16)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def saved(picture: Array | Image.Image, kind: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(raw: bytes) -> sources.Study:
    return files.from_bytes(raw, Path("film.x"))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(idat: bytes, width: int = 48, height: int = 40, before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    mark = b"\x89PNG\r\n\x1a\n"
    return mark + before + header + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


LINES = b"".join(b"\0" + row.tobytes() for row in GREY)


def tiff(data: bytes, bits: int = 8, photometric: int = 1, order: str = "<", **more: Any) -> bytes:
    """An uncompressed grey TIFF of one strip."""
    width, height = more.get("size", (48, 40))
    entries: list[tuple[int, int, int, int | None]] = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, None), (277, 3, 1, 1), (278, 4, 1, height),
        (279, 4, 1, more.get("counted", len(data))), *more.get("tags", ()),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, n, value in entries:
        out += struct.pack(order + "HHI", tag, kind, n)
        told = start if value is None else value
        out += struct.pack(order + "H2x", told) if kind == 3 else struct.pack(order + "I", told)
    return out + struct.pack(order + "I", more.get("following", 0)) + data


# --- read exactly ---


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("picture", [GREY, DEEP, COLOUR], ids=["grey", "deep", "colour"])
def test_lossless_pictures_are_read_exactly(kind: str, picture: Array) -> None:
    study = read(saved(picture, kind))
    assert study.shape == (40, 48)
    assert study.pixels.dtype == picture.dtype
    assert np.array_equal(study.pixels, picture)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_is_read_exactly(suffix: str) -> None:
    deep = COLOUR.astype(np.uint16) * 257
    raw = cv2.imencode(suffix, deep[..., ::-1])[1].tobytes()  # OpenCV writes BGR
    assert np.array_equal(read(raw).pixels, deep)


@pytest.mark.parametrize(("mode", "kind"), [
    ("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "TIFF"),
    ("RGBA", "TIFF"), ("LA", "TIFF"), ("P", "TIFF"),
])  # fmt: skip
def test_a_grey_film_is_grey_however_it_is_stored(mode: str, kind: str) -> None:
    study = read(saved(Image.fromarray(GREY).convert(mode), kind))
    assert np.array_equal(study.pixels, GREY)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "raw"])
@pytest.mark.parametrize("picture", [GREY, DEEP], ids=["grey", "deep"])
def test_compressed_tiffs_are_read_exactly(compression: str, picture: Array) -> None:
    assert np.array_equal(read(saved(picture, "TIFF", compression=compression)).pixels, picture)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_a_tiff_says_whether_zero_is_white(order: str, white_is_zero: bool) -> None:
    photometric = 0 if white_is_zero else 1
    small = read(tiff(GREY.tobytes(), 8, photometric, order)).pixels
    large = read(tiff(DEEP.astype(order + "u2").tobytes(), 16, photometric, order)).pixels
    assert np.array_equal(small, 255 - GREY if white_is_zero else GREY)
    assert np.array_equal(large, 65535 - DEEP if white_is_zero else DEEP)


@pytest.mark.parametrize(("tag", "turned"), [
    (1, lambda a: a), (2, lambda a: a[:, ::-1]), (3, lambda a: a[::-1, ::-1]),
    (4, lambda a: a[::-1]), (5, lambda a: a.T), (6, lambda a: np.rot90(a, -1)),
    (7, lambda a: np.rot90(a.T, 2)), (8, lambda a: np.rot90(a)),
])  # fmt: skip
@pytest.mark.parametrize("deep", [False, True])
def test_a_tiff_is_turned_as_its_orientation_says(
    tag: int, turned: Callable[[Array], Array], deep: bool
) -> None:
    picture = DEEP if deep else GREY
    study = read(tiff(picture.tobytes(), 16 if deep else 8, tags=[(274, 3, 1, tag)]))
    assert study.shape == turned(picture).shape
    assert np.array_equal(study.pixels, turned(picture))


def test_a_jpeg_is_close_and_a_grey_one_is_grey() -> None:
    for picture in (Image.fromarray(GREY), Image.fromarray(GREY).convert("RGB")):
        out = read(saved(picture, "JPEG", quality=95)).pixels
        assert out.shape == GREY.shape
        assert np.abs(out.astype(int) - GREY).max() < 12
    smooth = np.stack([GREY, GREY // 2, 255 - GREY // 3], axis=-1)
    colour = read(saved(smooth, "JPEG", quality=95, subsampling=0)).pixels
    assert np.abs(colour.astype(int) - smooth).mean() < 4  # red is first, blue last
    progressive = read(saved(GREY, "JPEG", quality=95, progressive=True)).pixels
    assert np.abs(progressive.astype(int) - GREY).max() < 12


def test_an_orientation_in_exif_is_left_alone_like_in_the_viewer_of_a_modality() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert read(saved(GREY, "JPEG", exif=exif)).pixels.shape == GREY.shape


def test_the_facts_of_a_picture(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "film.png"
    path.write_bytes(saved(GREY, "PNG"))
    for source in (path, str(path)):
        study = sources.read(source)
        assert study.path == path
        assert study.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert study.modality is None
        assert study.frames == 1
        assert "modality not stated" in study.assumed
    assert sources.read(study) is study


# --- refused ---


def refused(raw: bytes, reason: str, told: str | None = None) -> None:
    with pytest.raises(InputError, match=told) as caught:
        _ = read(raw).pixels
    assert caught.value.reason == reason
    assert str(caught.value).startswith("film.x: ")
    Reason(caught.value.reason)


def test_transparency_is_refused() -> None:
    glass = Image.fromarray(np.dstack([COLOUR, np.full((40, 48), 128, np.uint8)]))
    refused(saved(glass, "PNG"), "colour", "partly transparent")


def test_several_pages_or_frames_are_refused() -> None:
    page = Image.fromarray(GREY)
    other = Image.fromarray(255 - GREY)
    several = {"save_all": True, "append_images": [other]}
    refused(saved(page, "TIFF", **several), "frames", "several pages; give one page per file")
    refused(saved(page, "PNG", **several), "frames", "animated")


def test_other_number_types_are_refused() -> None:
    refused(saved(GREY.astype(np.float32), "TIFF"), "format", "8 and 16 bit integers")
    refused(saved(GREY.astype(np.int32), "TIFF"), "format", "8 and 16 bit integers")
    refused(tiff(DEEP.tobytes(), 16, tags=[(339, 3, 1, 2)]), "format", "int16")


@pytest.mark.parametrize("raw", [b"hello world\n", b"GIF89a" + bytes(50), b"BM" + bytes(50),
                                 b"%PDF-1.7", b"\0" * 500, b"RIFF\0\0\0\0WEBPVP8 ",
                                 b"II+\0\x08\0\0\0" + bytes(40)])  # fmt: skip
def test_what_is_no_picture_that_is_read_says_so(raw: bytes) -> None:
    refused(raw, "format", "not a PNG, JPEG, TIFF or DICOM file")


def test_an_empty_file_says_so() -> None:
    refused(b"", "unreadable", "the file is empty")


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (10**6, 65), (8001, 8000)])
def test_a_size_too_large_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("decoded what it should not")

    monkeypatch.setattr(cv2, "imdecode", never)
    refused(png(zlib.compress(LINES), *size), "too_large", "more than the")
    refused(tiff(GREY.tobytes(), size=size), "too_large", "more than the")
    jpeg = bytearray(saved(GREY, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65535, 65535)
    refused(bytes(jpeg), "too_large")


def test_a_second_png_header_cannot_hide_the_size_that_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    huge = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0))
    refused(png(zlib.compress(LINES), before=huge), "unreadable", "two headers")
    refused(png(zlib.compress(LINES), before=chunk(b"tEXt", b"a\0b")), "unreadable", "begin with")


@pytest.mark.parametrize("size", [(47, 40), (48, 39), (49, 40), (48, 41), (0, 40), (48, 0)])
def test_a_size_that_lies_gives_pixels_of_that_size_or_an_error(size: tuple[int, int]) -> None:
    jpeg = bytearray(saved(GREY, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", size[1], size[0])
    for raw in (png(zlib.compress(LINES), *size), tiff(GREY.tobytes(), size=size), bytes(jpeg)):
        try:
            assert read(raw).pixels.shape[:2] == (size[1], size[0])
        except InputError as error:
            assert error.reason == "unreadable"  # noqa: PT017 (no error is right too)


def test_a_png_stream_that_ends_early_is_refused_though_its_checksums_hold() -> None:
    whole = zlib.compress(LINES)
    assert np.array_equal(read(png(whole)).pixels, GREY)
    for stream in (whole[:-1], whole[: len(whole) // 2], b"", zlib.compress(LINES[:700])):
        refused(png(stream), "unreadable", "damaged")


def test_a_tiff_strip_outside_the_file_is_refused() -> None:
    refused(tiff(GREY.tobytes()[:-1], counted=40 * 48), "unreadable", "cut short")
    refused(tiff(GREY.tobytes()[:1000]), "unreadable")
    refused(tiff(GREY.tobytes(), following=8), "frames")


def test_a_tiff_directory_that_points_at_much_costs_little() -> None:
    import time

    count = 300  # as many as 65535 are possible; so few already show it
    entry = struct.pack("<HHII", 273, 4, 1_000_000, 8)
    raw = b"II*\0" + struct.pack("<IH", 8, count) + entry * count + bytes(4_500_000)
    started = time.monotonic()
    with pytest.raises(InputError):
        _ = read(raw).pixels
    assert time.monotonic() - started < 2


WHOLE = {
    "png": saved(GREY, "PNG"),
    "png16": saved(DEEP, "PNG"),
    "jpeg": saved(GREY, "JPEG"),
    "progressive": saved(COLOUR, "JPEG", progressive=True),
    "tiff": saved(GREY, "TIFF"),
    "lzw": saved(DEEP, "TIFF", compression="tiff_lzw"),
    "deflate": saved(COLOUR, "TIFF", compression="tiff_deflate"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_file_is_refused_at_every_length(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = WHOLE[kind]
    _ = read(raw).pixels
    for length in range(0, len(raw), 7):
        with pytest.raises(InputError) as caught:
            _ = read(raw[:length]).pixels
        assert isinstance(caught.value, (UnreadableInput, UnsupportedInput))
        Reason(caught.value.reason)


@pytest.mark.parametrize("kind", WHOLE)
def test_flipped_bytes_give_pixels_or_a_typed_error(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(WHOLE[kind])
    generator = np.random.default_rng(0)
    errors = 0
    places = generator.integers(0, len(raw), 400)
    for at in [*range(min(64, len(raw))), *places.tolist()]:
        before = raw[at]
        raw[at] = int(generator.integers(0, 256))
        try:
            study = read(bytes(raw))
            assert study.pixels.shape[:2] == study.shape
        except InputError as error:
            Reason(error.reason)
            errors += 1
        raw[at] = before
    assert errors
    if kind.startswith("png"):
        assert errors > 450  # but for a byte that kept its value, each is covered by a checksum


# --- paths ---


def test_paths_that_give_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        sources.read(tmp_path / "none.png")
    with pytest.raises(UnreadableInput, match="cannot be read") as caught:
        sources.read(tmp_path)
    assert caught.value.reason == "unreadable"
    for name in ("with\0null.png", "x" * 5000):
        with pytest.raises(UnreadableInput, match="cannot be read"):
            sources.read(name)
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    with pytest.raises(UnsupportedInput, match=r"notes\.png: not a PNG"):
        sources.read(text)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(WHOLE["png"])
    path.chmod(0)
    with pytest.raises(UnreadableInput, match="Permission denied"):
        sources.read(path)


def test_a_file_above_the_cap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(WHOLE["png"])
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="larger than 100 bytes") as caught:
        sources.read(path)
    assert caught.value.reason == "too_large"


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.png")
    with pytest.raises(UnreadableInput, match="no regular file"):
        sources.read(tmp_path / "film.png")
