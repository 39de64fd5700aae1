"""Frames of pixel data: where they lie, one at a time, and what a stream may claim."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from edge_dx import sources
from edge_dx.errors import InputError, UnreadableInput
from edge_dx.sources import dicom
from tests.sources.test_dicom import FILM, encoded, read
from tests.sources.test_dicom import dicom as made

N = 5
FILMS = np.stack([np.roll(FILM, 7 * i, axis=1) for i in range(N)])


def jpeg(film: np.ndarray[Any, Any], **how: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(film).save(stream, "JPEG", quality=95, **how)
    return stream.getvalue()


STREAMS = [jpeg(film) for film in FILMS]
DECODED = np.stack([np.asarray(Image.open(io.BytesIO(stream))) for stream in STREAMS])


def cine(value: bytes, frames: int = N, syntax: str = JPEGBaseline8Bit, **facts: Any) -> Dataset:
    found = made(syntax=syntax, NumberOfFrames=frames, **facts)
    found.PixelData = value
    found["PixelData"].VR = "OB"
    found["PixelData"].is_undefined_length = True
    return found


def frames_of(study: sources.Study) -> np.ndarray[Any, Any]:
    return np.stack(list(study.each()))


def test_native_frames_by_number_and_in_order(tmp_path: Path) -> None:
    study = read(encoded(made(NumberOfFrames=N, PixelData=FILMS.tobytes())), tmp_path)
    assert study.frames == N
    assert np.array_equal(frames_of(study), FILMS)
    assert np.array_equal(study.frame(3), FILMS[3])
    assert np.array_equal(study.pixels, FILMS[0])
    for wrong in (-1, N):
        with pytest.raises(IndexError):
            study.frame(wrong)


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("table", [True, False])
def test_fragments_make_frames(tmp_path: Path, pieces: int, table: bool) -> None:
    value = encapsulate(STREAMS, fragments_per_frame=pieces, has_bot=table)
    assert np.array_equal(frames_of(read(encoded(cine(value)), tmp_path)), DECODED)


def test_an_extended_offset_table_is_followed(tmp_path: Path) -> None:
    value, offsets, lengths = encapsulate_extended(STREAMS)
    found = cine(value, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    assert np.array_equal(frames_of(read(encoded(found), tmp_path)), DECODED)


def test_one_frame_in_several_fragments(tmp_path: Path) -> None:
    value = encapsulate(STREAMS[:1], fragments_per_frame=4)
    study = read(encoded(cine(value, 1)), tmp_path)
    assert np.array_equal(study.pixels, DECODED[0])


def test_more_frames_than_announced_are_told_and_fewer_refused(tmp_path: Path) -> None:
    more = read(encoded(cine(encapsulate(STREAMS), 2)), tmp_path)
    assert np.array_equal(frames_of(more), DECODED[:2])
    single = read(encoded(cine(encapsulate(STREAMS), 1)), tmp_path)
    assert np.array_equal(single.pixels, DECODED[0])
    for frames, value in ((N + 1, encapsulate(STREAMS)), (N - 2, encapsulate(STREAMS[:2]))):
        with pytest.raises(UnreadableInput, match="do not make"):
            _ = read(encoded(cine(value, frames)), tmp_path).pixels
    native = read(encoded(made(NumberOfFrames=2, PixelData=FILMS.tobytes())), tmp_path)
    assert np.array_equal(frames_of(native), FILMS[:2])
    with pytest.raises(UnreadableInput, match="frames of 1920 are announced"):
        _ = read(encoded(made(NumberOfFrames=N + 1, PixelData=FILMS.tobytes())), tmp_path).pixels


def test_offsets_that_point_nowhere_are_refused(tmp_path: Path) -> None:
    value = bytearray(encapsulate(STREAMS, fragments_per_frame=2))
    value[8 + 4 : 8 + 8] = (9999).to_bytes(4, "little")
    with pytest.raises(UnreadableInput, match="do not make 5 frames"):
        _ = read(encoded(cine(bytes(value))), tmp_path).pixels


@pytest.mark.parametrize(
    "picture", [np.zeros((40, 50), np.uint8), np.zeros((4000, 4000), np.uint8),
                np.zeros((40, 48, 3), np.uint8)],
)  # fmt: skip
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(
    picture: np.ndarray[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded a stream that lies about its size")

    monkeypatch.setattr(Image, "open", never)
    with pytest.raises(UnreadableInput, match="compressed stream has"):
        _ = read(encoded(cine(encapsulate([jpeg(picture)]), 1)), tmp_path).pixels


@pytest.mark.parametrize("cut", [2, 10, 40, 300, 800])
def test_a_stream_that_is_cut_short_is_refused(cut: int, tmp_path: Path) -> None:
    value = encapsulate([STREAMS[0][:-cut]])
    with pytest.raises(UnreadableInput):
        _ = read(encoded(cine(value, 1)), tmp_path).pixels


@pytest.mark.parametrize("raw", [b"\xff\xd8", b"\xff\xd8\xff\xe0", bytes(64), b"\xff" * 64])
def test_a_stream_that_is_none_is_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _ = read(encoded(cine(encapsulate([raw + bytes(len(raw) % 2)]), 1)), tmp_path).pixels
    assert caught.value.reason == "unreadable"


def test_run_length_cines(tmp_path: Path) -> None:
    found = made(NumberOfFrames=N, PixelData=FILMS.tobytes())
    found.compress(RLELossless, FILMS, generate_instance_uid=False)
    assert np.array_equal(frames_of(read(encoded(found), tmp_path)), FILMS)


def test_runs_of_another_length_than_the_frame_are_refused(tmp_path: Path) -> None:
    wide = np.stack([FILM.astype(np.uint16)] * 2)
    found = made(wide[0], NumberOfFrames=2, PixelData=wide.tobytes())
    found.compress(RLELossless, wide, generate_instance_uid=False)
    raw = encoded(found)
    start = raw.rindex(b"\xe0\x7f\x10\x00") + 12
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(120):
        spoilt = bytearray(raw)
        for at in rng.integers(start, start + 200, 3):  # offsets of segments, first runs
            spoilt[at] = rng.integers(256)
        try:
            _ = read(bytes(spoilt), tmp_path).pixels
        except UnreadableInput:
            refused += 1
    assert refused > 20


# --- files too large to hold ---


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cine that is read from disk frame by frame."""
    monkeypatch.setattr(dicom, "HELD_BYTES", 0)
    path = tmp_path / "cine.dcm"
    path.write_bytes(encoded(made(NumberOfFrames=N, PixelData=FILMS.tobytes())))
    return path


