"""Bundles by name."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from edge_dx import shelf
from edge_dx.errors import NotFound


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "zoo"
    directory.mkdir()
    (directory / "chest.edx").write_bytes(b"shipped")
    (directory / "notes.txt").write_text("x")
    monkeypatch.setattr(shelf, "shipped_directory", lambda: directory)
    return directory


def test_a_shipped_bundle_is_found_by_its_bare_name(shipped: Path) -> None:
    assert shelf.find("chest") == shipped / "chest.edx"
    assert shelf.names() == {"chest": shipped / "chest.edx"}


def test_an_installed_bundle_hides_a_shipped_one(shipped: Path) -> None:
    own = shelf.installed_directory()
    own.mkdir(parents=True)
    (own / "chest.edx").write_bytes(b"installed")
    (own / "ecg.edx").write_bytes(b"installed")
    assert shelf.find("chest") == own / "chest.edx"
    assert sorted(shelf.names()) == ["chest", "ecg"]


def test_a_path_goes_before_a_name(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.edx"
    path.write_bytes(b"mine")
    assert shelf.find(path) == path
    assert shelf.find(str(path)) == path
    monkeypatch.chdir(tmp_path)
    assert shelf.find("mine.edx") == Path("mine.edx")


def test_what_is_not_found_is_answered_with_what_there_is(shipped: Path) -> None:
    with pytest.raises(NotFound) as caught:
        shelf.find("brain")
    told = str(caught.value)
    assert told.startswith("brain: no such bundle file")
    assert "there are: chest" in told
    assert str(shelf.installed_directory()) in told


@pytest.mark.parametrize("name", ["", "../chest", "chest\0", "x" * 5000, "a/" * 3000])
def test_odd_names_are_not_found_or_are_paths(shipped: Path, name: str) -> None:
    with contextlib.suppress(NotFound):
        assert shelf.find(name) == Path()  # the empty name is the working directory


def test_an_empty_shelf_says_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "shipped_directory", lambda: tmp_path / "nowhere")
    assert shelf.names() == {}
    with pytest.raises(NotFound, match=r"there are: none; put \.edx files into"):
        shelf.find("chest")


def test_where_bundles_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert shelf.installed_directory() == Path("/somewhere/edge-dx/bundles")
