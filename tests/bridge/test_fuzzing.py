"""A little of the fuzzing in each run; `python -m tests.bridge.fuzzing` is the whole of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.errors import BadMessage
from tests.bridge.fuzz_targets import Target
from tests.bridge.fuzzing import CEILING, MOST_AT_ONCE, main


def test_no_exception_escapes_and_nothing_piles_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["6000"]) == 0
    assert "no exception escaped" in capsys.readouterr().out


def raises(data: bytes) -> int:
    raise IndexError(len(data))


def takes_nothing(data: bytes) -> int:
    raise BadMessage("never")


def takes_much(data: bytes) -> int:
    return len(bytearray(MOST_AT_ONCE + 1))


def takes_all(data: bytes) -> int:
    return len(bytearray(2 * CEILING))


@pytest.mark.parametrize(
    ("take", "told"),
    [
        (raises, "IndexError: "), (takes_nothing, "NOT REACHED: bad"),
        (takes_much, "TOO MUCH MEMORY: bad"), (takes_all, "MemoryError: "),
    ],
)  # fmt: skip
def test_the_fuzzing_sees_what_it_looks_for(
    take: Callable[[bytes], int], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["200"], {"bad": Target(take, [b"good"])}) == 1
    assert told in capsys.readouterr().out


def test_the_fuzzing_sees_memory_that_is_kept() -> None:
    """In a process of its own: what this one held once would hide it."""
    code = (
        "import sys\n"
        "from tests.bridge.fuzzing import MOST_IN_ALL_MB, Target, main\n"
        "held = []\n"
        "def keeps(data):\n"
        "    held.append(b'x' * (1 << 20))\n"
        "    return 1\n"
        "sys.exit(main([str(MOST_IN_ALL_MB + 20)], {'bad': Target(keeps, [b'good'])}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          check=False, cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no exception escaped" in done.stdout
