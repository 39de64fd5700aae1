"""The fake in place of the library, a bundle for it, and a state directory of its own."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from edge_dx.manifest import Manifest, Variant
from tests import tiny
from tests.backends.tensorrt import fake
from tests.backends.tensorrt.opening import Install


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a version of the fake where the library would be."""
    return functools.partial(fake.install, monkeypatch)


@pytest.fixture
def bundle() -> tuple[Manifest, Variant, bytes]:
    parts = tiny.parts()
    manifest = parts.built()
    variant = manifest.variants[0]
    return manifest, variant, parts.members[variant.file]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
