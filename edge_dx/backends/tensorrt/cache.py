"""Engines kept between starts: `<key>.plan` with `<key>.json` beside it.

The key is a SHA-256 over everything that an engine depends on: GPU, compute capability, library
and version, flags, and the file it was built from. Whatever of that changes gives another key, so a
stale engine is never found. A plan is code, so it is used only if it belongs to this user or to
root and its bytes are those that the sidecar tells; otherwise it is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from edge_dx import device
from edge_dx.backends.tensorrt.engine_from_onnx import Built

TIMING_CACHE = "timing.cache"
_LOCK = ".lock"

_directory: ContextVar[Path | None] = ContextVar("directory", default=None)


@dataclass(frozen=True)
class Engine:
    """A serialized engine.

    Attributes:
        plan: its bytes.
        digest: their SHA-256.
        was_kept: whether it was found and not built.
    """

    plan: bytes = field(repr=False)
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
    beside_it = bundle.with_name(f"{bundle.name}.engines") if bundle.name else None
    if beside_it is not None and bundle.exists():
        written = beside_it if beside_it.exists() else bundle.parent
        if os.access(written, os.W_OK | os.X_OK):
            return beside_it
    return device.state_directory() / "engines"


def here() -> Path:
    """Where engines are kept now."""
    return _directory.get() or device.state_directory() / "engines"


def key_of(facts: Mapping[str, str]) -> str:
    """One name for all that an engine depends on."""
    spelt = json.dumps(dict(sorted(facts.items())), ensure_ascii=False)
    return hashlib.sha256(spelt.encode()).hexdigest()


def engine(
    facts: Mapping[str, str],
    build: Callable[[bytes | None], Built],
    say: Callable[[str], None],
    *,
    distrusted: str | None = None,
) -> Engine:
    """The kept engine for these facts, or a new one that is kept from now on.

    Args:
        facts: what an engine depends on: GPU, version, flags, digest of the file.
        build: builds from an earlier timing cache, or None.
        say: is told where an engine cannot be kept.
        distrusted: digest of an engine that is whole and was not accepted by the library.
    """
    directory, key = here(), key_of(facts)
    found = _kept(directory, key, facts)
    if found is not None and found.digest != distrusted:
        return found
    timing = directory / f"{_machine(facts)}.{TIMING_CACHE}"
    started = time.monotonic()
    built = build(_bytes_of(timing))
    digest = hashlib.sha256(built.plan).hexdigest()
    told = {
        **facts,
        "engine_sha256": digest,
        "engine_bytes": str(len(built.plan)),
        "build_s": f"{time.monotonic() - started:.1f}",
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            # Two processes may have built at once, and no two builds are the same: the first one
            # stays, so that both prove and report one engine.
            found = _kept(directory, key, facts)
            if found is not None and found.digest != distrusted:
                return found
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

    Args:
        directory: where they are kept.
        keep: the facts of the engine that stays.

    Returns:
        How many were removed.

    Raises:
        OSError: the directory cannot be written.
    """
    removed = 0
    for sidecar in sorted(directory.glob("*.json")):
        try:
            told = json.loads(sidecar.read_bytes())
            same = told["file_sha256"] == keep["file_sha256"] and "engine_sha256" in told
        except (OSError, ValueError, TypeError, KeyError):
            continue  # not ours, or damaged: never removed on a guess
        if same and sidecar.stem != key_of(keep):
            sidecar.unlink(missing_ok=True)
            sidecar.with_suffix(".plan").unlink(missing_ok=True)
            removed += 1
    return removed


def _kept(directory: Path, key: str, facts: Mapping[str, str]) -> Engine | None:
    plan, sidecar = (_bytes_of(directory / f"{key}.{kind}") for kind in ("plan", "json"))
    if plan is None or sidecar is None:
        return None
    try:
        told = json.loads(sidecar)
        # A pair may have been renamed: what it says of itself counts, not what it is called.
        right = {name: told[name] for name in facts} == dict(facts)
        digest = told["engine_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not right or hashlib.sha256(plan).hexdigest() != digest:
        return None
    return Engine(plan, digest, True)


def _machine(facts: Mapping[str, str]) -> str:
    """Timings hold for the device and the library, whatever the file."""
    return key_of({k: v for k, v in facts.items() if k in ("gpu", "compute_capability", "library")})


def _bytes_of(path: Path) -> bytes | None:
    """A file's bytes; None where it is not there or belongs to somebody else."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
                return None
            return file.read()
    except OSError:
        return None


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Only one process writes here at a time; the system ends the lock with the process."""
    import fcntl

    with (directory / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, raw: bytes) -> None:
    """At once or not at all, and readable for this user alone."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
