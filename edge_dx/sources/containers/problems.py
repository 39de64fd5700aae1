"""What containers say when they are not whole."""

from __future__ import annotations

from edge_dx.errors import UnreadableInput, UnsupportedInput

MAX_PARTS = 100_000
"""Boxes or lists of a file. A fragmented MP4 has two boxes per fragment, of a second or so."""


def cut(where: str) -> UnreadableInput:
    """A file that ends too early."""
    return UnreadableInput(f"the video is cut short ({where})", "unreadable")


def missing(count: int) -> UnreadableInput:
    """A file that ends before its own sizes say."""
    return cut(f"{count} bytes are missing at its end")


def never_closed(what: str = "") -> UnreadableInput:
    """A recording that was interrupted."""
    return cut(f"{what}the program that wrote it never closed it")


def changing(what: str) -> UnsupportedInput:
    """Pictures that are not of one kind."""
    return UnsupportedInput(
        f"its pictures change their {what} in mid-file; export each part as a file of its own",
        "format",
    )