def test_frames_come_from_disk_one_by_one(on_disk: Path, tmp_path: Path) -> None:
    study = sources.read(on_disk)
    assert np.array_equal(frames_of(study), FILMS)
    assert study.digest == read(on_disk.read_bytes(), tmp_path).digest
    path = tmp_path / "jpeg.dcm"
    path.write_bytes(encoded(cine(encapsulate(STREAMS))))
    assert np.array_equal(frames_of(sources.read(path)), DECODED)


def test_a_file_that_changes_or_goes_while_it_is_read_is_noticed(on_disk: Path) -> None:
    study = sources.read(on_disk)
    assert np.array_equal(study.frame(0), FILMS[0])
    raw = on_disk.read_bytes()
    on_disk.write_bytes(raw[:-1])
    with pytest.raises(UnreadableInput, match=r"cine\.dcm: was changed while it was read"):
        study.frame(1)
    on_disk.unlink()
    with pytest.raises(UnreadableInput, match=r"cine\.dcm: cannot be read any more"):
        study.frame(1)


# --- enhanced objects ---


def macro(sequence: str, **facts: Any) -> Dataset:
    inner, outer = Dataset(), Dataset()
    for keyword, value in facts.items():
        setattr(inner, keyword, value)
    setattr(outer, sequence, [inner])
    return outer


def test_each_frame_of_an_enhanced_object_has_its_own_transform(tmp_path: Path) -> None:
    stored = np.stack([np.full((8, 8), 100, np.uint16)] * 2)
    found = made(stored[0], NumberOfFrames=2, PixelData=stored.tobytes())
    found.SharedFunctionalGroupsSequence = [
        macro("FrameVOILUTSequence", WindowCenter=1000, WindowWidth=2000,
              VOILUTFunction="LINEAR_EXACT")
    ]  # fmt: skip
    found.PerFrameFunctionalGroupsSequence = [
        macro("PixelValueTransformationSequence", RescaleSlope=slope, RescaleIntercept=0)
        for slope in (1, 10)
    ]
    study = read(encoded(found), tmp_path)
    assert [frame[0, 0] for frame in study.each()] == [
        pytest.approx(65535 * 0.05, abs=1), pytest.approx(65535 * 0.5, abs=1)
    ]  # fmt: skip


