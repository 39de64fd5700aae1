"""The same classes for pictures: PNG, JPEG and TIFF that lie about themselves."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_dx.errors import InputError
from edge_dx.image import Pixels
from edge_dx.sources import Study
from tests import tiny
from tests.hostile import build

Look = Callable[..., tuple[Study, Pixels]]
FILM = tiny.film(1, 32)


def deflated(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def refused(look: Look, raw: bytes, *reasons: str) -> None:
    with pytest.raises(InputError) as caught:
        look(raw, name="hostile.png")
    assert caught.value.reason in reasons, caught.value
    assert "hostile.png: " in str(caught.value), "the file is not named"


# --- bombs ---


def test_a_png_that_grows_a_thousandfold_takes_no_more_than_its_pixels(look: Look) -> None:
    raw = build.png(8000, 8000, deflated(8000 * 8001))
    assert len(raw) < 70_000
    assert look(raw, name="hostile.png")[1].nbytes == 64 * 10**6


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_a_bomb_beside_the_pixels_of_a_png_is_not_inflated(look: Look, kind: bytes) -> None:
    plain = build.png(4, 4, deflated(20))
    middle = b"\1\0\0\0" if kind == b"iTXt" else b"\0"
    bomb = build.chunk(kind, b"x\0" + middle + deflated(300 * 2**20))
    _, pixels = look(plain[:33] + bomb + plain[33:], name="hostile.png")
    assert pixels.shape == (4, 4)


def test_a_png_of_more_bytes_than_are_read_is_refused(look: Look) -> None:
    refused(look, build.png(8000, 8000, deflated(1000), depth=16, colour=6), "too_large")


def test_a_tiff_that_grows_a_thousandfold_takes_no_more_than_its_pixels(look: Look) -> None:
    raw = build.grey_tiff(8000, 8000, deflated(64 * 10**6), t259=(3, 1, 8))
    assert look(raw, name="hostile.png")[1].nbytes == 64 * 10**6


@pytest.mark.parametrize("in_tiff", [False, True])
def test_a_jpeg_of_thousands_of_scans_is_refused(look: Look, in_tiff: bool) -> None:
    whole = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8),
                         [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()  # fmt: skip
    raw = whole[:-2] + bytes.fromhex("ffda0008010100013f10 0000") * 10_000 + b"\xff\xd9"
    if in_tiff:
        raw = build.grey_tiff(4000, 4000, raw, t259=(3, 1, 7))
    refused(look, raw, "too_large")


# --- dimensions ---


@pytest.mark.parametrize(
    ("width", "height"), [(2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (65536, 65536), (2**31, 2)]
)
def test_a_png_whose_dimensions_overflow_is_refused(look: Look, width: int, height: int) -> None:
    refused(look, build.png(width, height, deflated(100)), "too_large")


def test_a_jpeg_of_the_largest_dimensions_is_refused(look: Look) -> None:
    raw = bytearray(cv2.imencode(".jpg", FILM)[1].tobytes())
    struct.pack_into(">HH", raw, raw.index(b"\xff\xc0") + 5, 65535, 65535)
    refused(look, bytes(raw), "too_large")


@pytest.mark.parametrize(
    ("width", "height"), [(2**32 - 1, 2**32 - 1), (2**16, 2**16), (2**31, 2), (2**32 - 1, 1)]
)
def test_a_tiff_whose_dimensions_overflow_is_refused(look: Look, width: int, height: int) -> None:
    refused(look, build.grey_tiff(width, height, bytes(100)), "too_large", "unreadable")


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_damage(look: Look, size: tuple[int, int]) -> None:
    refused(look, build.png(*size, deflated(10)), "unreadable")
    refused(look, build.grey_tiff(*size, bytes(10)), "unreadable")


# --- pixels that are not there ---


def test_a_png_with_too_few_pixels_is_damage(look: Look) -> None:
    refused(look, build.png(8000, 8000, deflated(100)), "unreadable")


def test_a_jpeg_without_an_end_is_damage(look: Look) -> None:
    refused(look, cv2.imencode(".jpg", FILM)[1].tobytes()[:-300], "unreadable")


def test_a_tiff_whose_strip_leaves_the_file_is_damage(look: Look) -> None:
    raw = build.grey_tiff(32, 32, bytes(1024), t273=(4, 1, 2**32 - 8))
    refused(look, raw, "unreadable")
    refused(look, build.grey_tiff(32, 32, bytes(1024), t279=(4, 1, 2**32 - 8)), "unreadable")


def test_a_palette_index_out_of_range_reads_nothing_beyond_the_palette(look: Look) -> None:
    head = build.chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 3, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\xff" * 16) * 16)
    raw = (b"\x89PNG\r\n\x1a\n" + head + build.chunk(b"PLTE", b"\x40\x40\x40")
           + build.chunk(b"IDAT", rows) + build.chunk(b"IEND", b""))  # fmt: skip
    try:
        _, pixels = look(raw, name="hostile.png")
    except InputError:
        return
    assert len(np.unique(pixels)) == 1, "what lies behind the palette was shown"


# --- directories and chunks ---


def test_a_tiff_directory_longer_than_the_file_is_damage(look: Look) -> None:
    refused(look, build.tiff({256: (4, 1, 32)}, count=65535), "unreadable")


def test_a_tiff_of_many_entries_that_all_point_to_a_million_values_is_read_at_once(
    look: Look,
) -> None:
    entry = struct.pack("<HHII", 273, 4, 1_000_000, 8)
    raw = b"II*\0" + struct.pack("<IH", 8, 60_000) + entry * 60_000 + bytes(4) + bytes(4_000_000)
    begun = time.monotonic()
    refused(look, raw, "unreadable", "format")
    assert time.monotonic() - begun < 2


def test_a_tiff_directory_that_follows_itself_is_not_followed(look: Look) -> None:
    raw = build.tiff({256: (4, 1, 32), 257: (4, 1, 32)}, following=8)
    refused(look, raw, "frames")


@pytest.mark.parametrize(
    "changes",
    [
        {"t258": (3, 1, 64), "t339": (3, 1, 3)},
        {"t277": (3, 1, 65535)},
        {"t322": (4, 1, 2**31 - 16), "t323": (4, 1, 2**31 - 16), "t324": (4, 1, 200),
         "t325": (4, 1, 100)},
        {"t259": (3, 1, 34712)},
        {"t259": (3, 1, 4), "t258": (3, 1, 1)},
    ],
    ids=["64 bits", "65535 samples", "a tile of 2^62 pixels", "unknown coding", "fax"],
)  # fmt: skip
def test_a_tiff_that_lies_about_its_coding_is_refused(
    look: Look, changes: dict[str, tuple[int, int, int]]
) -> None:
    raw = build.grey_tiff(32, 32, bytes(1024), **changes)
    refused(look, raw, "unreadable", "format", "too_large")


def test_a_png_chunk_longer_than_the_file_is_damage(look: Look) -> None:
    raw = build.png(4, 4, deflated(20))
    for at in (8, 33):
        spoilt = bytearray(raw)
        struct.pack_into(">I", spoilt, at, 2**31 - 1)
        refused(look, bytes(spoilt), "unreadable")


def test_hundreds_of_thousands_of_chunks_are_walked_in_time(look: Look) -> None:
    plain = build.png(4, 4, deflated(20))
    raw = plain[:33] + build.chunk(b"tEXt", b"a\0b") * 300_000 + plain[33:]
    assert look(raw, name="hostile.png")[1].shape == (4, 4)


def test_what_is_no_picture_is_named_by_its_bytes_and_not_by_its_name(look: Look) -> None:
    for raw in (b"MZ\x90\0" + bytes(200), b"\x7fELF" + bytes(200), b"#!/bin/sh\n", b"%PDF-1.7",
                b"GIF89a" + bytes(99), b"<svg>", b"\x1f\x8b\x08" + bytes(99)):  # fmt: skip
        refused(look, raw, "format")
