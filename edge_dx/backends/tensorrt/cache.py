"""Engines kept between starts: `<key>.plan` with `<key>.json` beside it.

The key is a digest over everything that an engine depends on: GPU, compute capability, library and
version, flags, and the file it was built from. Whatever of that changes gives another key, so a
stale engine is never found. A plan whose bytes are not those that the sidecar tells is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from edge_dx import device
from edge_dx.backends.tensorrt.engine_from_onnx import Built

TIMING_CACHE = "timing.cache"

_directory: ContextVar[Path | None] = ContextVar("directory", default=None)


@dataclass(frozen=True)
class Engine:
    """A serialized engine.

    Attributes:
        plan: its bytes.
        digest: their SHA-256.
        was_kept: whether it was found and not built.
    """

    plan: bytes
    digest: str
    was_kept: bool


@contextlib.contextmanager
def beside(bundle: Path) -> Iterator[None]:
    """Keeps engines beside this bundle for as long as it lasts."""
    token = _directory.set(directory_for(bundle))
    try:
        yield
    finally:
        _directory.reset(token)


def directory_for(bundle: Path) -> Path:
    """`<bundle>.engines` where that can be written, else a folder of edge_dx's own state."""
    if bundle.exists() and os.access(bundle.parent, os.W_OK):
        return bundle.parent / f"{bundle.name}.engines"
    return device.state_directory() / "engines"


def here() -> Path:
    """Where engines are kept now."""
    return _directory.get() or device.state_directory() / "engines"


def key_of(facts: Mapping[str, str]) -> str:
    """One name for all that an engine depends on."""
    spelt = json.dumps(dict(sorted(facts.items())), ensure_ascii=False)
    return hashlib.sha256(spelt.encode()).hexdigest()[:40]


def engine(
    facts: Mapping[str, str],
    build: Callable[[bytes | None], Built],
    say: Callable[[str], None],
) -> Engine:
    """The kept engine for these facts, or a new one that is kept from now on.

    Args:
        facts: what an engine depends on: GPU, version, flags, digest of the file.
        build: builds from an earlier timing cache, or None.
        say: is told where an engine cannot be kept.
    """
    directory, key = here(), key_of(facts)
    found = _read(directory, key)
    if found is not None:
        return Engine(found, hashlib.sha256(found).hexdigest(), True)
    timing = directory / f"{_machine(facts)}.{TIMING_CACHE}"
    built = build(_bytes_of(timing))
    digest = hashlib.sha256(built.plan).hexdigest()
    told = {**facts, "engine_sha256": digest, "engine_bytes": str(len(built.plan))}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The sidecar last: a plan without one is not there.
        _write(directory / f"{key}.plan", built.plan)
        _write(directory / f"{key}.json", json.dumps(told, indent=1).encode())
        if built.timing_cache:
            _write(timing, built.timing_cache)
    except OSError as error:
        say(f"the engine cannot be kept in {directory} ({error.strerror}); each start builds anew")
    return Engine(built.plan, digest, False)


def prune(directory: Path, keep: Mapping[str, str]) -> int:
    """Removes engines of the same file that were built for anything else than these facts.

    Returns:
        How many were removed.
    """
    removed = 0
    for sidecar in sorted(directory.glob("*.json")):
        try:
            told = json.loads(sidecar.read_bytes())
            same = told.get("file_sha256") == keep["file_sha256"]
        except (OSError, ValueError, AttributeError):
            continue  # not ours, or damaged: never removed on a guess
        if same and sidecar.stem != key_of(keep):
            sidecar.unlink()
            sidecar.with_suffix(".plan").unlink(missing_ok=True)
            removed += 1
    return removed


def _read(directory: Path, key: str) -> bytes | None:
    raw = _bytes_of(directory / f"{key}.plan")
    told = _bytes_of(directory / f"{key}.json")
    if raw is None or told is None:
        return None
    try:
        digest = json.loads(told)["engine_sha256"]
    except (ValueError, KeyError, TypeError):
        return None
    return raw if hashlib.sha256(raw).hexdigest() == digest else None


def _machine(facts: Mapping[str, str]) -> str:
    """Timings hold for the device and the library, whatever the file."""
    return key_of({k: v for k, v in facts.items() if k in ("gpu", "compute_capability", "library")})


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, raw: bytes) -> None:
    """At once or not at all: two processes may build the same engine."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
