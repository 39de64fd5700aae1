"""What a source of samples promises, and what all readers of them share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol

from edge_dx.errors import NotFound, UnreadableInput, UnsupportedInput
from edge_dx.signal import Samples

MV_PER = {"v": 1000.0, "mv": 1.0, "uv": 0.001, "µv": 0.001, "μv": 0.001, "nv": 1e-6}
"""Millivolts in one of each unit; two of them are a micro sign and a Greek letter."""
BLOCK = 1024
"""Samples that a file's reader gives at once."""
MAX_LEADS = 64


class SampleSource(Protocol):
    """Where samples come from: a file, a pipe, a device.

    Its blocks go into `SignalPath.step` as they are: each knows the device's index of its first
    sample, so what is missing between two of them shows.
    """

    @property
    def name(self) -> str:
        """What a person calls it, for messages."""

    @property
    def rate_hz(self) -> Fraction:
        """Samples per second and lead."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Their names, in the order of the columns. Leads are chosen by name, never by place."""

    @property
    def full_scale_mv(self) -> float | None:
        """The converter's largest value, for `Rules.full_scale_mv`; None where it is not known."""

    def blocks(self) -> Iterator[Samples]:
        """All samples in millivolts, once, block by block.

        Raises:
            InputError: damaged from here on; what came before was good.
        """

    def close(self) -> None:
        """Lets go of the file or device; more than once does no harm."""


def opened(path: Path) -> tuple[BinaryIO, int]:
    """An open regular file and its size.

    Raises:
        NotFound: no such file.
        UnreadableInput: it is none, or may not be read.
    """
    try:
        if path.exists() and not path.is_file():  # a named pipe would block for ever
            raise UnreadableInput(f"{path}: cannot be read (it is no regular file)", "unreadable")
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"{path}: cannot be read ({told})", "unreadable") from error
    return file, os.fstat(file.fileno()).st_size


def checked_leads(name: str, leads: Sequence[str]) -> tuple[str, ...]:
    """Lead names that are there and differ.

    Raises:
        UnsupportedInput: none, too many, or two of one name.
    """
    found = tuple(lead.strip() for lead in leads)
    if not 1 <= len(found) <= MAX_LEADS or len(set(found)) < len(found) or "" in found:
        raise UnsupportedInput(
            f"{name}: 1 to {MAX_LEADS} leads of different names are read, not {list(found)[:9]}",
            "format",
        )
    return found


def to_mv(name: str, unit: str) -> float:
    """Millivolts in one of the unit.

    Raises:
        UnsupportedInput: no unit of voltage.
    """
    factor = MV_PER.get(unit.strip().lower())
    if factor is None:
        raise UnsupportedInput(
            f"{name}: the unit {unit.strip()[:20]!r} is no voltage; V, mV, uV and nV are read",
            "format",
        )
    return factor
