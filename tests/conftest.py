"""Fixtures: a small bundle, its trust store, and a home of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_dx.backends.quiet import silence
from edge_dx.bundle import write_bundle
from edge_dx.trust import TrustStore
from tests import tiny

silence()  # some tests import onnxruntime themselves


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the proofs, bundles or keys of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    """A store that holds the tests' own key, named `tester`."""
    directory = tmp_path_factory.mktemp("trust")
    (directory / "tester.pub").write_bytes(tiny.PUBLIC_KEY)
    return TrustStore.from_directory(directory)


@pytest.fixture
def parts() -> tiny.Parts:
    """The parts of a valid bundle, free to be spoilt."""
    return tiny.parts()


@pytest.fixture(scope="session")
def tiny_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a valid signed bundle."""
    found = tiny.parts()
    path = tmp_path_factory.mktemp("bundle") / "tiny.edx"
    write_bundle(path, found.built(), found.members, tiny.PRIVATE_KEY)
    return path.read_bytes()


@pytest.fixture
def tiny_path(tmp_path: Path, tiny_bytes: bytes) -> Path:
    """A valid signed bundle on disk."""
    path = tmp_path / "tiny.edx"
    path.write_bytes(tiny_bytes)
    return path
