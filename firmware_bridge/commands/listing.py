"""`edge-dx-bridge list`: the ports of this machine and what answers on them."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

from firmware_bridge.commands import EXIT_DONE, shown
from firmware_bridge.connecting import connect
from firmware_bridge.devices import dialect
from firmware_bridge.errors import BridgeError, Incompatible, NoAnswer, PortBusy
from firmware_bridge.port import Found, ports


def act(options: argparse.Namespace) -> int:
    """Prints a line for each port."""
    found = ports()
    if not found:
        print("no serial ports here")
        return EXIT_DONE
    with ThreadPoolExecutor(len(found)) as pool:
        answers = list(pool.map(_nothing if options.no_ask else _answer, found))
    for port, answer in zip(found, answers, strict=True):
        profile = "" if port.profile == "plain" else f"profile {port.profile}"
        words = [port.path, shown(port.told), port.usb, profile, answer]
        print("  ".join(word for word in words if word))
    return EXIT_DONE


def _nothing(_: Found) -> str:
    return ""


def _answer(port: Found) -> str:
    try:
        return _ours(port)
    except (NoAnswer, Incompatible):
        pass
    except PortBusy:
        return "(another program has it)"
    except BridgeError as error:
        return shown(f"({error})")
    try:
        return _standard(port)
    except BridgeError:
        return "(nothing answers; a device of others may, with --device)"


def _ours(port: Found) -> str:
    with connect(port.path, reconnect=False) as link:
        hello = link.hello
        streams = ", ".join(info.name for info in hello.streams) or "no streams"
        return shown(f"{hello.device} {hello.serial}, firmware {hello.firmware}: {streams}")


def _standard(port: Found) -> str:
    with connect(port.path, dialect("smp-console"), reconnect=False) as link:
        return f"an SMP server, requests up to {link.hello.max_frame} bytes (--device smp-console)"
