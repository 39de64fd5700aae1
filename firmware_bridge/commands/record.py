"""`edge-dx-bridge record`: all bytes of a link into a file that survives being cut off."""

from __future__ import annotations

import argparse
import sys
import time

from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED, chosen, opened
from firmware_bridge.recording import Recorder


def act(options: argparse.Namespace) -> int:
    """Records until interrupted."""
    until = time.monotonic() + options.seconds if options.seconds else None
    told = {"target": str(options.target), "device": options.device}
    with Recorder(options.out, told) as recorder, opened(options, recorder.tap) as link:
        names = [options.stream] if options.stream else [i.name for i in link.hello.streams]
        if not names:
            names = [chosen(options, link)]
        streams = [link.stream(name, room=8) for name in names]
        try:
            while until is None or time.monotonic() < until:
                time.sleep(min(0.2, max((until or 1e18) - time.monotonic(), 0.0)))
                while (line := link.logs.get(0)) is not None:
                    print(f"device: {line.text}", file=sys.stderr)
                if link.ended:  # it says why
                    for stream in streams:
                        while stream.get(0) is not None:
                            pass
                    break
        except KeyboardInterrupt:
            pass
        for stream in streams:
            stream.close()
        counts = link.counts
    for name in names:
        found = counts[name]
        print(
            f"{options.out}: {name}: {found.received} received, {found.lost_link} lost on the way, "
            f"{found.lost_device} dropped by the device"
        )
    return EXIT_DONE if any(counts[name].received for name in names) else EXIT_FAILED
