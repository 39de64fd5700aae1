"""Cameras: numbered pictures as they come, reopened where they falter, a typed error at the end.

No machine of this project's tests has a camera; what OpenCV would open is scripted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_dx.errors import NotFound, UnreadableInput, UnsupportedInput
from edge_dx.sources import camera
from edge_dx.sources.camera import REOPENED_AT_MOST, Camera
from edge_dx.sources.frames import Frame
from tests.sources import clips

PICTURES = clips.pictures(6)


class Scripted:
    """A capture that gives pictures, None for none, or raises, and a time for each."""

    def __init__(self, steps: Sequence[Any], opened: bool = True, first_ms: float = 5e6) -> None:
        self.steps: Iterator[Any] = iter(steps)
        self.opened = opened
        self.at_ms = first_ms
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.opened

    def read(self) -> tuple[bool, Any]:
        step = next(self.steps, None)
        if isinstance(step, Exception):
            raise step
        if step is None:
            return False, None
        self.at_ms += 40
        return True, step if step.ndim == 3 else cv2.cvtColor(step, cv2.COLOR_GRAY2BGR)

    def get(self, what: int) -> float:
        assert what == cv2.CAP_PROP_POS_MSEC
        return self.at_ms

    def release(self) -> None:
        self.released = True


class Plug:
    """Hands out one scripted capture after the other."""

    def __init__(self, *captures: Scripted) -> None:
        self.captures = captures
        self.opened = 0

    def __call__(self) -> Scripted:
        self.opened += 1
        return self.captures[self.opened - 1]


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.touch()
    return path


def test_pictures_are_numbered_and_timed_by_both_clocks(device: Path) -> None:
    ticks = iter([7, 8, 9])
    capture = Scripted(PICTURES[:3])
    with Camera(str(device), clock_ns=lambda: next(ticks), capture=lambda: capture) as source:
        frames = list(islice(source.frames(), 3))
    assert [f.number for f in frames if f] == [0, 1, 2]
    assert [f.host_ns for f in frames if f] == [7, 8, 9]
    assert [f.device_time_s for f in frames if f] == pytest.approx([5000.04, 5000.08, 5000.12])
    for frame, picture in zip(frames, PICTURES, strict=False):
        assert frame is not None
        assert np.array_equal(frame.pixels, picture)
    assert capture.released
    study = source.study(Frame(PICTURES[0], 0, None, 0))
    assert (study.path, study.frames) == (None, 1)
    assert len(study.digest) == 64
    assert study.assumed[0] == "camera picture of 64 × 48: bright is dense"


def test_a_driver_without_a_clock_gives_no_device_time(device: Path) -> None:
    with Camera(str(device), capture=lambda: Scripted(PICTURES, first_ms=-1000)) as source:
        frame = next(source.frames())
    assert frame is not None
    assert frame.device_time_s is None


def test_it_is_opened_again_where_it_falters_and_the_numbers_go_on(device: Path) -> None:
    plug = Plug(
        Scripted([PICTURES[0], None]),
        Scripted([cv2.error("select() timeout")], first_ms=6e6),
        Scripted([PICTURES[1], PICTURES[2]], first_ms=7e6),
    )
    with Camera(str(device), capture=plug) as source:
        frames = source.frames()
        told = [next(frames) for _ in range(5)]
    assert [frame and frame.number for frame in told] == [0, None, None, 1, 2]
    assert plug.opened == 3
    assert all(capture.released for capture in plug.captures)


def test_it_is_lost_after_some_failures(device: Path) -> None:
    plug = Plug(Scripted([PICTURES[0]]), *(Scripted([]) for _ in range(REOPENED_AT_MOST)))
    source = Camera(str(device), capture=plug)
    with pytest.raises(UnreadableInput, match="no pictures any more after frame 0") as caught:
        list(source.frames())
    assert caught.value.reason == "unreadable"
    assert plug.opened == 1 + REOPENED_AT_MOST
    source.close()


def test_unplugging_ends_it_at_once(device: Path) -> None:
    source = Camera(str(device), capture=lambda: Scripted(PICTURES[:2]))
    frames = source.frames()
    assert next(frames)
    assert next(frames)
    device.unlink()
    with pytest.raises(UnreadableInput, match="was unplugged after frame 1; check the cable"):
        next(frames)


def test_a_camera_that_never_gave_anything(device: Path) -> None:
    source = Camera(str(device), capture=lambda: Scripted([]))
    with pytest.raises(UnreadableInput, match="gives no pictures; check its cable"):
        list(source.frames())


def test_a_camera_that_cannot_be_opened(device: Path) -> None:
    capture = Scripted([], opened=False)
    with pytest.raises(UnreadableInput, match="in use by another program"):
        Camera(str(device), capture=lambda: capture)
    assert capture.released


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([PICTURES[0], PICTURES[1][:24]], "changed from 64 × 48 to 64 × 24"),
        ([np.zeros((2305, 4096, 3), np.uint8)], "4096 × 2305 pixels are more"),
        ([np.zeros((48, 64, 3), np.uint16)], "gives uint16 pixels"),
    ],
)
def test_pictures_that_are_not_read(device: Path, steps: list[Any], told: str) -> None:
    source = Camera(str(device), capture=lambda: Scripted(steps))
    with pytest.raises(UnsupportedInput, match=told):
        list(source.frames())


def test_a_size_is_asked_for_and_no_other_taken(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Camera(str(device), size=(64, 48), capture=lambda: Scripted(PICTURES))
    assert next(source.frames())
    source = Camera(str(device), size=(1920, 1080), capture=lambda: Scripted(PICTURES))
    with pytest.raises(UnsupportedInput, match="64 × 48 pixels where 1920 × 1080 were asked for"):
        next(source.frames())
    opened: list[Any] = []

    def capture(*asked: Any) -> Scripted:
        opened.append(asked)
        return Scripted([])

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    Camera(str(device), size=(1920, 1080))
    Camera(str(device))
    wanted = [cv2.CAP_PROP_FRAME_WIDTH, 1920, cv2.CAP_PROP_FRAME_HEIGHT, 1080]
    assert opened == [(str(device), cv2.CAP_V4L2, wanted), (str(device), cv2.CAP_V4L2, [])]


@pytest.mark.parametrize(("which", "name", "path"), [(7, "camera 7", "/dev/video7"),
                                                     ("7", "camera 7", "/dev/video7"),
                                                     ("/dev/v4l/x", "camera /dev/v4l/x",
                                                      "/dev/v4l/x")])  # fmt: skip
def test_how_a_camera_is_named(which: int | str, name: str, path: str) -> None:
    source = Camera(which, capture=lambda: Scripted([]))
    assert (source.name, source.device, source.live) == (name, Path(path), True)
    pipeline = Camera("videotestsrc ! appsink", capture=lambda: Scripted([]))
    assert (pipeline.name, pipeline.device) == ("camera videotestsrc ! appsink", None)


# --- what OpenCV really opens ---


@pytest.mark.parametrize("which", [97, "/dev/video97", "rtsp://198.51.100.1/live"])
def test_there_is_no_such_camera(which: int | str) -> None:
    with pytest.raises(NotFound, match="no such device; here are: "):
        Camera(which)


def test_a_file_is_no_camera(device: Path) -> None:
    with pytest.raises(UnreadableInput, match="be no camera"):
        Camera(str(device))


def test_a_camera_without_permission(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.os, "access", lambda *_: False)
    with pytest.raises(UnreadableInput, match="no permission; add the user to the group"):
        Camera(str(device))


def test_pipelines_need_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: False)
    with pytest.raises(UnsupportedInput, match="built without GStreamer"):
        Camera("videotestsrc ! appsink")


def test_a_pipeline_reaches_gstreamer_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def capture(told: str, backend: int) -> Scripted:
        opened.append((told, backend))
        return Scripted([])

    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: True)
    monkeypatch.setattr(cv2, "VideoCapture", capture)
    Camera("videotestsrc ! appsink").close()
    assert opened == [("videotestsrc ! appsink", cv2.CAP_GSTREAMER)]
