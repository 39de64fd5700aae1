"""A bad cable, on purpose and by a plan with a seed: for the demonstration and for the tests.

    seed = 7
    [to_host]            # and, or instead, [to_device]
    flip = 1e-5          # of each bit
    drop = 0.001         # of each byte
    duplicate = 0.0      # likewise
    insert = 0.0         # a byte that nobody sent, in front of each byte
    chop = 16            # bytes come in pieces of 1 to 16
    bytes_per_s = 11520  # no faster than this
    stall_every_s = 5.0  # every so often, nothing comes …
    stall_s = 0.5        # … for so long; it comes afterwards
    disconnect_after_bytes = 100000   # then the cable is out, once for each connection

What happens to which byte depends on the seed and the byte's number alone, not on the pieces in
which bytes come.
"""

from __future__ import annotations

from firmware_bridge.faults.cables import BadPort, Proxy, bad_opener
from firmware_bridge.faults.mangling import Mangler
from firmware_bridge.faults.plan import Lane, Plan, read_plan

__all__ = ["BadPort", "Lane", "Mangler", "Plan", "Proxy", "bad_opener", "read_plan"]
