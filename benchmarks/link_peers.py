"""What benchmarks/link.py sets beside the bridge: the floor, pyserial's threads, BrainFlow.

Bytes come over a pty from a process of their own, so that the processor time of this one is that of
reading alone. The feeder answers `v` with the Cyton's greeting and `b` with all of its bytes.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from cobs import cobs

from firmware_bridge import connect
from firmware_bridge.devices.cyton import Cyton, CytonDouble
from firmware_bridge.frames import CobsFramer
from firmware_bridge.port import opener
from firmware_bridge.receiver import Receiver

PATIENCE_S = 60.0
RESIDUE = 0x2144DF1C
"""What zlib's CRC leaves over a body with its own CRC behind it: the cheapest way to check."""


def floor(wire: bytes) -> int:
    """Frames whose checksum is right: nothing is kept, and nothing is asked of a piece's length."""
    good = 0
    for piece in wire.split(b"\0"):
        if piece:
            good += zlib.crc32(cobs.decode(piece)) == RESIDUE
    return good


class Feeder:
    """A process at the other end of a pty; a context manager that ends it.

    Args:
        payload: the file whose bytes it sends for each `b`.

    Attributes:
        path: of this end.
    """

    def __init__(self, payload: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(payload)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.path = self._process.stdout.readline().strip()

    def __enter__(self) -> Feeder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def feed(payload: Path) -> None:
    """The process of a `Feeder`."""
    ours, theirs = pty.openpty()  # `theirs` stays open: no hang-up between two readers
    tty.setraw(ours)
    tty.setraw(theirs)
    data = payload.read_bytes()
    print(os.ttyname(theirs), flush=True)
    while True:
        select.select([ours], [], [])
        for letter in os.read(ours, 1024):
            answer = {ord("v"): CytonDouble.greeting, ord("b"): data}.get(letter, b"")
            at = 0
            while at < len(answer):
                at += os.write(ours, answer[at : at + 65536])


def spent_ms(work: Callable[[], None]) -> float:
    """Processor time of all threads of this process."""
    begin = time.process_time_ns()
    work()
    return (time.process_time_ns() - begin) / 1e6


# --- frames of docs/wire.md ---


def by_reader_thread(path: str, frames: int, *, checked: bool) -> float:
    """pyserial's ReaderThread with its Packetizer, which cuts at zero bytes.

    Args:
        path: of the pty.
        frames: that come.
        checked: whether what it gives is decoded and checked with `cobs` and `zlib`.
    """
    import serial
    from serial.threaded import Packetizer, ReaderThread

    done = threading.Event()
    good = 0

    class Counting(Packetizer):  # type: ignore[misc]  # pyserial has no types here
        def handle_packet(self, packet: bytes) -> None:
            nonlocal good
            if checked:
                body = cobs.decode(packet)
                good += zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little")
            else:
                good += 1
            if good == frames:
                done.set()

    with serial.Serial(path, exclusive=True) as port:
        thread = ReaderThread(port, Counting)
        thread.start()
        try:

            def all_come() -> None:
                port.write(b"b")
                if not done.wait(PATIENCE_S):
                    raise SystemExit(f"ReaderThread: {good} of {frames} frames came")

            return spent_ms(all_come)
        finally:
            thread.stop()


def by_port(path: str, frames: int, make: Callable[[], CobsFramer | Receiver]) -> float:
    """Our port, read as the link reads it, to frames or to blocks."""
    reader, port = make(), opener(path)()
    try:

        def all_come() -> None:
            port.write(b"b")
            come = 0
            while come < frames:
                data = port.read(PATIENCE_S)
                if not data:
                    raise SystemExit(f"our port: {come} of {frames} frames came")
                if isinstance(reader, Receiver):
                    come += sum(1 for _ in reader.feed(data, 0))
                else:
                    come += len(reader.feed(data))

        return spent_ms(all_come)
    finally:
        port.close()


# --- packets of a Cyton ---


class ByBrainFlow:
    """BrainFlow's session with a Cyton; a context manager that ends it.

    Args:
        path: of the pty.
    """

    def __init__(self, path: str) -> None:
        from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams

        parameters = BrainFlowInputParams()
        parameters.serial_port = path
        BoardShim.disable_board_logger()
        self._board = BoardShim(BoardIds.CYTON_BOARD, parameters)
        self._channels = BoardShim.get_eeg_channels(BoardIds.CYTON_BOARD)
        self._board.prepare_session()

    def __enter__(self) -> ByBrainFlow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._board.release_session()

    def read(self, packets: int, look_s: float = 0.02) -> tuple[float, Any]:
        """Processor time in ms until all have come and were taken; (n, 8) µV."""
        found: list[Any] = []

        def all_come() -> None:
            self._board.start_stream(packets + 1000)
            until = time.monotonic() + PATIENCE_S
            while self._board.get_board_data_count() < packets:
                if time.monotonic() > until:
                    raise SystemExit(f"BrainFlow: {self._board.get_board_data_count()} came")
                time.sleep(look_s)
            found.append(self._board.get_board_data()[self._channels].T)

        ms = spent_ms(all_come)
        self._board.stop_stream()
        return ms, found[0]


def by_link(path: str, packets: int) -> tuple[float, list[Any]]:
    """Our link with the Cyton's dialect, both its threads and the ring; blocks' samples in µV."""
    found: list[Any] = []
    with connect(path, Cyton(), reconnect=False) as link:

        def all_come() -> None:
            come = 0
            with link.stream("exg", on_full="block") as stream:
                while come < packets:
                    block = stream.get(PATIENCE_S)
                    if block is None:
                        raise SystemExit(f"our link: {come} of {packets} packets came")
                    come += len(block)
                    found.append(block)

        ms = spent_ms(all_come)
    return ms, [block.samples for block in found]


if __name__ == "__main__":
    feed(Path(sys.argv[1]))
