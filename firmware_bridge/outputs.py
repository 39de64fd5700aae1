"""What is written of a served signal beside its events: a report, a file of annotations.

A restart of the device ends a run, and its indices begin anew: what is written of it is closed, and
the next run gets its own. Whatever ends the serving, what there is is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol


class Output(Protocol):
    """Takes what comes by; edge_dx.commands.stream_output has some."""

    def samples(self, samples: Any) -> None:
        """Samples that were judged."""

    def event(self, event: Any) -> None:
        """What was said."""

    def close(self, last: int, ended: str | None) -> None:
        """The end.

        Args:
            last: index of the last sample; -1 where none came.
            ended: why, where it is not that of the recording.
        """


Make = Callable[[int], Sequence[Output]]
"""From the number of the run, 0 for the first, to what is written of it."""


def nothing(run: int) -> Sequence[Output]:
    """Nothing is written."""
    del run
    return ()


class Outputs:
    """The outputs of the run that is on; a context manager that writes them at the end.

    Raises what an output raises, where it is made, fed or closed.
    """

    def __init__(self, make: Make) -> None:
        self._make, self._run, self._last = make, 0, -1
        self._now: Sequence[Output] = ()

    def samples(self, samples: Any, last: int) -> None:
        """Gives on what was judged.

        Args:
            samples: as the model took them.
            last: index of the last one.
        """
        self._last = last
        for output in self._now:
            output.samples(samples)

    def event(self, event: Any) -> None:
        """Gives on what was said."""
        for output in self._now:
            output.event(event)

    def renew(self, why: str) -> None:
        """Closes those of the run that is over, and makes those of the next."""
        self.close(why)
        self._run, self._last = self._run + 1, -1
        self._now = self._make(self._run)

    def close(self, why: str | None) -> None:
        """Writes them; `why` says what cut the signal off, if anything did."""
        closing, self._now = self._now, ()
        for output in closing:
            output.close(self._last, why)

    def __enter__(self) -> Outputs:
        self._now = self._make(self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(str(error) or "stopped by hand" if error is not None else None)
