"""What the library says while it works: its log, and how far a build is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Say = Callable[[str], None]

KEPT_LINES = 12
HEARTBEAT_S = 10.0
_LONGEST_LINE = 400

_logs: dict[int, Any] = {}


def log_of(trt: Any) -> Any:
    """The process's one logger for this library. It keeps the last lines and prints nothing.

    The library listens to the first logger for as long as anything made with it lives, and
    ignores every later one; with a logger of its own each, a build beside an open engine would
    fail without saying why.

    Returns:
        An `ILogger` with `forget()`, `told()` and `uint8_as_int8`: whether a uint8 zero point was
        spoken of, which the parser only warns about.
    """
    known = _logs.get(id(trt))
    if known is not None:
        return known

    class Log(trt.ILogger):  # type: ignore[misc]  # the base comes from the library that is here
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.module = trt  # kept alive, so that its id stays its own
            self.lines: deque[tuple[bool, str]] = deque(maxlen=KEPT_LINES)
            self.uint8_as_int8 = False

        def log(self, severity: Any, message: str) -> None:
            rank = int(severity)  # 0 is the worst
            if rank <= int(trt.ILogger.WARNING):
                line = " ".join(message.split())[:_LONGEST_LINE]
                if "UINT8" in line and "zero" in line.lower():
                    self.uint8_as_int8 = True
                self.lines.append((rank <= int(trt.ILogger.ERROR), line))

        def forget(self) -> None:
            self.lines.clear()
            self.uint8_as_int8 = False

        def told(self) -> str:
            """Errors, or warnings where there is no error."""
            lines = list(self.lines)
            errors = [line for is_error, line in lines if is_error]
            return " | ".join(errors or [line for _, line in lines]) or "the library said nothing"

    return _logs.setdefault(id(trt), Log())


class Progress:
    """Tells that a build is alive: the phase it is in and the seconds gone, now and then.

    A build takes from a second to many minutes and must not look like a hang. The phases come
    from the builder where it tells them; the heartbeat comes from a thread of its own, and from
    the builder's calls too where it does not let other threads run.

    Args:
        say: takes the lines.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._phase = "starting"
        self._steps: dict[str, int] = {}
        self._started = self._told = time.monotonic()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.stopped: BaseException | None = None

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def phase_start(self, phase: str, steps: int) -> None:
        """The builder enters a phase."""
        self._steps[phase] = steps
        self._phase = phase

    def step_complete(self, phase: str, step: int) -> bool:
        """The builder did a step; False makes it stop."""
        # Ctrl-C arrives in whatever Python code runs next, which during a build is this; the
        # library would swallow what is raised here.
        try:
            self._phase = f"{phase}, step {step + 1} of {self._steps.get(phase, '?')}"
            self._tell_if_due()
        except BaseException as error:
            self.stopped = error
        return self.stopped is None

    def phase_finish(self, phase: str) -> None:
        """The builder leaves a phase."""
        self._steps.pop(phase, None)

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_S):
            try:
                self._tell_if_due()
            except BaseException as error:  # in a thread of its own it would be lost
                self.stopped = error
                return

    def _tell_if_due(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._told < HEARTBEAT_S / 2:
                return
            self._told = now
        gone = now - self._started
        self._say(f"TensorRT is building this device's engine: {self._phase}, {gone:.0f} s")
