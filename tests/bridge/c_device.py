"""The C reference as a device: its process, built with sanitizers, in the place of a simulator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FIRMWARE = Path(__file__).parents[2] / "firmware_bridge" / "firmware"
MAX_FRAME = 1024
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wsign-conversion",
            "-Werror"]  # fmt: skip


def compiler() -> str | None:
    return shutil.which("gcc") or shutil.which("clang")


def build(directory: Path, *, sanitize: bool = True) -> Path:
    """Compiles the reference and its process."""
    made = directory / "on_stdio"
    cc = compiler()
    assert cc is not None
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitize else []
    sources = [*sorted(FIRMWARE.glob("edx_*.c")), FIRMWARE / "host" / "on_stdio.c"]
    subprocess.run(
        [cc, "-std=c11", "-g", "-O1", *checks, *WARNINGS, f"-DEDX_MAX_FRAME={MAX_FRAME}",
         *map(str, sources), "-o", str(made)], check=True, timeout=300,
    )  # fmt: skip
    return made


class CDevice:
    """A device without I/O, as `SimulatedDevice` is; its world is a process."""

    def __init__(
        self, program: Path, directory: Path, counts: Any, rate_hz: int = 250,
        per_message: int = 25,
    ) -> None:  # fmt: skip
        numbers = np.asarray(counts, "<i4")
        record = directory / f"{id(self)}.i32"
        record.write_bytes(numbers.tobytes())
        arguments = [str(rate_hz), str(numbers.shape[1]), str(per_message), str(record)]
        self._process = subprocess.Popen(
            [str(program), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._due: int | None = None

    def _tell(self, letter: str, data: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(letter.encode() + len(data).to_bytes(4, "little") + data)
        self._process.stdin.flush()

    def ask(self, letter: str, data: bytes = b"") -> bytes:
        self._tell(letter, data)
        assert self._process.stdout is not None
        length = self._process.stdout.read(4)
        assert len(length) == 4, f"the reference ended with {self._process.wait(10)}"
        return self._process.stdout.read(int.from_bytes(length, "little"))

    @property
    def next_due_us(self) -> int | None:
        return self._due

    def receive(self, data: bytes) -> None:
        self._tell("R", data)

    def advance(self, now_us: int) -> None:
        due = int.from_bytes(self.ask("T", now_us.to_bytes(8, "little")), "little")
        self._due = None if due == 2**64 - 1 else due

    def take(self, at_most: int | None = None) -> bytes:
        return self.ask("K")

    def frames(self, data: bytes) -> Sequence[bytes]:
        """Channel and payload of each frame that the reference finds in these bytes."""
        told, at, found = self.ask("U", data), 0, []
        while at < len(told):
            length = int.from_bytes(told[at : at + 4], "little")
            found.append(told[at + 4 : at + 4 + length])
            at += 4 + length
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0, "a sanitizer found something"
        self._process.stdout.close()
