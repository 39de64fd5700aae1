"""gdcm in a process of its own: on some damaged streams it ends the process that it runs in.

Of 1,500 mutated lossless JPEG streams, nine made it abort. One child serves all studies of this
process, one frame at a time; a new one is started when it has died.
"""

from __future__ import annotations

import atexit
import json
import selectors
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.limits import MAX_FRAME_BYTES

DEADLINE_S = 60.0
"""For one frame, the start of the child included."""
_HEAD = struct.Struct("<QQ")  # bytes of JSON, bytes of pixels


class _Child:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, syntax: str, raw: bytes, how: dict[str, Any]) -> tuple[NDArray[Any], str]:
        with self._lock:
            try:
                process = self._running()
                told = json.dumps({"syntax": syntax, "how": how}).encode()
                answer, pixels = _asked(process, told, raw)
            except (OSError, EOFError) as error:
                self.close()
                raise UnreadableInput(
                    "its decoder (gdcm) broke down on it, so it is damaged", "unreadable"
                ) from error
            except TimeoutError as error:
                self.close()
                raise UnreadableInput(
                    f"its decoder (gdcm) did not finish in {DEADLINE_S:g} s", "unreadable"
                ) from error
        if "refused" in answer:
            raise UnsupportedInput(f"gdcm does not decode it ({answer['refused']})",
                                   "transfer_syntax")  # fmt: skip
        if "error" in answer:
            raise UnreadableInput(f"gdcm cannot decode it ({answer['error']})", "unreadable")
        found = np.frombuffer(pixels, np.dtype(answer["dtype"])).reshape(answer["shape"])
        return found, answer["photometric"]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_dx.sources.dicom.apart"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return self._process


_CHILD = _Child()
atexit.register(_CHILD.close)


def decode(syntax: str, raw: bytes, how: dict[str, Any]) -> tuple[NDArray[Any], str]:
    """Decodes one frame with gdcm.

    Args:
        syntax: transfer syntax UID.
        raw: the encapsulated frame.
        how: pydicom's decoding options.

    Returns:
        The stored values and their photometric interpretation.

    Raises:
        UnreadableInput: damaged; gdcm raised, died, or took too long.
        UnsupportedInput: gdcm does not do this kind.
    """
    return _CHILD.decode(syntax, raw, how)


def _asked(
    process: subprocess.Popen[bytes], told: bytes, raw: bytes
) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    due = time.monotonic() + DEADLINE_S
    process.stdin.write(_HEAD.pack(len(told), len(raw)) + told + raw)
    process.stdin.flush()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        if not ready.select(max(0.0, due - time.monotonic())):
            raise TimeoutError
    # It answers at one go, once it is done.
    answer, pixels = _received(process.stdout)
    found: dict[str, Any] = json.loads(answer)
    return found, pixels


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


def _serve() -> None:
    """The child: frames from standard input, answers to standard output, until it is closed."""
    import os

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    with out:
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


if __name__ == "__main__":
    _serve()
