"""Video files: every frame once and in order, or an error that names the file and the fix."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_dx.errors import InputError, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.sources import video
from edge_dx.sources.frames import Cine, DeviceTime, Frame, grey_or_rgb
from edge_dx.sources.study import Study
from edge_dx.sources.video import Clip
from tests.sources import clips

FRAMES = clips.pictures(12)
LOSSLESS = "FFV1"


def played(path: Path) -> list[Frame]:
    with Clip(path) as clip:
        return [frame for frame in clip.frames() if frame is not None]


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    return clips.write(tmp_path / "clip.avi", FRAMES)


# --- every frame, in order ---


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_lossless_grey_clip_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    frames = played(clips.write(tmp_path / f"clip{suffix}", FRAMES, LOSSLESS))
    assert [frame.number for frame in frames] == list(range(12))
    for frame, picture in zip(frames, FRAMES, strict=True):
        assert frame.pixels.dtype == np.uint8
        assert np.array_equal(frame.pixels, picture)


def test_colour_comes_as_rgb(tmp_path: Path) -> None:
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[..., 0] = 200
    (frame,) = played(clips.write(tmp_path / "clip.avi", [blue], LOSSLESS))
    assert frame.pixels[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize(("name", "coding"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"),
                                              ("a.webm", "VP80"), ("a.wmv", "WMV2"),
                                              ("a.mpg", "MPG1")])  # fmt: skip
def test_frames_carry_number_and_both_times(tmp_path: Path, name: str, coding: str) -> None:
    path = clips.write(tmp_path / name, FRAMES, coding, 25.0)
    ticks = iter(range(10**9, 10**12, 10**9))
    with Clip(path, clock_ns=lambda: next(ticks)) as clip:
        frames = [frame for frame in clip.frames() if frame]
        assert clip.rate_hz == pytest.approx(25.0)
        assert clip.shape == (48, 64)
    assert [frame.number for frame in frames] == list(range(12))
    assert [frame.host_ns for frame in frames] == [(i + 1) * 10**9 for i in range(12)]
    times = [frame.device_time_s for frame in frames]
    told = [time for time in times if time is not None]
    assert len(told) >= 11  # OpenCV forgets that of the last frame of an MPEG
    assert told == pytest.approx([i / 25 for i in range(len(told))], abs=1e-3)


def test_the_facts_of_a_clip(avi: Path) -> None:
    with Clip(avi) as clip:
        assert (clip.name, clip.path, clip.live) == (str(avi), avi, False)
        assert (clip.container.kind, clip.expected) == ("AVI", 12)
        assert clip.digest == hashlib.sha256(avi.read_bytes()).hexdigest()
        frame = next(clip.frames())
        assert frame is not None
        study = clip.study(frame)
    assert (study.path, study.digest, study.shape, study.frames) == (avi, clip.digest, (48, 64), 1)
    assert study.pixels is frame.pixels
    assert study.assumed == ("video file: bright is dense", "modality not stated")


@pytest.mark.parametrize("name", ["träge ✓.avi", "a%03d.avi", "concat:b.avi", "nl\n.avi",
                                  os.fsdecode(b"\xff.avi")])  # fmt: skip
def test_odd_names_are_only_names(tmp_path: Path, avi: Path, name: str) -> None:
    path = avi.rename(tmp_path / name)
    assert len(played(path)) == 12


def test_a_trimmed_clip_shows_what_it_shows(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", FRAMES, "mp4v", 25.0)
    path.write_bytes(clips.trimmed(path.read_bytes(), 240))
    with Clip(path) as clip:
        assert clip.expected is None
        assert 0 < len(list(clip.frames())) < 12


def test_a_picture_that_the_recorder_lost_is_no_damage(avi: Path) -> None:
    avi.write_bytes(clips.with_empty_chunk(avi.read_bytes(), 4))
    with Clip(avi) as clip:
        assert clip.expected is None
        times = [frame.device_time_s for frame in clip.frames() if frame]
    assert times == pytest.approx([n / 20 for n in range(12) if n != 4])


def test_oblong_pixels_are_told() -> None:
    told = {"SAR_NUM": 16.0, "SAR_DEN": 15.0, "FRAME_WIDTH": 64.0, "FRAME_HEIGHT": 48.0}
    clip = Clip.__new__(Clip)
    clip._number = told.__getitem__  # type: ignore[method-assign]
    assert "pixels taken as square; the video says 16:15" in clip._geometry()[1]


def test_the_shared_clips_give_all_their_frames() -> None:
    if not clips.SHARED.is_dir():
        pytest.skip("the ultrasound clips are not on this machine")
    counted = {"Reg_Image_181739_trimmed_crop.mp4": 104, "Reg_Image_182106_crop.mp4": 206,
               "Reg_pat1Image_133410.mpeg": 183, "Reg_pat1Image_133232.mpeg": 200,
               "Cov_recommendations_likebutterfly_mov5.mov": 138,
               "Cov_convex_volpecelli_sonographic_v3.mov": 399,
               "Cov_convex_volpecelli_sonographic_v4.mov": 405}  # fmt: skip
    for name, count in counted.items():
        frames = played(clips.SHARED / name)
        assert len(frames) == count
        told = [frame.device_time_s for frame in frames if frame.device_time_s is not None]
        assert told == sorted(told)
        assert len(told) >= count - 1


# --- or an error ---


@pytest.mark.parametrize(
    ("raw", "kind", "told"),
    [(b"", UnreadableInput, "is empty"), (b"hello" * 300, UnsupportedInput, "not an MP4"),
     (b"\x89PNG\r\n\x1a\n" + bytes(600), UnsupportedInput, "not an MP4")],
)  # fmt: skip
def test_what_is_no_video(tmp_path: Path, raw: bytes, kind: type[InputError], told: str) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(raw)
    with pytest.raises(kind, match=told) as caught:
        Clip(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        Clip(tmp_path / "none.mp4")
    with pytest.raises(UnreadableInput, match="no regular file"):
        Clip(tmp_path)
    with pytest.raises(UnreadableInput):
        Clip("nul\0.mp4")


@pytest.mark.parametrize("name", ["Reg_Image_181739_trimmed_crop.mp4", "Reg_pat1Image_133232.mpeg",
                                  "Cov_recommendations_likebutterfly_mov5.mov"])  # fmt: skip
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_real_clip_that_was_cut(tmp_path: Path, name: str, share: float) -> None:
    if not clips.SHARED.is_dir():
        pytest.skip("the ultrasound clips are not on this machine")
    raw = (clips.SHARED / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(UnreadableInput, match="cut short") as caught:
        played(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("copy it again")


def test_a_damaged_frame_in_the_middle_is_no_end(avi: Path) -> None:
    raw = bytearray(avi.read_bytes())
    at = clips.chunks(raw)[5]
    raw[at : at + 400] = b"\0" * 400
    avi.write_bytes(raw)
    seen = []
    with pytest.raises(UnreadableInput, match="frame 5 cannot be decoded") as caught, \
         Clip(avi) as clip:  # fmt: skip
        seen.extend(frame.number for frame in clip.frames() if frame)
    assert seen == [0, 1, 2, 3, 4]
    assert "copy it again" in str(caught.value)


def test_fewer_frames_than_the_file_counts(avi: Path) -> None:
    raw = bytearray(avi.read_bytes())
    for at in clips.chunks(raw)[9:]:
        raw[at : at + 400] = b"\0" * 400
    avi.write_bytes(raw)
    with pytest.raises(UnreadableInput, match="ends after 9 of 12 frames"):
        played(avi)


def test_frames_that_are_too_large_are_refused_before_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.write(tmp_path / "wide.avi", [np.zeros((2304, 4112), np.uint8)])
    with pytest.raises(UnsupportedInput, match="4112 × 2304 pixels are more") as caught:
        Clip(path)
    assert caught.value.reason == "too_large"


def test_files_and_counts_that_are_too_large(avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_CINE_BYTES", 100)
        with pytest.raises(UnsupportedInput, match="larger than 100 bytes"):
            Clip(avi)
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_FRAMES", 11)
        with pytest.raises(UnsupportedInput, match="12 frames are more than the 11"):
            Clip(avi)
    matroska = clips.write(avi.with_suffix(".mkv"), FRAMES)  # counts nothing beforehand
    monkeypatch.setattr(video, "MAX_FRAMES", 11)
    with pytest.raises(UnsupportedInput, match="more than 11 frames"):
        played(matroska)


class Scripted:
    """A capture that gives what a test says."""

    def __init__(self, images: Sequence[Any]) -> None:
        self.images = list(images)
        self.released = False

    def read(self) -> tuple[bool, Any]:
        image = self.images.pop(0) if self.images else None
        if isinstance(image, Exception):
            raise image
        return image is not None, image

    def get(self, what: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


def test_frames_that_change_their_size(avi: Path) -> None:
    with Clip(avi) as clip:
        small = np.zeros((24, 32, 3), np.uint8)
        clip._capture = Scripted([np.zeros((48, 64, 3), np.uint8), small])
        with pytest.raises(UnsupportedInput, match="frame 1 is 32 × 24 pixels") as caught:
            list(clip.frames())
    assert caught.value.reason == "format"


def test_a_decoder_that_raises(avi: Path) -> None:
    with Clip(avi) as clip:
        clip._capture = Scripted([cv2.error("bad")])
        with pytest.raises(UnreadableInput, match="the file is damaged") as caught:
            list(clip.frames())
    assert isinstance(caught.value.__cause__, cv2.error)


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4", "clip.mkv", "clip.mpg", "clip.wmv"])
def test_random_damage_gives_frames_or_a_typed_error(tmp_path: Path, name: str) -> None:
    coding = {"avi": "MJPG", "mp4": "mp4v", "mkv": "VP80", "mpg": "MPG1", "wmv": "WMV2"}
    raw = clips.write(tmp_path / name, FRAMES, coding[name[5:]]).read_bytes()
    path = tmp_path / f"spoilt-{name}"
    errors = []
    for seed in range(25):
        dice = np.random.default_rng(seed)
        spoilt = bytearray(raw)
        for at in dice.integers(0, len(raw), 1 + seed):
            spoilt[at] = dice.integers(256)
        path.write_bytes(spoilt[: len(raw) if seed % 3 else int(dice.integers(len(raw)))])
        try:
            frames = played(path)
        except InputError as error:
            errors.append(str(error))
        else:
            assert [frame.number for frame in frames] == list(range(len(frames)))
    assert errors
    assert all(str(path) in error for error in errors)


def test_nothing_is_written_to_standard_error(tmp_path: Path, avi: Path) -> None:
    raw = bytearray(avi.read_bytes())
    for at in range(6000, len(raw), 97):
        raw[at] ^= 0xFF
    avi.write_bytes(raw)
    code = (
        "import sys\nfrom edge_dx.errors import InputError\n"
        "from edge_dx.sources.video import Clip\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        list(Clip(path).frames())\n"
        "    except InputError as error:\n        print(error)\n"
    )
    clip = clips.write(tmp_path / "b.mp4", FRAMES, "mp4v")
    half = clip.read_bytes().replace(b"moov", b"moof")
    clip.write_bytes(half)
    done = subprocess.run(
        [sys.executable, "-c", code, str(avi), str(clip)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2


def test_opencv_is_as_loud_afterwards_as_before() -> None:
    log: Any = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()
    with video.quiet():
        with video.quiet():
            assert log.getLogLevel() == 0
        assert log.getLogLevel() == 0
    assert log.getLogLevel() == before


# --- by name and by bytes ---


def test_a_video_is_known_by_its_bytes_or_its_name(tmp_path: Path, avi: Path) -> None:
    unnamed = tmp_path / "IM0001"
    unnamed.write_bytes(avi.read_bytes())
    assert video.looks_like_video(unnamed)
    broken = tmp_path / "broken.MP4"
    broken.write_bytes(b"")
    assert video.looks_like_video(broken)
    picture = tmp_path / "film.png"
    cv2.imwrite(str(picture), FRAMES[0])
    assert not video.looks_like_video(picture)
    assert not video.looks_like_video(tmp_path / "none.mp4")
    assert not video.looks_like_video(tmp_path)
    assert not video.looks_like_video(Path("nul\0.mp4"))


# --- what all sources share ---


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (40, 30, 3)])
def test_equal_channels_are_grey(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if len(shape) == 3:
        image[:] = image[..., :1]
    found = grey_or_rgb(image)
    assert np.array_equal(found, image.reshape(*shape[:2], -1)[..., 0])


def test_one_pixel_of_colour_is_colour() -> None:
    image = np.zeros((40, 30, 3), np.uint8)
    image[1, 2] = (1, 2, 3)
    found = grey_or_rgb(image)
    assert found[1, 2].tolist() == [3, 2, 1]


def test_time_stamps_are_believed_only_while_they_go_forward() -> None:
    times = DeviceTime()
    given = [0.0, 0.1, 0.1, 0.05, float("nan"), 0.2, 0.0, float("inf"), 0.3]
    told = [times.read(stamp) for stamp in given]
    assert told == [0.0, 0.1, None, None, None, 0.2, None, None, 0.3]


def test_a_cine_gives_its_frames_with_what_its_header_says() -> None:
    study = Study(
        path=Path("cine.dcm"), digest="d", shape=(48, 64), decode=FRAMES.__getitem__,
        modality="US", mm_per_px=(0.1, 0.1), frames=3, frame_starts_ms=(0.0, 40.0, 80.0),
    )  # fmt: skip
    source = Cine(study)
    frames = [frame for frame in source.frames() if frame]
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert [frame.device_time_s for frame in frames] == [0.0, 0.04, 0.08]
    one = source.study(frames[1])
    assert (one.frames, one.modality, one.mm_per_px, one.digest) == (1, "US", (0.1, 0.1), "d")
    assert np.array_equal(one.pixels, FRAMES[1])
    assert (source.name, source.expected, source.live) == ("cine.dcm", 3, False)
    source.close()
