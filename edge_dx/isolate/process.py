"""The near side of a helper: starts it, asks it, and does not wait longer than it said."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from edge_dx.errors import InputError, NotFound, NotIsolated, UnreadableInput, UnsupportedInput
from edge_dx.isolate import wire

START_S = 60.0
"""For the helper to import its readers; a slow card takes ten."""
_BYTES_PER_S = 20 * 2**20
"""A file may take a second more for each of so many bytes: a slow card or network gives as many."""
_START = (
    "import sys; sys.path[:] = sys.argv[2:]\n"
    "from edge_dx.isolate.child import serve; serve(int(sys.argv[1]))"
)
_PIPE_BYTES = 2**20
"""As much as Linux gives to any user; with its 64 KB the two processes wait for each other."""
_OWN_ROOT = str(Path(__file__).parents[2])
"""Where this package is, which may be known to Python by a relative name alone."""
_OPENING = {"study", "clip"}
_OUT_OF_TIME = {-signal.SIGXCPU}
_OUT_OF_MEMORY = {-signal.SIGKILL}  # by the kernel, which ran out of it


@dataclass(frozen=True)
class Limits:
    """What a file from outside may take.

    Attributes:
        deadline_s: seconds for opening a file, and for each of its frames, by the wall clock and
            of the processor; large files get a second more for each 20 MB.
        memory_bytes: beyond what the readers themselves take.
        files: that one helper reads before another takes its place. A helper that was taken over by
            one file could lie about those after it; with 1 each file has its own, and waits for it
            to start.
    """

    deadline_s: float = 30.0
    memory_bytes: int = 2**30
    files: int = 1000


class Helper:
    """A helper process. Started when it is first asked, and again after it has died.

    Safe to share between threads; they take turns.
    """

    def __init__(self, limits: Limits) -> None:
        """Starts nothing yet.

        Raises:
            NotIsolated: this system has no limits for processes that would hold.
        """
        if not sys.platform.startswith("linux"):
            raise NotIsolated(
                f"files can be read in a limited process on Linux alone, not on {sys.platform}; "
                "leave isolation off if the files come from a source that you trust"
            )
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._number = 0
        self._opened: Path | None = None
        self._files = 0
        self._end: weakref.finalize[..., Helper] | None = None

    @property
    def pid(self) -> int | None:
        """Of the helper that runs now."""
        return self._process.pid if self._process else None

    def ask(self, path: Path, request: wire.Message) -> tuple[wire.Message, bytearray]:
        """Sends a request about a file and waits for its answer.

        Raises:
            InputError: the helper died of the file (reason `unreadable`), took too long
                (`timeout`) or ran out of memory (`resource`).
            NotFound: the path is relative and the working directory is gone.
            NotIsolated: it does not start.
        """
        try:
            absolute = str(path.absolute())
        except OSError as error:  # the working directory is gone
            raise NotFound(f"{path}: no such file") from error
        with self._lock:
            opens = request["do"] in _OPENING or path != self._opened
            if opens and self._files >= self.limits.files:
                self._stop()
            process = self._running()
            opens |= path != self._opened
            self._number += 1
            self._files += opens
            seconds = self.limits.deadline_s + (_size_of(path) / _BYTES_PER_S if opens else 0)
            self._opened = path
            told = {**request, "path": absolute, "cpu_s": math.ceil(seconds)}
            try:
                answer, payload = self._asked(process, told, seconds)
                if answer.get("reason") == "resource":
                    self._stop()  # its memory is in pieces; the next file gets a new helper
                return answer, payload
            except TimeoutError:
                self._stop()
                raise _too_slow(path, seconds) from None
            except (OSError, EOFError):
                raise self._died(path, process, seconds) from None
            except wire.Garbled as error:
                self._stop()
                raise _broke_down(path, str(error)) from None
            except BaseException:  # half an answer is in the pipe
                self._stop()
                raise

    def distrust(self, path: Path, error: wire.Garbled) -> InputError:
        """Ends a helper whose answer makes no sense; gives the error to raise."""
        self.close()
        return _broke_down(path, str(error))

    def close(self) -> None:
        """Ends the helper. The next request starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        # After a fork both processes would read from one pipe, and get each other's patients.
        if self._owner != os.getpid():
            self._process, self._end, self._opened = None, None, None
            self._files, self._owner = 0, os.getpid()
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = self._started()
        return self._process

    def _started(self) -> subprocess.Popen[bytes]:
        # With the modules that run here and nothing from the working directory; in a session
        # of its own, so that Ctrl-C in a terminal is for this side to handle. One thread for the
        # algebra of numpy: each takes address space.
        paths = [*(p for p in sys.path if Path(p).is_absolute()), _OWN_ROOT]
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(self.limits.memory_bytes), *paths],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd="/", start_new_session=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                 "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert process.stdout is not None, "a pipe was asked for"
        os.set_blocking(process.stdout.fileno(), False)
        import fcntl

        with contextlib.suppress(OSError):  # a larger pipe is faster, and not owed to anybody
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._end = weakref.finalize(self, _ended, process, os.getpid())
        try:
            answer, _ = _received(process, 0, time.monotonic() + START_S)
        except (OSError, EOFError, TimeoutError, wire.Garbled):
            self._process = process
            self._stop()
            raise NotIsolated(
                "the process that reads files does not start; `edge-dx doctor` says what is "
                f"missing here, or allow it more memory than {self.limits.memory_bytes} bytes"
            ) from None
        assert answer == {"ready": True}, answer
        return process

    def _asked(
        self, process: subprocess.Popen[bytes], told: wire.Message, seconds: float
    ) -> tuple[wire.Message, bytearray]:
        assert process.stdin is not None, "a pipe was asked for"
        due = time.monotonic() + seconds
        process.stdin.write(wire.packed(self._number, told))
        process.stdin.flush()
        return _received(process, self._number, due)

    def _died(self, path: Path, process: subprocess.Popen[bytes], seconds: float) -> InputError:
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            code = 0
        self._stop()
        if code in _OUT_OF_TIME:
            return _too_slow(path, seconds)
        if code in _OUT_OF_MEMORY:
            return UnsupportedInput(f"{path}: takes more memory than there is", "resource")
        told = f"signal {-code}" if code < 0 else f"exit code {code}"
        return _broke_down(path, told)

    def _stop(self) -> None:
        self._process, self._opened, self._files = None, None, 0
        if self._end is not None:
            self._end()
            self._end = None


