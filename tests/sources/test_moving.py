"""Whatever has frames is opened by what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_dx import sources
from edge_dx.errors import NotFound, UnsupportedInput
from edge_dx.sources.frames import Cine
from edge_dx.sources.moving import open_frames
from edge_dx.sources.video import Clip
from tests.sources import clips


def test_a_video_a_picture_a_study(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "IM0001.avi", clips.pictures(3)).rename(tmp_path / "IM0001")
    with open_frames(str(path)) as clip:  # type: ignore[attr-defined]
        assert isinstance(clip, Clip)
        assert clip.path == path
    study = sources.from_array(np.zeros((4, 5), np.uint8), modality="US")
    cine = open_frames(study)
    assert isinstance(cine, Cine)
    (frame,) = cine.frames()
    assert frame is not None
    assert (frame.number, frame.device_time_s) == (0, None)
    assert cine.study(frame).modality == "US"


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_frames(tmp_path / "none.mp4")
    with pytest.raises(NotFound, match="camera /dev/video97"):
        open_frames(97)
    (tmp_path / "notes.mp4").write_text("notes")
    with pytest.raises(UnsupportedInput, match="not an MP4"):
        open_frames(tmp_path / "notes.mp4")
