"""`edge-dx run BUNDLE clip.mp4` and `--camera`: one line per frame, and a closing account."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_dx.commands.lines import show, told
from edge_dx.errors import EdgeDxError, Overrun
from edge_dx.model import Model
from edge_dx.sources import video
from edge_dx.sources.frames import FrameSource
from edge_dx.stream import Answer, Stream, takes_frames
from edge_dx.stream.unseen import of_error


def moving(file: Path, model: Model) -> bool:
    """Whether a file has frames to be judged one by one: a video, or a cine for such a model."""
    if video.looks_like_video(file):
        return True
    if not takes_frames(model):
        return False
    try:
        return model.read(file).frames > 1
    except EdgeDxError:  # it is told where the file is judged
        return False


class Watch:
    """Shows the answers of one source as they come, then what became of its frames.

    Attributes:
        analysed: whether every frame that was judged got an answer.
    """

    def __init__(self, model: Model, source: FrameSource, options: argparse.Namespace) -> None:
        self.analysed = True
        self._source = source
        self._model = model
        self._json = options.json
        self._every = options.every
        self._statuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._ended: str | None = None
        self._first_ns: int | None = None
        self._stream = Stream(
            model, source, drop=options.drop, stale_s=options.stale, every=options.every,
            rate=options.rate,
        )  # fmt: skip

    def answers(self) -> Iterator[Answer]:
        """Shows each answer, then hands it on; in the end the account, however it ends.

        Raises:
            Overrun: the drop policy is `fault`.
        """
        try:
            with self._stream as stream:
                for answer in stream:
                    self._show(answer)
                    yield answer
        except Overrun as error:
            self._ended = str(error)
            raise
        except EdgeDxError as error:
            self._ended = str(error)
            path = self._source.path
            self._show(Answer(of_error(self._model, error, None if path is None else str(path))))
        finally:
            if takes_frames(self._model):  # else no frame was looked at
                print(self._account(), file=sys.stderr, flush=True)

    def _show(self, answer: Answer) -> None:
        result, frame = answer.result, answer.frame
        self.analysed &= result.status.analysed
        self._statuses[result.status.value] += 1
        self._reasons.update(why.code.value for why in result.reasons)
        if self._json:
            fields: dict[str, Any] = {
                **result.to_dict(),
                "source": self._source.name,
                "frame": frame.number if frame else None,
                "device_time_s": frame.device_time_s if frame else None,
                "host_time_s": frame.host_ns / 1e9 if frame else None,
                "latency_ms": None if answer.latency_ms is None else round(answer.latency_ms, 3),
            }
            show(json.dumps(fields, allow_nan=False))
            return
        where = self._source.name
        if frame is not None:
            if self._first_ns is None:
                self._first_ns = frame.host_ns
            here_s = (frame.host_ns - self._first_ns) / 1e9
            at_s = here_s if self._source.live else frame.device_time_s
            where += f" frame {frame.number}" + ("" if at_s is None else f" at {at_s:.3f} s")
        show(f"{where}: {told(result)}")

    def _account(self) -> str:
        counters, latencies = self._stream.counters, self._stream.latencies
        if self._json:
            account = {
                "source": self._source.name,
                "every": self._every,
                **vars(counters),
                "statuses": dict(self._statuses),
                "reasons": dict(self._reasons),
                "latency": latencies.to_dict(),
                "ended": self._ended,
            }
            return json.dumps({"account": account})
        words = [f"{counters.received} frames received, {counters.processed} processed, "
                 f"{counters.dropped} dropped, {counters.missed} missed"]  # fmt: skip
        if counters.refused:
            words[0] += f" ({counters.refused} of the dropped refused as they arrived)"
        if self._every > 1:
            words.append(f"one of {self._every} judged, {counters.skipped} skipped")
        if counters.waiting:
            words.append(f"{counters.waiting} left waiting")
        words += [f"{n} {status}" for status, n in sorted(self._statuses.items())]
        words += [f"{n} for {reason}" for reason, n in sorted(self._reasons.items())]
        if latencies.count:
            told_ms = ", ".join(f"p{p} {latencies.percentile(p):.1f}" for p in (50, 90, 99))
            words.append(f"ms from arrival to answer: {told_ms}, worst {latencies.worst_ms:.1f}")
        return f"{self._source.name}: {'; '.join(words)}"
