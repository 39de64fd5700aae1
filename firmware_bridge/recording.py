"""Recordings (`*.edxr`): the bytes of a link with their times, safe against being cut off.

    "EDXR" 01 0A
    records: length u32 | kind u8 | time u64 | body | CRC-32 u32        little endian

The length is that of the body; the CRC covers kind, time and body. Times are the host's monotonic
nanoseconds. Each record is written at once and nothing is ever changed, so whatever ends the
writer, every record before is whole; once a second everything is forced to the disk. Kinds: 0 a
CBOR map on the recording (the first record), 1 bytes from the device, 2 bytes to it, 3 a note for a
person. A reader skips kinds that it does not know.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from firmware_bridge import cbor
from firmware_bridge.errors import BadMessage, BadRecording

MAGIC = b"EDXR\x01\n"
HEAD, IN, OUT, NOTE = 0, 1, 2, 3
MAX_BODY = 1 << 20
_RECORD = struct.Struct("<IBQ")
_CRC = struct.Struct("<I")
_SYNC_S = 1.0
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        kind: see above.
        t_ns: the host's monotonic time.
        body: bytes.
    """

    kind: int
    t_ns: int
    body: bytes = field(repr=False)


class Recorder:
    """Writes a recording; `tap` is what a link calls. A context manager.

    Args:
        path: a file that is not there yet: nothing that was recorded is written over.
        told: further facts for the first record, for example the dialect.

    Raises:
        BadRecording: it cannot be written there.
    """

    def __init__(self, path: str | Path, told: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        try:
            self._fd = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666
            )
        except FileExistsError as error:
            raise BadRecording(f"{path}: is there already; name another file") from error
        except OSError as error:
            raise BadRecording(f"{path}: cannot be written ({error.strerror})") from error
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self.bytes_in = 0
        now = {"wall_clock_s": time.time(), "monotonic_ns": time.monotonic_ns()}
        os.write(self._fd, MAGIC)
        self._write(HEAD, time.monotonic_ns(), cbor.dumps({**now, **(told or {})}))
        self._syncer = threading.Thread(target=self._sync, name="bridge-recorder", daemon=True)
        self._syncer.start()

    def tap(self, direction: str, t_ns: int, data: bytes) -> None:
        """Bytes of the link."""
        if direction == "in":
            self.bytes_in += len(data)
        for at in range(0, len(data), MAX_BODY):
            self._write(IN if direction == "in" else OUT, t_ns, data[at : at + MAX_BODY])

    def note(self, text: str) -> None:
        """A word for a person."""
        self._write(NOTE, time.monotonic_ns(), text.encode()[:MAX_BODY])

    def _write(self, kind: int, t_ns: int, body: bytes) -> None:
        head = _RECORD.pack(len(body), kind, t_ns)
        whole = head + body + _CRC.pack(zlib.crc32(body, zlib.crc32(head[4:])))
        with self._writing:
            if self._closed.is_set():
                return
            left = memoryview(whole)
            try:
                while left:
                    left = left[os.write(self._fd, left) :]
            except OSError as error:
                raise BadRecording(
                    f"{self._path}: cannot go on ({error.strerror}); what was recorded is kept"
                ) from error

    def _sync(self) -> None:
        while not self._closed.wait(_SYNC_S):
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Ends it; more than once does no harm."""
        with self._writing:
            if self._closed.is_set():
                return
            self._closed.set()
        self._syncer.join()
        os.fdatasync(self._fd)
        os.close(self._fd)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Recording:
    """Reads a recording.

    Args:
        path: of the file.

    Attributes:
        told: the map of its first record.
        cut_off: bytes at the end that are no whole record, because the writer was ended; known
            once everything was read.

    Raises:
        BadRecording: no recording.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.cut_off = 0
        with self._open() as file:
            first = next(self._records(file), None)
        if first is None or first.kind != HEAD:
            raise BadRecording(f"{path}: no recording; its first record is missing")
        try:
            self.told = cbor.loads(first.body, max_bytes=65_536)
        except BadMessage as error:
            raise BadRecording(f"{path}: no recording: {error}") from error

    def records(self) -> Iterator[Record]:
        """All records in order, but the first.

        Raises:
            BadRecording: one in the middle is damaged; those before it were good.
        """
        with self._open() as file:
            for number, record in enumerate(self._records(file)):
                if number:
                    yield record

    def _open(self) -> BinaryIO:
        try:
            if not self.path.is_file():  # a named pipe would block for ever
                raise BadRecording(f"{self.path}: no such recording")
            file = self.path.open("rb")
        except (OSError, ValueError) as error:
            raise BadRecording(f"{self.path}: cannot be read ({error})") from error
        if file.read(len(MAGIC)) != MAGIC:
            file.close()
            raise BadRecording(f"{self.path}: no recording of this bridge, or of a newer one")
        return file

    def _records(self, file: BinaryIO) -> Iterator[Record]:
        while head := file.read(_RECORD.size):
            if len(head) < _RECORD.size:
                self.cut_off = len(head)
                return
            length, kind, t_ns = _RECORD.unpack(head)
            if length > MAX_BODY:
                raise BadRecording(f"{self.path}: damaged at byte {file.tell() - len(head)}")
            rest = file.read(length + _CRC.size)
            if len(rest) < length + _CRC.size:
                self.cut_off = len(head) + len(rest)
                return
            body = rest[:length]
            if _CRC.unpack(rest[length:])[0] != zlib.crc32(body, zlib.crc32(head[4:])):
                raise BadRecording(
                    f"{self.path}: damaged at byte {file.tell() - len(head) - len(rest)}"
                )
            yield Record(kind, t_ns, body)
