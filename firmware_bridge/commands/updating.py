"""`edge-dx-bridge update`: new firmware, resumable; tried, then confirmed."""

from __future__ import annotations

import argparse
import sys

from firmware_bridge import signature
from firmware_bridge.commands import EXIT_DONE, opened, shown
from firmware_bridge.errors import ImageRefused
from firmware_bridge.update import read_file, update


def act(options: argparse.Namespace) -> int:
    """Says what runs afterwards."""
    image = read_file(options.image)
    if options.key:
        try:
            by = signature.check(image, signature.read_key(options.key))
        except ImageRefused as error:
            raise ImageRefused(f"{options.image}: {error}") from error
        print(f"{options.image}: {by}, signed with {options.key}")
    watched = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if watched:
            print(f"\r{done} of {total} bytes", end="", file=sys.stderr, flush=True)

    with opened(options) as link:
        print(shown(f"{link.hello.device} {link.hello.serial}: {link.hello.firmware or '?'} -> "
                    f"{image.version}, {len(image.data)} bytes"))  # fmt: skip
        version = update(link, image, allow_downgrade=options.allow_downgrade, progress=progress)
    if watched:
        print(file=sys.stderr)
    print(f"{version} runs and is confirmed")
    return EXIT_DONE
