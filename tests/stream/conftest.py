"""Models for streams, and the promise that no thread outlives a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edge_dx.model import Model
from edge_dx.trust import TrustStore
from tests.stream import scripted


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, trust: TrustStore) -> Iterator[Model]:
    with scripted.model_of(tmp_path_factory.mktemp("each"), trust) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "edge_dx-grab":
            thread.join(5)
            assert not thread.is_alive(), "the grabbing thread outlived its stream"
