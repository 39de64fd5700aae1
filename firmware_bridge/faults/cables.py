"""Bad cables around ports: one that is opened, or one between two ports."""

from __future__ import annotations

import threading
import time
from collections import Counter

from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.errors import LinkLost
from firmware_bridge.faults.mangling import Pipe
from firmware_bridge.faults.plan import Plan


class BadPort:
    """A port behind a bad cable.

    Args:
        port: the good one.
        plan: what happens.
        turned: whether the port is the device's end, so that what is read goes to the device.

    Attributes:
        inward: what happened to the bytes that are read.
        outward: to those that are written.
    """

    def __init__(self, port: Port, plan: Plan, *, turned: bool = False) -> None:
        lanes = (plan.to_host, plan.to_device)
        seeds = (2 * plan.seed, 2 * plan.seed + 1)
        one, other = (1, 0) if turned else (0, 1)
        self._port = port
        self.inward = Pipe(lanes[one], seeds[one])
        self.outward = Pipe(lanes[other], seeds[other])

    @property
    def name(self) -> str:
        """Of the port."""
        return self._port.name

    def read(self, timeout_s: float) -> bytes:
        """What comes through; see `Port.read`."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.inward.out(time.monotonic())
            if found:
                return found
            if self.inward.cut:
                self._port.close()
                raise LinkLost(f"{self.name}: the cable was pulled, as planned")
            left = until - time.monotonic()
            if left <= 0:
                return b""
            wait_s = min(left, self.inward.wait_s(time.monotonic()))
            if self.inward.waiting:  # no more is taken in than goes out
                time.sleep(wait_s)
                continue
            self.inward.feed(self._port.read(left))

    def write(self, data: bytes) -> None:
        """What the other end sees of it; see `Port.write`. Waits while the plan does."""
        self.outward.feed(data)
        while self.outward.waiting:
            found = self.outward.out(time.monotonic())
            if found:
                self._port.write(found)
            elif not self.outward.cut:
                time.sleep(self.outward.wait_s(time.monotonic()))
            if self.outward.cut and not self.outward.waiting:
                self._port.close()
                raise LinkLost(f"{self.name}: the cable was pulled, as planned")

    def close(self) -> None:
        """Closes the port."""
        self._port.close()


def bad_opener(opener: Opener, plan: Plan) -> Opener:
    """Opens the same port behind a bad cable; each time the plan begins anew."""
    return lambda: BadPort(opener(), plan)


class Proxy:
    """A bad cable between two ports; a context manager that takes it away.

    Args:
        host: where the host is.
        device: where the device is.
        plan: what happens in between.
    """

    def __init__(self, host: Port, device: Port, plan: Plan) -> None:
        self._host, self._device = host, BadPort(device, plan)
        self._threads = [
            threading.Thread(target=self._pump, args=ends, daemon=True)
            for ends in ((self._device, self._host), (self._host, self._device))
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, source: Port, sink: Port) -> None:
        try:
            while True:
                data = source.read(0.1)
                if data:
                    sink.write(data)
        except LinkLost:
            self.close()

    @property
    def done(self) -> dict[str, Counter[str]]:
        """Which faults were injected, each way."""
        return {"to_host": self._device.inward.mangler.done,
                "to_device": self._device.outward.mangler.done}  # fmt: skip

    def close(self) -> None:
        """Hangs up on both."""
        self._host.close()
        self._device.close()

    def join(self, timeout_s: float) -> bool:
        """Waits until one of the two has gone; whether that was within the time."""
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)
