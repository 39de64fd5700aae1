"""gdcm in a process of its own: on some damaged streams it ends the process that it runs in.

Of 1,500 mutated lossless JPEG streams, nine made it abort. One child serves all studies of this
process, one frame at a time; a new one is started when it has died.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.limits import MAX_FRAME_BYTES

_OWN_ROOT = str(Path(__file__).resolve().parents[3])
DEADLINE_S = 60.0
"""For one frame, the start of the child included."""
_HEAD = struct.Struct("<QQ")  # bytes of JSON, bytes of pixels
_START = (
    "import sys; sys.path[:] = sys.argv[1:]\nfrom edge_dx.sources.dicom.apart import serve; serve()"
)
"""With this process's own search path. `python -m` would put the working directory in front of it,
and a `pydicom.py` that lies beside the files on a stick would be run.
"""


class _Child:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, syntax: str, raw: bytes, how: dict[str, Any]) -> tuple[NDArray[Any], str]:
        told = json.dumps({"syntax": syntax, "how": how}).encode()
        with self._lock:
            process = self._running()
            try:
                answer, pixels = _asked(process, told, raw)
            except TimeoutError as error:  # an OSError too
                self.close()
                raise UnsupportedInput(
                    f"its decoder (gdcm) did not finish in {DEADLINE_S:g} s", "timeout"
                ) from error
            except (OSError, EOFError, ValueError) as error:
                self.close()
                raise UnreadableInput(
                    "its decoder (gdcm) broke down on it, so it is damaged", "unreadable"
                ) from error
            except BaseException:  # interrupted: the answer still to come is not the next one's
                self.close()
                raise
        return _values(answer, pixels)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def forget(self) -> None:
        """In a process that was forked off: the child is its parent's, and two of them on one
        pipe would get each other's frames.
        """
        if self._process is not None:
            _NOT_OURS.append(self._process)
        # A lock that another thread held while forking stays held.
        self._process, self._lock = None, threading.Lock()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            paths = [p for p in sys.path if Path(p).is_absolute()]
            try:
                # In a session of its own: Ctrl-C in a terminal is for this side to handle.
                process = subprocess.Popen(
                    [sys.executable, "-c", _START, *paths, _OWN_ROOT],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise UnsupportedInput(
                    f"its decoder (gdcm) cannot be started here ({error})", "transfer_syntax"
                ) from error
            self._process = process
            try:
                _answered(process, time.monotonic() + DEADLINE_S)
            except (OSError, EOFError, ValueError) as error:
                self.close()
                raise UnsupportedInput(
                    "its decoder (gdcm) does not start in a process of its own", "transfer_syntax"
                ) from error
            except BaseException:
                self.close()
                raise
        return self._process


_CHILD = _Child()
_HERE = False
_NOT_OURS: list[subprocess.Popen[bytes]] = []  # kept, because Popen waits for what it forgets
atexit.register(_CHILD.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _CHILD.forget())


def decode(syntax: str, raw: bytes, how: dict[str, Any]) -> tuple[NDArray[Any], str]:
    """Decodes one frame with gdcm.

    Args:
        syntax: transfer syntax UID.
        raw: the encapsulated frame.
        how: pydicom's decoding options.

    Returns:
        The stored values and their photometric interpretation.

    Raises:
        UnreadableInput: damaged; gdcm raised, or died.
        UnsupportedInput: gdcm does not do this kind, does not start, or took too long.
    """
    if _HERE:
        return _values(*_decoded({"syntax": syntax, "how": how}, raw))
    return _CHILD.decode(syntax, raw, how)


def in_here() -> None:
    """Decodes in this process from now on: for one that may itself be lost (`edge_dx.isolate`)."""
    global _HERE
    _HERE = True


def _values(answer: dict[str, Any], pixels: bytes) -> tuple[NDArray[Any], str]:
    if "refused" in answer:
        raise UnsupportedInput(f"gdcm does not decode it ({answer['refused']})",
                               "transfer_syntax")  # fmt: skip
    if "error" in answer:
        raise UnreadableInput(f"gdcm cannot decode it ({answer['error']})", "unreadable")
    found = np.frombuffer(pixels, np.dtype(answer["dtype"])).reshape(answer["shape"])
    return found, answer["photometric"]


def _asked(
    process: subprocess.Popen[bytes], told: bytes, raw: bytes
) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None
    due = time.monotonic() + DEADLINE_S
    process.stdin.write(_HEAD.pack(len(told), len(raw)) + told + raw)
    process.stdin.flush()
    answer, pixels = _answered(process, due)
    found: dict[str, Any] = json.loads(answer)
    return found, pixels


def _answered(process: subprocess.Popen[bytes], due: float) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        if not ready.select(max(0.0, due - time.monotonic())):
            raise TimeoutError
    # It answers at one go, once it is done.
    return _received(process.stdout)


def _received(file: IO[bytes]) -> tuple[bytes, bytes]:
    sizes = _HEAD.unpack(_exactly(file, _HEAD.size))
    if sizes[0] > 2**16 or sizes[1] > 2 * MAX_FRAME_BYTES:
        raise EOFError
    return _exactly(file, sizes[0]), _exactly(file, sizes[1])


def _exactly(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise EOFError
    return found


def serve() -> None:
    """The child: frames from standard input, answers to standard output, until it is closed."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    with out:
        out.write(_HEAD.pack(0, 0))  # it is there
        out.flush()
        while True:
            try:
                told, raw = _received(sys.stdin.buffer)
            except EOFError:
                return
            answer, pixels = _decoded(json.loads(told), raw)
            packed = json.dumps(answer).encode()
            out.write(_HEAD.pack(len(packed), len(pixels)) + packed + pixels)
            out.flush()


def _decoded(told: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    import warnings

    from pydicom.pixels.decoders.base import get_decoder

    warnings.simplefilter("ignore")
    try:
        decoder = get_decoder(told["syntax"])
        found, facts = decoder.as_array(raw, index=0, decoding_plugin="gdcm", **told["how"])
    except Exception as error:
        words = " ".join(str(error).split())
        # pydicom wraps both what gdcm cannot do and what it could not.
        kind = "refused" if "not support" in words else "error"
        return {kind: words[-200:]}, b""
    values = np.ascontiguousarray(found.astype(found.dtype.newbyteorder("="), copy=False))
    photometric = str(facts["photometric_interpretation"])
    return (
        {"dtype": values.dtype.str, "shape": values.shape, "photometric": photometric},
        values.tobytes(),
    )
