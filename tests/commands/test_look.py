"""`edge-dx look`: what is read from a file, without any model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_dx import phantom
from edge_dx.__main__ import main
from tests.sources.test_fan import sector


def test_a_picture_and_a_file_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, text = tmp_path / "film.png", tmp_path / "a\nb.png"
    phantom.write_png(phantom.draw(seed=1), film)
    text.write_text("no picture")
    assert main(["look", str(film), "--out", str(tmp_path / "seen")]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{film}: modality not stated; ")
    assert "nothing may be measured" in told
    assert "  assumed: modality not stated" in told
    assert (tmp_path / "seen" / "0001_film.png").stat().st_size > 1000
    assert main(["look", str(text), str(film), "--json"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["reason"] == "format"
    assert lines[1]["width_px"] == phantom.draw(seed=1).pixels.shape[1]
    assert main(["look", str(text)]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 1  # the name's line break is an escape


def test_an_output_directory_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["look", "x.png", "--out", str(tmp_path / "file" / "seen")]) == 2
    assert "--out" in capsys.readouterr().err


def test_slices_of_a_series_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    from tests.sources.test_dicom import encoded
    from tests.sources.test_dicom_facts import files, slice_at

    files(tmp_path, *(slice_at(z) for z in (0, 5, 10, 20)))
    assert main(["look", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "series 1.9: 4 slices 5 mm apart; gap of 10 mm after slice 3"
    odd = slice_at(30, SOPInstanceUID="1.2.9")
    odd.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    (tmp_path / "localizer.dcm").write_bytes(encoded(odd))
    assert main(["look", str(tmp_path), "--json"]) == 0
    assert "localizer" in json.loads(capsys.readouterr().out.splitlines()[-1])["detail"]


def test_regions_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    import cv2

    from tests.sources.test_dicom import dicom, encoded
    from tests.sources.test_dicom_facts import region

    picture, box = sector()
    plain = dicom(picture, Modality="US")
    (tmp_path / "fan.dcm").write_bytes(encoded(plain))
    ends = (box.left, box.top, box.left + box.width - 1, box.top + box.height - 1)
    told = dicom(picture, Modality="US", SequenceOfUltrasoundRegions=[region(*ends)])
    (tmp_path / "header.dcm").write_bytes(encoded(told))
    assert main(["look", str(tmp_path), "--out", str(tmp_path / "seen")]) == 0
    assert f"region {box.width} × {box.height} px" in capsys.readouterr().out
    drawn = [cv2.imread(str(path)) for path in sorted((tmp_path / "seen").glob("*.png"))]
    colours = [
        np.ptp(picture.astype(int), axis=2).max() for picture in drawn if picture is not None
    ]
    assert len(colours) == 2
    assert min(colours) > 50


def test_a_disk_that_takes_no_picture_is_told_and_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    film = tmp_path / "film.png"
    phantom.write_png(phantom.draw(seed=1), film)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["look", str(film), "--out", str(tmp_path / "seen")]) == 2
    assert "No space left on device" in capsys.readouterr().err


def test_a_cine_says_when_its_last_frame_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    from tests.sources.test_dicom import FILM, dicom, encoded

    cine = dicom(Modality="US", NumberOfFrames=3, PixelData=FILM.tobytes() * 3, FrameTime=500)
    (tmp_path / "cine.dcm").write_bytes(encoded(cine))
    assert main(["look", str(tmp_path / "cine.dcm")]) == 0
    assert "; 3 frames, the last at 1.00 s; " in capsys.readouterr().out
    assert main(["look", str(tmp_path / "cine.dcm"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last_frame_starts_ms"] == 1000