def _ended(process: subprocess.Popen[bytes], owner: int) -> None:
    if owner == os.getpid():
        process.kill()
        process.communicate()


def _received(
    process: subprocess.Popen[bytes], number: int, due: float
) -> tuple[wire.Message, bytearray]:
    assert process.stdout is not None, "a pipe was asked for"
    handle = process.stdout.fileno()
    text, payload = wire.lengths(_exactly(handle, wire.HEAD.size, due), number)
    return wire.parsed(_exactly(handle, text, due)), _exactly(handle, payload, due)


def _exactly(handle: int, count: int, due: float) -> bytearray:
    """So many bytes of a pipe that does not block, until a time of the monotonic clock."""
    found = bytearray(count)
    left = memoryview(found)
    ready = select.poll()
    ready.register(handle, select.POLLIN)
    while left:
        wait_ms = math.ceil((due - time.monotonic()) * 1000)
        if wait_ms <= 0 or not ready.poll(wait_ms):
            raise TimeoutError
        got = os.readv(handle, [left])
        if not got:
            raise EOFError
        left = left[got:]
    return found


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # it is told by whoever opens it
        return 0


def _too_slow(path: Path, seconds: float) -> InputError:
    return UnsupportedInput(
        f"{path}: reading it takes longer than the {seconds:.0f} s that it may; export it anew",
        "timeout",
    )


def _broke_down(path: Path, told: str) -> InputError:
    return UnreadableInput(
        f"{path}: its reader broke down on it ({told}), so it is damaged or an attack; copy it "
        "again", "unreadable",
    )  # fmt: skip
