"""What the processor says of itself, read from Linux's table."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge_dx import device
from edge_dx.manifest import InstructionSet

XEON = "processor\t: 0\nmodel name\t: Some Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n"
OLD = "model name\t: Some Core\nflags\t\t: fpu sse2 avx avx2 fma\n"
ORIN = "processor\t: 0\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd evtstrm aes asimdhp asimddp\n"
PI4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nModel\t\t: Raspberry Pi 4\n"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str | None], None]]:
    def show(machine: str, table: str | None) -> None:
        def read(self: Path, *arguments: str) -> str:
            assert str(self) == "/proc/cpuinfo"
            if table is None:
                raise FileNotFoundError
            return table

        monkeypatch.setattr(platform, "machine", lambda: machine)
        monkeypatch.setattr(Path, "read_text", read)

    device.instruction_sets.cache_clear()
    device.processor.cache_clear()
    yield show
    device.instruction_sets.cache_clear()
    device.processor.cache_clear()


@pytest.mark.parametrize(
    ("machine", "table", "sets", "has_dot"),
    [
        ("x86_64", XEON, ("avx2", "avx512f", "avx512_vnni", "amx_int8"), True),
        ("x86_64", OLD, ("avx2",), False),
        ("x86_64", None, (), False),
        ("x86_64", "", (), False),
        ("aarch64", ORIN, ("asimd", "asimddp"), True),
        ("aarch64", PI4, ("asimd",), False),
        ("aarch64", None, ("asimd",), False),
        ("arm64", None, ("asimd",), False),
        ("aarch64", XEON, ("asimd",), False),  # an emulator that shows its host's table
    ],
)
def test_instruction_sets_are_told_by_their_linux_names(
    shown: Callable[[str, str | None], None], machine: str, table: str | None,
    sets: tuple[str, ...], has_dot: bool,
) -> None:  # fmt: skip
    shown(machine, table)
    assert device.instruction_sets() == sets
    assert device.has_int8_dot() is has_dot


def test_the_manifests_words_are_among_them() -> None:
    assert set(get_args(InstructionSet)) <= set(device._OF_INTEREST)


def test_the_processor_has_a_name(shown: Callable[[str, str | None], None]) -> None:
    shown("aarch64", PI4)
    assert device.processor() == "Raspberry Pi 4"
    assert device.fingerprint() == "aarch64|Raspberry Pi 4|asimd"
