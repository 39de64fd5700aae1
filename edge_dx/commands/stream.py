"""`edge-dx stream BUNDLE RECORDING`: a line for each event, as it becomes certain."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from edge_dx.commands import opening
from edge_dx.commands.lines import show
from edge_dx.commands.stream_input import Chosen, opened
from edge_dx.commands.stream_output import AnnotationFile, Output, StateFile, Stepped, in_words
from edge_dx.ecg.events import Beat, StreamEvent, as_json
from edge_dx.ecg.stream import SignalStream
from edge_dx.errors import EdgeDxError
from edge_dx.model import Model, load
from edge_dx.signal import Mains
from edge_dx.signal_model import SignalModel

EXIT_ALL, EXIT_FAILED, EXIT_USAGE, EXIT_NOTHING, EXIT_STOPPED = 0, 1, 2, 3, 130
_MAINS: dict[str, Mains | None] = {"50": 50, "60": 60, "none": None}


def act(options: argparse.Namespace) -> int:
    """Streams a recording; see `edge-dx stream --help`."""
    try:
        with load(options.bundle, options.variant, options.engine, options.threads,
                  allow_slow=options.allow_slow, **opening(options)) as model:  # fmt: skip
            return _with(model, options)
    except EdgeDxError as error:  # what comes later is told where it happens
        print(f"edge-dx: {error}", file=sys.stderr)
        return EXIT_USAGE


def _with(model: Model, options: argparse.Namespace) -> int:
    if not isinstance(model, SignalModel):  # says so, as the model itself does
        model.stream(rate_hz=250, leads=("I",))
        return EXIT_USAGE
    source = opened(options, model.wave)
    try:
        stream = model.stream(
            rate_hz=source.rate_hz, leads=source.leads, mains_hz=_MAINS[options.mains],
            answer=options.answer, full_scale_mv=source.full_scale_mv,
        )  # fmt: skip
        outputs: list[Output] = []
        view: Stepped | None = None
        if options.annotations:
            outputs.append(AnnotationFile(Path(options.annotations), source.record, stream.info))
        if options.report:
            from edge_dx.commands.stream_report import ReportFile

            outputs.append(ReportFile(Path(options.report), model, stream.info, source.name))
        kept = StateFile(Path(options.state), stream) if options.state else None
        _introduce(model, stream, source, options)
        if options.view:
            from edge_dx.commands.ecg_view import LiveView

            view = LiveView(stream.info, source.name)
            outputs.append(view)
        return _Running(stream, source, outputs, kept, view, as_json=options.json).run()
    finally:
        source.close()


def _introduce(
    model: SignalModel, stream: SignalStream, source: Chosen, options: argparse.Namespace
) -> None:
    """Who judges what, on standard error: nothing that was assumed stays unsaid."""
    info = stream.info
    mains = f"{info.mains_hz} Hz is taken out" if info.mains_hz else "nothing (--mains)"
    words = [
        f"{model!r}", f"  {model.choice}",
        f"  {source.name}: lead {' and '.join(info.leads)} ({source.why}), "
        f"{float(info.rate_hz):g} samples per second; of the power line {mains}",
        f"  {'beats are told ' + info.answer.replace('_', ' ') if info.answer else 'beats'}, "
        f"at most {info.latency_s * 1000:.0f} ms after the R peak; nothing in the first "
        f"{info.warmup_s:.1f} s",
    ]  # fmt: skip
    print("\n".join(words), file=sys.stderr)


class _Running:
    """One recording on its way through a stream."""

    def __init__(
        self, stream: SignalStream, source: Chosen, outputs: list[Output], kept: StateFile | None,
        view: Stepped | None, *, as_json: bool,
    ) -> None:  # fmt: skip
        self._stream, self._source, self._outputs, self._kept = stream, source, outputs, kept
        self._view, self._json, self._counts = view, as_json, Counter[str]()
        self._rate_hz, self._judged = stream.info.rate_hz, False
        self._busy_s = 0.0
        self._first = self._last = -1

    def run(self) -> int:
        """To the recording's end, or until somebody stops it.

        Raises:
            EdgeDxError: before the first sample.
        """
        state = self._kept.load() if self._kept else self._stream.start()
        following = int(state.path.arrays["next"])
        code, told = EXIT_ALL, None
        try:
            for samples in self._source.blocks(following):
                began = time.perf_counter()
                state, events = self._stream.step(state, samples)
                took_s = time.perf_counter() - began
                self._busy_s += took_s
                start = samples.start or 0
                self._first = start if self._first < 0 else self._first
                self._last = start + len(samples.mv) - 1
                for output in self._outputs:
                    output.samples(samples)
                self._tell(events)
                if self._view is not None:
                    self._view.stepped(took_s)
            if self._kept is None:
                self._tell(self._stream.finish(state))
        except EdgeDxError as error:  # what came before was good
            code, told = EXIT_FAILED, str(error)
        except KeyboardInterrupt:
            code = EXIT_STOPPED
        finally:  # also where the reader of our lines has gone
            if self._kept is not None:
                self._kept.save(state)
            for output in self._outputs:
                output.close(self._last, told or ("stopped by hand" if code else None))
            self._account(told)
        if code == EXIT_ALL and not self._judged:
            return EXIT_NOTHING
        return code

    def _tell(self, events: list[StreamEvent]) -> None:
        for event in events:
            fields = as_json(event, self._rate_hz)
            self._counts[fields["type"]] += 1
            if isinstance(event, Beat):
                self._counts[f"beat {event.label}"] += 1
            self._judged |= fields["type"] == "judging" and fields["change"] == "begins"
            self._judged |= isinstance(event, Beat)
            for output in self._outputs:
                output.event(event)
            if self._view is None:
                show(json.dumps(fields, allow_nan=False) if self._json else in_words(event, fields))

    def _account(self, ended: str | None) -> None:
        seconds = float((self._last + 1 - max(self._first, 0)) / self._rate_hz)
        if self._json:
            account = {"source": self._source.name, "seconds": round(seconds, 3),
                       "busy_s": round(self._busy_s, 3), "events": dict(self._counts),
                       "dropped": self._source.dropped, "ended": ended}  # fmt: skip
            line = json.dumps({"account": account})
        else:
            classes = [(n.removeprefix("beat "), k) for n, k in sorted(self._counts.items())
                       if n.startswith("beat ")]  # fmt: skip
            words = [f"{seconds:.1f} s of signal in {self._busy_s:.2f} s",
                     f"{self._counts['beat']} beats"]  # fmt: skip
            words[-1] += f" ({', '.join(f'{k} {n}' for n, k in classes)})" if classes else ""
            if self._source.dropped:
                words.append(f"{self._source.dropped} samples that the state had seen already")
            if not self._judged:
                words.append("there was never enough signal to judge")
            line = f"{self._source.name}: {'; '.join(words)}"
            line = f"edge-dx: {ended}\n{line}" if ended else line
        print(line, file=sys.stderr, flush=True)
