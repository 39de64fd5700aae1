"""`edge-dx-bridge replay`: a recording's samples as text that `edge-dx` reads, gaps included."""

from __future__ import annotations

import argparse
import sys

from firmware_bridge.blocks import Block
from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED, chosen, opened, shown


def act(options: argparse.Namespace) -> int:
    """Prints a header and a line for each sample: its index and its leads."""
    with opened(options, reconnect=False) as link:
        name = chosen(options, link)
        info = link.hello.stream(name)
        if info.kind != "samples":
            print(f"edge-dx-bridge: {shown(name)} is a stream of pictures", file=sys.stderr)
            return EXIT_FAILED
        print(f"# rate_hz: {info.rate_hz}")
        print("index," + ",".join(f"{shown(lead)} ({info.unit})" for lead in info.leads))
        run = missing = last = 0
        for block in link.stream(name):
            assert isinstance(block, Block)
            if block.run != run:
                # Its samples have other times: they would be taken for older ones.
                print(f"edge-dx-bridge: the device was restarted after index {last}; what follows "
                      "is left out", file=sys.stderr)  # fmt: skip
                break
            if block.gap is not None:
                missing += block.gap.count or 0
            for number, row in enumerate(block.samples, block.first_index):
                print(f"{number}," + ",".join(f"{value:.10g}" for value in row))
            last = block.first_index + len(block) - 1
    print(f"edge-dx-bridge: {missing} samples are missing", file=sys.stderr)
    return EXIT_DONE