def test_an_enhanced_object_that_speaks_of_fewer_frames_is_refused(tmp_path: Path) -> None:
    found = made(NumberOfFrames=2, PixelData=FILM.tobytes() * 2)
    found.PerFrameFunctionalGroupsSequence = [
        macro("FrameVOILUTSequence", WindowCenter=100, WindowWidth=200)
    ]
    study = read(encoded(found), tmp_path)
    assert study.frame(0).shape == FILM.shape
    with pytest.raises(UnreadableInput, match=r"film\.dcm: speaks of 1 frames and has more"):
        study.frame(1)


def test_threads_may_share_an_enhanced_object(tmp_path: Path) -> None:
    count = 40
    stored = np.full((count, 8, 8), 100, np.uint16)
    found = made(stored[0], NumberOfFrames=count, PixelData=stored.tobytes())
    found.PerFrameFunctionalGroupsSequence = [
        macro("FrameVOILUTSequence", WindowCenter=100 + i, WindowWidth=300,
              VOILUTFunction="LINEAR_EXACT") for i in range(count)
    ]  # fmt: skip
    study = read(encoded(found), tmp_path)
    alone = [int(frame[0, 0]) for frame in study.each()]
    assert len(set(alone)) == count
    numbers = [i % count for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: int(study.frame(i)[0, 0]), numbers))
    assert together == [alone[i] for i in numbers]


# --- colours of a JPEG ---

_COLOURS = np.zeros((16, 16, 3), np.uint8) + np.array([200, 40, 90], np.uint8)


def bare(stream: bytes, names: bytes) -> bytes:
    """A JPEG without its JFIF marker, and with other names for its components."""
    (length,) = struct.unpack_from(">H", stream, 4)
    out = bytearray(stream[:2] + stream[4 + length :])
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        at = out.index(marker)
        for i, name in enumerate(names):
            out[at + first + step * i] = name
    return bytes(out)


@pytest.mark.parametrize("names", [b"RGB", b"rgb", b"\1\2\3"])
def test_rgb_without_markers_is_left_as_it_is(names: bytes, tmp_path: Path) -> None:
    picture = Image.fromarray(_COLOURS, "YCbCr")  # so that its samples are stored as they are
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=100, subsampling=0)
    found = colour_cine(bare(stream.getvalue(), names), "RGB")
    out = read(encoded(found), tmp_path).pixels
    assert np.abs(out.astype(int) - _COLOURS).max() <= 2


def test_subsampled_colours_are_not_rgb_whatever_the_header_says(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(_COLOURS).save(stream, "JPEG", quality=100, subsampling=2)
    found = colour_cine(bare(stream.getvalue(), b"\1\2\3"), "RGB")
    out = read(encoded(found), tmp_path).pixels
    assert np.abs(out.astype(int) - _COLOURS).max() <= 3


def colour_cine(stream: bytes, photometric: str) -> Dataset:
    return cine(encapsulate([stream]), 1, SamplesPerPixel=3, PlanarConfiguration=0, Rows=16,
                Columns=16, PhotometricInterpretation=photometric)  # fmt: skip


# --- files that keep only half of the rules ---


def test_what_writers_leave_out_is_told(tmp_path: Path) -> None:
    raw = encoded(made())
    bare = read(raw[132:], tmp_path)  # no preamble
    assert np.array_equal(bare.pixels, FILM)
    assert "no DICOM preamble" in bare.assumed
    at = raw.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(raw[at + 6 : at + 8], "little")
    silent = read(raw[:at] + raw[at + 8 + length :], tmp_path)  # no transfer syntax
    assert np.array_equal(silent.pixels, FILM)
    assert any("transfer syntax not stated" in told for told in silent.assumed)
    item = b"\xfe\xff\x00\xe0" + (4).to_bytes(4, "little") + b"abcd"
    at = raw.index(b"\x28\x00\x02\x00US")
    stray = read(raw[:at] + item + raw[at:], tmp_path)
    assert np.array_equal(stray.pixels, FILM)
    assert any("outside of any sequence" in told for told in stray.assumed)
    padded = read(raw + bytes(300), tmp_path)
    assert np.array_equal(padded.pixels, FILM)
