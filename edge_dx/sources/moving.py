"""Opens whatever has frames in time."""

from __future__ import annotations

from pathlib import Path

from edge_dx.sources import read, video
from edge_dx.sources.camera import Camera
from edge_dx.sources.frames import Cine, FrameSource
from edge_dx.sources.study import Study
from edge_dx.sources.video import Clip


def open_frames(source: str | Path | int | Study) -> FrameSource:
    """The frames of a video file, a DICOM file, a study, or the camera of that number.

    Raises:
        NotFound: no such file or camera.
        InputError: it cannot be read.
        MissingExtra: the file's kind needs a package that is not installed.
    """
    if isinstance(source, int):
        return Camera(source)
    if not isinstance(source, Study) and video.looks_like_video(Path(source)):
        return Clip(source)
    return Cine(read(source))
