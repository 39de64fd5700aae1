"""`edge-dx doctor`: what is here, what is missing and how to get it."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_dx import shelf, trust
from edge_dx.__main__ import main
from edge_dx.backends import ENGINES
from tests import tiny

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's store with one key."""
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "clinic.pub").write_bytes(tiny.PUBLIC_KEY)
    monkeypatch.setattr(trust, "operator_directories", lambda: (directory, directory))
    return directory


ENGINE_PACKAGES = {package for row in ENGINES.values() for package in row.packages}


def _hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n in packages else real(n, *a)
    )


def test_what_is_here_is_listed(capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in ("processor", "instruction sets", "int8", "CPUExecutionProvider", "clinic",
                 *ENGINES, "numpy", "cryptography", "shipped"):  # fmt: skip
        assert part in out


def test_what_is_missing_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    _hide(monkeypatch, *ENGINE_PACKAGES, "pydicom")
    assert main(["doctor"]) == 1  # nothing is left that could run a model
    out = capsys.readouterr().out
    assert "onnxruntime is not installed; pip install onnxruntime" in out
    assert "for reading DICOM; pip install 'edge-dx[dicom]'" in out


def test_a_broken_engine_is_a_finding_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    real = importlib.import_module

    def broken(name: str, *more: Any) -> ModuleType:
        if name in (*ENGINE_PACKAGES, "cv2"):
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", broken)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.count("is installed but broken (libGL.so.1") >= 2


def test_trust_is_told(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    (store / "clinic.pub").rename(store / "development.pub")
    main(["doctor"])
    assert "anybody can sign with it" in capsys.readouterr().out
    (store / "development.pub").unlink()
    main(["doctor"])
    assert "every bundle will be refused" in capsys.readouterr().out
    (store / "bad.pub").write_text("x")
    main(["doctor"])
    assert "bad.pub: " in capsys.readouterr().out


def test_bundles_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(shelf, "names", lambda: {})
    main(["doctor"])
    assert f"none; put .edx files into {shelf.installed_directory()}" in capsys.readouterr().out
    monkeypatch.setattr(shelf, "names", lambda: {"chest": Path("/x/chest.edx")})
    main(["doctor"])
    assert "/x/chest.edx" in capsys.readouterr().out
