"""The known ways in which DICOM files have broken their readers, one test for each.

Orthanc CVE-2026-5437 to -5445 (deflate bomb, unbounded length, dimension overflow, palette index),
fo-dicom #2165, pydicom CVE-2026-32711 (path traversal), Diomede #99 (executable preamble), and
what pydicom was seen to do: recursion, pixels that are short without a word.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_dx.errors import InputError
from edge_dx.image import Pixels
from edge_dx.sources import Study
from edge_dx.sources.limits import MAX_NESTING, MAX_SCANS
from tests import tiny
from tests.hostile import build

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

Look = Callable[..., tuple[Study, Pixels]]
PRIVATE = (0x0029, 0x1010)


def refused(look: Look, raw: bytes, reason: str, frame: int = 0) -> str:
    with pytest.raises(InputError) as caught:
        look(raw, frame)
    assert caught.value.reason == reason, caught.value
    assert "hostile.dcm: " in str(caught.value), "the file is not named"
    return str(caught.value)


def test_a_well_formed_film_is_read(look: Look) -> None:
    study, pixels = look(build.film())
    assert pixels.shape == study.shape == (32, 32)
    assert np.array_equal(pixels.astype("<u2").tobytes(), build.pixels())


# --- gzip bomb ---


def test_a_deflated_data_set_that_grows_without_end_is_refused(look: Look) -> None:
    bomb = build.element(PRIVATE, "OB", bytes(300 * 2**20))
    raw = build.film(extra=bomb, syntax=build.DEFLATED)
    assert len(raw) < 400_000
    told = refused(look, raw, "too_large")
    assert "grows beyond" in told


def test_a_deflated_picture_of_pixels_that_are_all_alike_is_still_read(look: Look) -> None:
    raw = build.film(data=bytes(2048), syntax=build.DEFLATED)
    assert look(raw)[1].shape == (32, 32)


def test_a_deflated_data_set_cut_short_is_damaged(look: Look) -> None:
    refused(look, build.film(syntax=build.DEFLATED)[:-20], "unreadable")


# --- unbounded length ---


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x80000000, 0x7FFFFFFF, 4096])
def test_a_length_beyond_the_end_of_the_file_is_damage(look: Look, length: int) -> None:
    refused(look, build.film(extra=build.element(PRIVATE, "OB", b"ab", length)), "unreadable")


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x80000000, 1 << 20])
def test_pixels_of_a_length_beyond_the_end_are_damage(look: Look, length: int) -> None:
    tail = build.element((0x7FE0, 0x10), "OW", build.pixels(), length)
    refused(look, build.film(tail=tail), "unreadable")


def test_a_value_without_a_length_that_is_no_sequence_is_damage(look: Look) -> None:
    refused(
        look, build.film(extra=build.element(PRIVATE, "OB", b"", build.UNDEFINED)), "unreadable"
    )


def test_a_length_beyond_the_end_in_the_meta_information_is_damage(look: Look) -> None:
    meta = build.element((2, 1), "OB", b"\0\1", 0xFFFFFFF0)
    refused(look, bytes(128) + b"DICM" + meta + build.dataset(build.facts(), b""), "unreadable")


@pytest.mark.parametrize(
    "inner",
    [
        build.item(b"", 0xFFFFFFF0),
        build.item(build.element((8, 0x60), "CS", b"DX", 0xFFF0)),
        build.item(build.element(PRIVATE, "OB", b"", 0xFFFFFFF0)),
        build.element((8, 0x60), "CS", b"DX"),
    ],
    ids=["item", "short value", "long value", "no item"],
)
def test_lengths_that_leave_their_sequence_are_damage(look: Look, inner: bytes) -> None:
    refused(look, build.film({(0x0018, 0x6011): ("SQ", inner)}), "unreadable")


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x10000])
def test_a_fragment_longer_than_the_file_is_damage(look: Look, length: int) -> None:
    inner = build.item() + build.item(b"\xff\xd8\xff\xd9", length)
    tail = build.element((0x7FE0, 0x10), "OB", inner, build.UNDEFINED)
    refused(look, build.film(tail=tail, syntax=build.JPEG), "unreadable")


# --- dimension overflow ---


def sized(
    rows: int, columns: int, samples: int = 1, bits: int = 16
) -> dict[build.Tag, build.Value]:
    colours = {1: b"MONOCHROME2 ", 3: b"RGB "}
    return {
        **build.facts(rows, columns, bits),
        (0x28, 2): ("US", build.u16(samples)),
        (0x28, 4): ("CS", colours[samples]),
    }


@pytest.mark.parametrize(
    ("rows", "columns", "samples", "bits"),
    [
        (65535, 65535, 1, 16),
        (65535, 65535, 3, 16),
        (32768, 32768, 1, 32),  # 2^32 bytes: nothing, in 32 bits
        (65535, 32769, 1, 16),  # a little more than 2^32
        (8000, 8000, 3, 16),  # few enough pixels, too many bytes
    ],
)
def test_dimensions_whose_product_overflows_are_refused(
    look: Look, rows: int, columns: int, samples: int, bits: int
) -> None:
    refused(look, build.film(sized(rows, columns, samples, bits)), "too_large")


@pytest.mark.parametrize(("rows", "columns"), [(0, 32), (32, 0), (0, 0)])
def test_a_picture_without_pixels_is_damage(look: Look, rows: int, columns: int) -> None:
    refused(look, build.film(sized(rows, columns)), "unreadable")


def test_more_bits_than_there_is_room_for_are_damage(look: Look) -> None:
    refused(look, build.film({(0x28, 0x101): ("US", build.u16(64))}), "unreadable")
    refused(look, build.film({(0x28, 0x102): ("US", build.u16(200))}), "unreadable")


def test_a_compressed_stream_that_claims_another_size_than_the_header_is_damage(look: Look) -> None:
    raw = bytearray(cv2.imencode(".jpg", tiny.film(1, 32))[1].tobytes())
    at = raw.index(b"\xff\xc0")
    struct.pack_into(">HH", raw, at + 5, 65535, 65535)
    tail = build.encapsulated(bytes(raw))
    refused(look, build.film(build.facts(bits=8), tail=tail, syntax=build.JPEG), "unreadable")


def test_a_run_length_stream_that_is_far_too_short_is_damage(look: Look) -> None:
    stream = struct.pack("<16I", 2, 64, 80, *[0] * 13) + b"\x81\0" * 32
    raw = build.film(sized(8000, 8000), tail=build.encapsulated(stream), syntax=build.RLE)
    refused(look, raw, "unreadable")


def test_a_jpeg_of_thousands_of_scans_is_refused(look: Look) -> None:
    """Each is a pass over all pixels, however little is in it: minutes of work from 100 KB."""
    whole = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8),
                         [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()  # fmt: skip
    scan = bytes.fromhex("ffda0008010100013f10 0000")
    stream = whole[:-2] + scan * 10_000 + b"\xff\xd9"
    header = {**build.facts(4000, 4000, 8)}
    raw = build.film(header, tail=build.encapsulated(stream), syntax=build.JPEG)
    assert str(MAX_SCANS) in refused(look, raw, "too_large")


# --- palette and look-up tables ---


def test_an_index_outside_of_the_palette_gets_its_last_colour(look: Look) -> None:
    data = build.u16(*range(0, 16 * 4096, 4096))
    indices = bytes(512) + b"\xff" * 512
    raw = build.film({**build.facts(bits=8), **build.palette(16, data)}, indices, bits=8)
    _, pixels = look(raw)
    assert set(np.unique(pixels)) == {0, 15 * 4096 >> 8}


@pytest.mark.parametrize("entries", [17, 1000, 65535, 0])  # 0 stands for 65536
def test_a_palette_shorter_than_it_says_is_damage(look: Look, entries: int) -> None:
    header = {**build.facts(bits=8), **build.palette(entries, build.u16(*range(4)))}
    refused(look, build.film(header, bits=8, data=build.pixels(bits=8)), "unreadable")


def test_a_table_of_more_bits_than_its_entries_have_is_damage(look: Look) -> None:
    header = {**build.facts(bits=8), **build.palette(4, build.u16(1, 2, 3, 4), bits=255)}
    refused(look, build.film(header, bits=8, data=build.pixels(bits=8)), "unreadable")


@pytest.mark.parametrize("sequence", [0x3000, 0x3010])
def test_values_outside_of_a_look_up_table_get_its_ends(look: Look, sequence: int) -> None:
    table = build.element((0x28, 0x3002), "US", build.u16(4, 60000, 16))
    table += build.element((0x28, 0x3006), "OW", build.u16(0, 20000, 40000, 65535))
    _, pixels = look(build.film({(0x28, sequence): ("SQ", build.item(table))}))
    assert pixels[0, 0] == 0
    assert pixels[-1, -1] == 65535


def test_a_look_up_table_shorter_than_it_says_is_damage(look: Look) -> None:
    table = build.element((0x28, 0x3002), "US", build.u16(60000, 0, 16))
    table += build.element((0x28, 0x3006), "OW", build.u16(1, 2))
    refused(look, build.film({(0x28, 0x3000): ("SQ", build.item(table))}), "unreadable")


# --- nesting ---


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 3000, 100_000])
def test_deep_nesting_is_refused(look: Look, depth: int) -> None:
    told = refused(look, build.film(extra=build.nested(depth)), "too_large")
    assert "nest deeper" in told


def test_deep_nesting_of_stated_lengths_is_refused(look: Look) -> None:
    inner = b""
    for _ in range(3000):
        inner = build.element((0x0040, 0xA730), "SQ", build.item(inner))
    refused(look, build.film(extra=inner), "too_large")


def test_deep_nesting_of_unknown_values_is_refused(look: Look) -> None:
    head = build.element(PRIVATE, "UN", b"", build.UNDEFINED) + build.item(length=build.UNDEFINED)
    inner = struct.pack("<HHI", *PRIVATE, build.UNDEFINED) + build.item(length=build.UNDEFINED)
    refused(look, build.film(extra=head + inner * 3000), "too_large")


def test_nesting_that_reports_use_is_read(look: Look) -> None:
    assert look(build.film(extra=build.nested(10)))[1].shape == (32, 32)


def test_millions_of_empty_elements_are_refused(look: Look) -> None:
    raw = build.film(extra=build.element((0x0029, 0x1001), "LO") * 1_100_000)
    refused(look, raw, "too_large")


# --- frames and pixels that are not there ---


@pytest.mark.parametrize("told", ["2", "1000", "999999"])
def test_more_frames_than_there_are_is_damage(look: Look, told: str) -> None:
    refused(look, build.film({(0x28, 8): ("IS", build.text(told))}), "unreadable")


@pytest.mark.parametrize("told", ["1000001", "2147483647", "999999999999", "1e9"])
def test_frames_without_number_are_refused(look: Look, told: str) -> None:
    refused(look, build.film({(0x28, 8): ("IS", build.text(told))}), "too_large")


@pytest.mark.parametrize("told", ["-1", "-2147483648", "x", "1.5", "nan"])
def test_a_number_of_frames_that_is_none_is_damage(look: Look, told: str) -> None:
    refused(look, build.film({(0x28, 8): ("IS", build.text(told))}), "unreadable")


def test_fewer_compressed_frames_than_announced_are_damage(look: Look) -> None:
    jpeg = cv2.imencode(".jpg", tiny.film(1, 32))[1].tobytes()
    header = {**build.facts(bits=8), (0x28, 8): ("IS", b"50")}
    raw = build.film(header, tail=build.encapsulated(jpeg, jpeg), syntax=build.JPEG)
    refused(look, raw, "unreadable")


def test_an_offset_table_that_points_elsewhere_is_damage(look: Look) -> None:
    jpeg = cv2.imencode(".jpg", tiny.film(1, 32))[1].tobytes()
    even = jpeg + b"\0" * (len(jpeg) % 2)
    table = build.item(struct.pack("<2I", 0xFFFFFFF0, 8))
    inner = table + build.item(even) + build.item(b"\0\0") + build.item(even)
    tail = build.element((0x7FE0, 0x10), "OB", inner + build.item(tag=0xE0DD), build.UNDEFINED)
    header = {**build.facts(bits=8), (0x28, 8): ("IS", b"2 ")}
    refused(look, build.film(header, tail=tail, syntax=build.JPEG), "unreadable")


@pytest.mark.parametrize("missing", [2, 1024, 2046, 2048])
def test_fewer_pixels_than_announced_are_damage(look: Look, missing: int) -> None:
    refused(look, build.film(data=build.pixels()[: 2048 - missing]), "unreadable")


def test_compressed_pixels_cut_short_are_damage(look: Look) -> None:
    raw = build.film(build.facts(bits=8), syntax=build.JPEG, tail=build.encapsulated(
        cv2.imencode(".jpg", tiny.film(1, 32))[1].tobytes()))  # fmt: skip
    refused(look, raw[:-100], "unreadable")


def test_regions_outside_of_the_picture_are_left_out(look: Look) -> None:
    header = {**build.facts(bits=8), **build.region(5, 5, 2**32 - 1, 2**31)}
    study, _ = look(build.film(header, build.pixels(bits=8), bits=8))
    assert study.regions == ()
    assert any("outside of the picture" in told for told in study.assumed)


# --- names and programs ---


def test_no_file_is_named_by_what_a_header_says(look: Look, tmp_path: Path) -> None:
    climbing = b"../../../../tmp/edge-dx-was-here"
    raw = build.film({
        (0x0008, 0x0018): ("UI", climbing), (0x0010, 0x0020): ("LO", climbing),
        (0x0020, 0x000D): ("UI", climbing), (0x0004, 0x1500): ("CS", climbing),
    })  # fmt: skip
    look(raw)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["hostile.dcm"]
    assert not Path("/tmp/edge-dx-was-here").exists()


def test_a_directory_of_files_is_no_image_and_its_names_are_not_followed(look: Look) -> None:
    entry = build.element((0x0004, 0x1500), "CS", b"..\\..\\etc\\passwd ")
    header = {(0x0004, 0x1220): ("SQ", build.item(entry))}
    raw = build.wrapped(build.dataset(header, b""))
    assert "holds no image" in refused(look, raw, "format")


@pytest.mark.parametrize(
    "start",
    [b"MZ\x90\0", b"\x7fELF\2\1\1", b"#!/bin/sh\nexit 1\n", b"II*\0\x08\0\0\0", b"PK\x03\x04",
     b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\0\0\0\x18ftypmp42"],
    ids=["PE", "ELF", "script", "TIFF", "zip", "PNG", "JPEG", "MP4"],
)  # fmt: skip
def test_a_preamble_that_is_another_file_changes_nothing(look: Look, start: bytes) -> None:
    """The file is DICOM to whoever reads DICOM, and nothing here starts what it holds."""
    _, pixels = look(build.film(preamble=start.ljust(128, b"\0")))
    assert np.array_equal(pixels.astype("<u2").tobytes(), build.pixels())


def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], Study]) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path / "pipe.dcm")
