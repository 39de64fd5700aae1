"""How hostile files are looked at: in this process, and in the limited one."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_dx import sources
from edge_dx.image import Pixels
from edge_dx.isolate import Limits, Reader
from edge_dx.sources import Study

SECONDS = 5.0
MEMORY_BYTES = 512 * 2**20


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    """A helper with the limits that damaged files are held to."""
    with Reader(Limits(deadline_s=SECONDS, memory_bytes=MEMORY_BYTES)) as found:
        yield found


@pytest.fixture(params=["plain", "isolated"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], Study]:
    """Opens a file, in this process and in the limited one."""
    if request.param == "plain":
        return sources.read
    found: Reader = request.getfixturevalue("reader")
    return found.read


@pytest.fixture
def look(read: Callable[[Path], Study], tmp_path: Path) -> Callable[..., tuple[Study, Pixels]]:
    """Reads bytes as a file and decodes a frame of it, within the limits in both ways."""

    def looked(raw: bytes, frame: int = 0, name: str = "hostile.dcm") -> tuple[Study, Pixels]:
        path = tmp_path / name
        path.write_bytes(raw)
        begun, before = time.monotonic(), _peak()
        try:
            study = read(path)
            return study, study.decode(frame)
        finally:
            assert time.monotonic() - begun < SECONDS
            assert _peak() - before < MEMORY_BYTES

    return looked


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
