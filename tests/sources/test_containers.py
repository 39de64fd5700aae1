"""Video containers: known by their bytes, whole or refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from edge_dx.errors import InputError, UnreadableInput, UnsupportedInput
from edge_dx.sources import containers
from tests.sources import clips

WRITTEN = {
    "clip.avi": ("MJPG", "AVI", True),
    "clip.mp4": ("mp4v", "MP4", True),
    "clip.mov": ("MJPG", "MP4", True),
    "clip.mkv": ("MJPG", "Matroska", False),
    "clip.webm": ("VP80", "Matroska", False),
    "clip.wmv": ("WMV2", "WMV", False),
    "clip.mpg": ("MPG1", "MPEG", False),
    "clip.ts": ("mp4v", "MPEG-TS", False),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clips")
    frames = clips.pictures(12)
    return {
        name: clips.write(folder / name, frames, coding, 25.0).read_bytes()
        for name, (coding, _, _) in WRITTEN.items()
    }


def examined(raw: bytes) -> containers.Container:
    return containers.examine(io.BytesIO(raw))


@pytest.mark.parametrize("name", WRITTEN)
def test_each_kind_is_known_and_says_whether_it_counts(name: str, files: dict[str, bytes]) -> None:
    _, kind, counts = WRITTEN[name]
    assert examined(files[name]) == containers.Container(kind, counts)
    assert containers.kind_of(files[name][: containers.HEAD_BYTES]) == kind


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_that_was_cut_is_refused(name: str, share: float, files: dict[str, bytes]) -> None:
    raw = files[name]
    cut = raw[: int(len(raw) * share)]
    if name == "clip.ts":  # packets of one size: a cut between two leaves no trace
        cut = cut[: len(cut) // 188 * 188 + 100]
    with pytest.raises(UnreadableInput) as caught:
        examined(cut)
    assert caught.value.reason == "unreadable"
    assert "cut short" in str(caught.value)


@pytest.mark.parametrize("name", WRITTEN)
def test_no_cut_and_no_change_raises_anything_but_what_is_promised(
    name: str, files: dict[str, bytes]
) -> None:
    raw = files[name]
    cuts = [raw[:end] for end in range(0, min(len(raw), 1500), 7)]
    changes = [
        raw[:at] + bytes([value]) + raw[at + 1 :]
        for at in range(0, min(len(raw), 1500), 3)
        for value in (0, 0xFF, raw[at] ^ 0x55)
    ]
    reasons = set()
    for spoilt in cuts + changes:
        try:
            examined(spoilt)
        except InputError as error:
            reasons.add(error.reason)
    assert "unreadable" in reasons
    assert reasons <= {"unreadable", "format"}


@pytest.mark.parametrize(
    "raw",
    [b"hello, I am a video", b"#EXTM3U\n#EXTINF:1,\nhttp://198.51.100.1/a.ts\n",
     b"ffconcat version 1.0\nfile '/etc/passwd'\n", b"\x89PNG\r\n\x1a\n" + bytes(600),
     b"RIFF\x24\0\0\0WAVEfmt " + bytes(600)],
    ids=["text", "playlist", "list of files", "picture", "sound"],
)  # fmt: skip
def test_what_is_no_video_never_reaches_the_decoder(raw: bytes) -> None:
    with pytest.raises(UnsupportedInput, match="not an MP4") as caught:
        examined(raw)
    assert caught.value.reason == "format"


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(UnreadableInput, match="the file is empty"):
        examined(b"")


def test_sound_alone_has_no_pictures(files: dict[str, bytes]) -> None:
    raw = files["clip.mp4"]
    at, _ = clips.box(raw, b"moov", b"trak", b"mdia", b"hdlr")
    sound = raw[: at + 16] + b"soun" + raw[at + 20 :]
    with pytest.raises(UnsupportedInput, match="no picture track"):
        examined(sound)


def test_an_index_that_was_never_written(files: dict[str, bytes]) -> None:
    raw = files["clip.mp4"]
    with pytest.raises(UnreadableInput, match="never closed it"):
        examined(raw[: clips.box(raw, b"moov")[0]])
    avi = files["clip.avi"]
    with pytest.raises(UnreadableInput, match="never closed it"):
        examined(avi[:4] + bytes(4) + avi[8:])


def test_a_trimmed_clip_counts_frames_that_nobody_sees(files: dict[str, bytes]) -> None:
    raw = files["clip.mp4"]  # 12 frames in 480 ms
    assert examined(clips.trimmed(raw, 480)).counts_frames
    assert not examined(clips.trimmed(raw, 240)).counts_frames
    assert not examined(clips.trimmed(raw, 439, at=1024)).counts_frames


def test_pictures_that_change_in_mid_file(files: dict[str, bytes], tmp_path: Path) -> None:
    small = clips.write(tmp_path / "small.mpg", clips.pictures(12, 32, 48), "MPG1", 25.0)
    with pytest.raises(UnsupportedInput, match="change their size in mid-file") as caught:
        examined(files["clip.mpg"] + small.read_bytes())
    assert caught.value.reason == "format"
    assert examined(files["clip.mpg"] + files["clip.mpg"]).kind == "MPEG"
    raw = bytearray(files["clip.mp4"])
    at, _ = clips.box(raw, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    raw[at + 15] = 2
    with pytest.raises(UnsupportedInput, match="change their coding"):
        examined(bytes(raw))


def test_boxes_without_end_are_refused_in_bounded_time(files: dict[str, bytes]) -> None:
    boxes = struct.pack(">I4s", 8, b"free") * 200_000
    with pytest.raises(UnreadableInput, match="too many boxes"):
        examined(files["clip.mp4"][: clips.box(files["clip.mp4"], b"moov")[0]] + boxes)
    lists = struct.pack("<4sI4s", b"RIFF", 4, b"AVI ") * 200_000
    with pytest.raises(UnreadableInput, match="too many lists"):
        examined(lists)


def test_the_shared_clips_are_whole() -> None:
    if not clips.SHARED.is_dir():
        pytest.skip("the ultrasound clips are not on this machine")
    found = {path.name: examined(path.read_bytes()) for path in sorted(clips.SHARED.iterdir())}
    assert {container.kind for container in found.values()} == {"MP4", "MPEG"}
    assert all(c.counts_frames == (c.kind == "MP4") for c in found.values())


def test_a_transport_stream_may_carry_time_stamps(tmp_path: Path, files: dict[str, bytes]) -> None:
    raw = files["clip.ts"]
    stamped = b"".join(bytes(4) + raw[at : at + 188] for at in range(0, len(raw), 188))
    assert examined(stamped) == containers.Container("MPEG-TS", False)
    with pytest.raises(UnreadableInput, match="within a packet"):
        examined(stamped[:-9])
