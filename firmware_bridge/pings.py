"""A round of pings, docs/wire.md §6.4."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from firmware_bridge.clock import PROBES, Probe
from firmware_bridge.errors import NoAnswer
from firmware_bridge.smp import Group, Message, Op, Ours

_TIMEOUT_S = 0.25


def measured(ask: Callable[..., dict[str, Any]], arrived_ns: Callable[[], int]) -> list[Probe]:
    """The answered ones of a round.

    Args:
        ask: `Link.ask`.
        arrived_ns: when the bytes that are being looked at were read.

    Raises:
        LinkLost: the device went away.
    """
    found = [_probe(ask, arrived_ns) for _ in range(PROBES)]
    return [probe for probe in found if probe is not None]


def _probe(ask: Callable[..., dict[str, Any]], arrived_ns: Callable[[], int]) -> Probe | None:
    sent_ns, received_ns = time.monotonic_ns(), 0

    def then(_: Message) -> None:
        nonlocal received_ns
        received_ns = arrived_ns()

    try:
        # Sent once: an answer to a second one would tell a longer way than there was.
        told = ask(Op.READ, Group.EDGE_DX, Ours.PING, {"t1": sent_ns}, asked="a ping",
                   timeout_s=_TIMEOUT_S, tries=1, then=then)  # fmt: skip
    except NoAnswer:
        return None
    t2, t3 = told.get("t2"), told.get("t3")
    if not isinstance(t2, int) or not isinstance(t3, int) or told.get("t1") != sent_ns:
        return None
    return Probe(sent_ns, t2, t3, received_ns)
