"""The demonstration's ECGs: with a bundle for them, without one, and without what it needs."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edge_dx.__main__ import main
from edge_dx.commands import demo_ecg
from tests import tiny
from tests.ecg import tiny_stream
from tests.test_report import Tags


@pytest.fixture(scope="module")
def ecg_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stream.write(tmp_path_factory.mktemp("ecg") / "tiny-ecg.edx")


@pytest.fixture(autouse=True)
def _usual_beats_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny detector is a filter for narrow beats and has never heard of wide ones."""
    monkeypatch.setattr(demo_ecg, "_EVERY", 0)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "tester.pub").write_bytes(tiny.PUBLIC_KEY)
    return directory


def run(bundle: Path, keys: Path, out: Path, *more: str) -> int:
    return main(["demo", "--bundle", str(bundle), "--trust", str(keys), "--out", str(out), *more])


def hide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(asked: str, package: str | None = None) -> ModuleSpec | None:
        return None if asked == name else found(asked, package)

    monkeypatch.setattr(demo_ecg, "find_spec", without)


def test_an_ecg_bundle_judges_a_drawing_and_a_person(
    ecg_path: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom", reason="the person's ECG lies inside pydicom")
    out = tmp_path / "out"
    assert run(ecg_path, keys, out) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    assert "Passed" in told
    page = (out / "report.html").read_text("utf-8")
    for name in ("ecg-drawn", "ecg-dicom"):
        assert f'<a href="{name}.html">' in page
        assert f"{name}.html" in told
        own = Tags()
        own.feed((out / f"{name}.html").read_text("utf-8"))
        assert "svg" in own.tags
        assert "script" not in own.tags
    drawn = json.loads((out / "ecg-drawn.json").read_text("utf-8"))
    assert drawn["findings"]["duration_s"] == 120
    assert drawn["findings"]["analysed_s"] > 110
    assert "drawn beats found" in page
    person = json.loads((out / "ecg-dicom.json").read_text("utf-8"))
    assert person["recording"] == "waveform_ecg.dcm", "no path of this machine"
    assert (person["findings"]["rate_hz"], person["leads"]) == (1000, ["II"])
    assert person["findings"]["analysed_s"] > 5
    assert "Images of other kinds" not in page


def test_films_are_refused_where_an_ecg_bundle_is_shown(
    ecg_path: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ecg_path, keys, tmp_path / "out", "--films", str(tmp_path)) == 1
    assert "edge-dx stream" in capsys.readouterr().err


def test_beside_films_the_shipped_bundle_is_used(
    tiny_path: Path, ecg_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydicom", reason="the wrong modalities are pydicom's own files")
    monkeypatch.setattr(demo_ecg, "SHIPPED", str(ecg_path))
    out = tmp_path / "out"
    assert run(tiny_path, keys, out) == 0
    page = (out / "report.html").read_text("utf-8")
    assert "Phantoms" in page
    assert '<a href="ecg-drawn.html">' in page
    assert "tiny-ecg" in (out / "ecg-drawn.html").read_text("utf-8")


def test_without_the_bundle_it_says_so_and_goes_on(
    tiny_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(demo_ecg, "SHIPPED", "no-such-ecg")
    assert run(tiny_path, keys, tmp_path / "out") == 0
    assert "ECGs are left out: the bundle no-such-ecg is not here" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "the bundle no-such-ecg is not here" in page


def test_without_scipy_it_says_what_brings_it(
    tiny_path: Path, ecg_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(demo_ecg, "SHIPPED", str(ecg_path))
    hide("scipy", monkeypatch)
    assert run(tiny_path, keys, tmp_path / "films") == 0, "films need no scipy"
    assert "pip install 'edge-dx[ecg]'" in capsys.readouterr().out
    assert run(ecg_path, keys, tmp_path / "ecg") == 1, "an ECG bundle was asked for"
    assert "FAILED: ECGs are left out: scipy" in capsys.readouterr().out


def test_without_pydicom_the_drawn_one_is_left(
    ecg_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    hide("pydicom", monkeypatch)
    assert run(ecg_path, keys, tmp_path / "out") == 0
    assert "pip install 'edge-dx[dicom]'" in capsys.readouterr().out
    assert (tmp_path / "out" / "ecg-drawn.html").exists()
    assert not (tmp_path / "out" / "ecg-dicom.html").exists()


def test_a_model_that_misses_drawn_beats_fails(
    ecg_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(demo_ecg, "_NEAR_S", 0.0001)
    assert run(ecg_path, keys, tmp_path / "out") == 1
    assert "FAILED: of the drawn ECG only" in capsys.readouterr().out
