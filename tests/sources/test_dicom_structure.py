"""The walk over a DICOM file: what is kept for pydicom, and what is refused before it is asked."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import header, structure
from edge_dx.sources.limits import MAX_ELEMENTS
from tests.sources.test_dicom import FILM, encoded, read
from tests.sources.test_dicom import dicom as made
from tests.sources.test_dicom_facts import region
from tests.sources.test_dicom_frames import DECODED, FILMS, STREAMS, cine, macro

N = len(STREAMS)


def fragments(*parts: bytes) -> bytes:
    """Bare pixel data; the first part is the offset table."""
    padded = [part + bytes(len(part) % 2) for part in parts]
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(p)) + p for p in padded)


def run_lengths(film: bytes) -> bytes:
    """An RLE frame of one segment, all of it literal."""
    runs = [film[i : i + 128] for i in range(0, len(film), 128)]
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"".join(
        bytes([len(run) - 1]) + run for run in runs
    )


def nested(depth: int) -> bytes:
    """Ultrasound regions within each other, implicit and of stated length."""
    found = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(found)) + found
        found = struct.pack("<HHI", 0x18, 0x6011, len(item)) + item
    return found


# --- the header ---


def test_pydicom_gets_what_is_looked_at_and_nothing_else() -> None:
    private = Dataset()
    private.add_new(0x00191001, "OB", bytes(5000))
    found = made(Modality="US", SequenceOfUltrasoundRegions=[region(0, 0, 9, 9)])
    found.add_new(0x00190010, "LO", "SOMEBODY")
    found.add_new(0x00191002, "SQ", [private])
    for undefined in (False, True):
        found[0x00191002].is_undefined_length = undefined
        raw = encoded(found)
        file = io.BytesIO(raw)
        syntax, start, _ = structure.syntax_of(file)
        layout = structure.walk(file, len(raw), syntax, start, header.wanted())
        kept = b"".join(raw[at : at + length] for at, length in layout.header)
        assert len(kept) < 1000
        assert b"\x18\x00\x11\x60SQ" in kept
        assert b"SOMEBODY" not in kept


def test_sequences_are_walked_where_nothing_says_that_they_are_some(tmp_path: Path) -> None:
    found = made(syntax=ImplicitVRLittleEndian, Modality="US",
                 SequenceOfUltrasoundRegions=[region(0, 0, 9, 9)])  # fmt: skip
    raw = encoded(found)
    assert len(read(raw, tmp_path).regions) == 1
    at = raw.index(b"\x28\x00\x02\x00")
    with pytest.raises(UnsupportedInput, match="nest deeper") as caught:
        read(raw[:at] + nested(3000) + raw[at:], tmp_path)
    assert caught.value.reason == "too_large"


def test_a_long_value_is_refused_before_it_is_read(tmp_path: Path) -> None:
    raw = encoded(made())
    at = raw.index(b"\x28\x00\x02\x00US")
    window = b"\x28\x00\x50\x10UN\0\0" + struct.pack("<I", 2**20 + 100) + bytes(2**20 + 100)
    with pytest.raises(UnsupportedInput, match=r"film\.dcm: \(0028,1050\)") as caught:
        read(raw[:at] + window + raw[at:], tmp_path)
    assert caught.value.reason == "too_large"


def test_an_element_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    raw = encoded(made())
    at = raw.index(b"\x28\x00\x11\x00US")
    twice = raw[:at] + b"\x28\x00\x10\x00US\2\0\x14\0" + raw[at:]
    with pytest.raises(UnreadableInput, match=r"\(0028,0010\) stands there twice"):
        read(twice, tmp_path)


def test_enhanced_objects_of_many_frames_are_not_too_long(tmp_path: Path) -> None:
    count = 3000  # 4 MB of functional groups
    groups = [macro("PixelMeasuresSequence", PixelSpacing=[0.5, 0.6], SliceThickness="1.0")]
    groups[0].add_new(0x00191001, "OB", bytes(1500))
    found = made(FILM[:4, :4], Modality="CT", NumberOfFrames=count, PixelData=bytes(16 * count))
    found.PerFrameFunctionalGroupsSequence = groups * count
    study = read(encoded(found), tmp_path)
    assert (study.mm_per_px, study.frames) == ((0.5, 0.6), count)


def test_meta_information_without_end_is_refused(tmp_path: Path) -> None:
    endless = struct.pack("<HH2sH", 2, 0, b"UL", 0) * (MAX_ELEMENTS + 2)
    with pytest.raises(UnsupportedInput, match="elements") as caught:
        read(bytes(128) + b"DICM" + endless, tmp_path)
    assert caught.value.reason == "too_large"


def test_an_icon_may_be_compressed(tmp_path: Path) -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.PixelData = encapsulate(STREAMS[2:3])
    icon["PixelData"].VR = "OB"
    icon["PixelData"].is_undefined_length = True
    study = read(encoded(cine(encapsulate(STREAMS[:1]), 1, IconImageSequence=[icon])), tmp_path)
    assert np.array_equal(study.pixels, DECODED[0])


# --- the frames ---


def test_more_frames_than_announced_are_told(tmp_path: Path) -> None:
    runs = [run_lengths(film.tobytes()) for film in FILMS]
    whole = encapsulate(STREAMS)
    for found, wanted in (
        (cine(whole, 2), f"{N} frames are there, 2 announced"),
        (cine(whole, 1), f"{N} frames are there, 1 announced"),
        (cine(encapsulate(runs), 1, RLELossless), f"{N} frames are there, 1 announced"),
        (made(NumberOfFrames=2, PixelData=FILMS.tobytes()), f"{N} frames are there, 2 announced"),
        (made(NumberOfFrames=0), "0 frames are announced, taken as 1"),
    ):
        study = read(encoded(found), tmp_path)
        assert wanted in study.assumed
        assert study.pixels.shape == FILM.shape
    one = made(FILM[:1, :1], PixelData=b"\7\0")  # the second byte is padding
    assert read(encoded(one), tmp_path).assumed == ()


def test_run_lengths_of_which_each_frame_has_one_fragment(tmp_path: Path) -> None:
    runs = [run_lengths(film.tobytes()) for film in FILMS]
    study = read(encoded(cine(encapsulate(runs), 1, RLELossless)), tmp_path)
    assert np.array_equal(study.pixels, FILMS[0])


def test_compressed_pixels_in_a_file_that_says_they_are_not(tmp_path: Path) -> None:
    raw = encoded(cine(fragments(b"", FILM.tobytes()), 1))
    raw = raw.replace(b"1.2.840.10008.1.2.4.50", ExplicitVRLittleEndian.encode() + bytes(3))
    with pytest.raises(UnreadableInput, match="compressed, against its transfer syntax"):
        _ = read(raw, tmp_path).pixels


def test_empty_fragments_between_the_frames(tmp_path: Path) -> None:
    value = fragments(b"", STREAMS[0], b"", STREAMS[1], b"", b"")
    study = read(encoded(cine(value, 2)), tmp_path)
    assert np.array_equal(np.stack(list(study.each())), DECODED[:2])


def test_a_run_length_stream_longer_than_its_frame_is_refused(tmp_path: Path) -> None:
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x00" * 100_000
    with pytest.raises(UnreadableInput, match="longer than its frame"):
        _ = read(encoded(cine(encapsulate([bomb]), 1, RLELossless)), tmp_path).pixels


def test_a_million_frames_take_no_room(tmp_path: Path) -> None:
    count = 10**6
    study = read(
        encoded(made(FILM[:1, :1], NumberOfFrames=count, PixelData=bytes(count))), tmp_path
    )
    assert study.frames == count
    assert study.frame(count - 1).shape == (1, 1)
    places = getattr(study.decode, "_planned")().places  # noqa: B009 (what takes the room)
    assert not hasattr(places, "__len__")
    assert len(places(count - 1)) == 1
