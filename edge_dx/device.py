"""What this device is: processor, instruction sets, and where edge_dx keeps its small state."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

# Linux's names, x86-64 and 64-bit Arm, of what matters to integer networks.
_OF_INTEREST = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
_INT8_DOT = {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp"}


@cache
def instruction_sets() -> tuple[str, ...]:
    """The instruction sets of interest that this processor has, by the names that Linux uses.

    Empty where it cannot be told. Every 64-bit Arm processor has `asimd`.
    """
    is_arm = platform.machine() in ("aarch64", "arm64")
    wanted = "Features" if is_arm else "flags"  # an emulator may show the host's
    present = {"asimd"} if is_arm else set()
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == wanted:
            present.update(value.split())
            break
    return tuple(name for name in _OF_INTEREST if name in present)


def has_int8_dot() -> bool:
    """Whether the processor multiplies int8 without saturating in between.

    x86-64 without VNNI adds products of 8-bit numbers in 16 bits and saturates silently
    (onnxruntime#12072), so the answers of an int8 file are not those that were measured.
    """
    return bool(_INT8_DOT.intersection(instruction_sets()))


@cache
def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def fingerprint() -> str:
    """Names the hardware that a proof holds for."""
    return f"{platform.machine()}|{processor()}|{','.join(instruction_sets())}"


def state_directory() -> Path:
    """Where proofs are remembered: `$XDG_STATE_HOME/edge-dx` or `~/.local/state/edge-dx`."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "edge-dx"


def data_directory() -> Path:
    """Where bundles are installed: `$XDG_DATA_HOME/edge-dx` or `~/.local/share/edge-dx`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "edge-dx"
