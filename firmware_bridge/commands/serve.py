"""`edge-dx-bridge serve`: a wearable's ECG → events, a line each, and verdicts back."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED, chosen, opened, shown
from firmware_bridge.connecting import RECORDING
from firmware_bridge.errors import BridgeError, NotServed
from firmware_bridge.link import Link
from firmware_bridge.outputs import Make, Output
from firmware_bridge.told import ends_after

if TYPE_CHECKING:
    from edge_dx.signal_model import SignalModel
    from firmware_bridge.serve import Serving

EXIT_NOTHING = 3
_VERDICTS = {"all": ("beat", "rhythm", "alarm"), "alarms": ("rhythm", "alarm"), "none": ()}


def act(options: argparse.Namespace) -> int:
    """Serves until interrupted, the recording's end, or `--seconds`."""
    try:
        from edge_dx.errors import EdgeDxError
        from firmware_bridge import serve
    except ImportError as error:
        raise NotServed(
            f"serve needs edge_dx with its ECG part ({error}): pip install 'edge-dx[ecg,bridge]'"
        ) from error
    with (
        serve.opened(
            options.bundle, variant=options.variant, engine=options.engine,
            allow_unsigned=options.allow_unsigned,
        ) as model,
        opened(options) as link,
    ):  # fmt: skip
        serving = serve.Serving(
            link, model, stream=chosen(options, link),
            leads=options.judge.split(",") if options.judge else None,
            mains_hz=int(options.mains) if options.mains else None, answer=options.answer,
            mv_per_count=options.mv_per_count,
            # A recording hears nothing.
            verdicts=() if Path(options.target).suffix == RECORDING
            else _VERDICTS[options.verdicts],
        )  # fmt: skip
        _introduce(options, link, serving)
        late = ends_after(options.seconds)
        ended: str | None = None
        with _Stopped() as stopped:
            try:
                written = _written(options, model, link, serving)
                for told in serving.events(lambda: stopped.asked or late(), written):
                    line = json.dumps(told.as_json(), allow_nan=False)
                    print(shown(told.in_words()) if options.words else line, flush=True)
            except (BridgeError, EdgeDxError) as error:  # what came before was good
                ended = str(error)
        _account(link, serving, ended)
    if ended:
        return EXIT_FAILED
    return EXIT_DONE if serving.counts["judging"] or serving.counts["beat"] else EXIT_NOTHING


def _written(options: argparse.Namespace, model: SignalModel, link: Link, serving: Serving) -> Make:
    """The files that were asked for; those of the second run have a 2 in their names."""

    def make(run: int) -> Sequence[Output]:
        found: list[Output] = []
        info, more = serving.signal.info, f"-{run + 1}" if run else ""
        if options.annotations:
            from edge_dx.commands.stream_output import AnnotationFile

            # The device's word becomes part of a path: no separators, nothing but WFDB's letters.
            record = re.sub(r"[^A-Za-z0-9_-]", "_", serving.stream_name) + more
            found.append(AnnotationFile(Path(options.annotations), record, info))
        if options.report:
            from edge_dx.commands.stream_report import ReportFile

            page = Path(options.report)
            name = f"{link.hello.device} {link.hello.serial}, {serving.stream_name}{more}"
            found.append(ReportFile(page.with_stem(page.stem + more), model, info, name))
        return found

    return make


def _introduce(options: argparse.Namespace, link: Link, serving: Serving) -> None:
    """Who judges what, on standard error: nothing that was assumed stays unsaid."""
    info, hello = serving.signal.info, link.hello
    mains = f"{info.mains_hz} Hz is taken out" if info.mains_hz else "nothing is known (--mains)"
    verdicts = "go back to it" if serving.verdicts.wanted else "do not go back to it"
    lines = [
        f"{info.bundle}, {info.variant} on {info.engine}",
        f"  {shown(hello.device)} {shown(hello.serial)} at {options.target}: lead "
        f"{shown(' and '.join(info.leads))}, {float(info.rate_hz):g} samples per second, one count "
        f"is {serving.mv_per_count * 1000:g} µV; of the power line {mains}; verdicts {verdicts}",
        f"  {'beats are told ' + info.answer.replace('_', ' ') if info.answer else 'beats'}, at "
        f"most {info.latency_s * 1000:.0f} ms after the R peak, and what the line takes; nothing "
        f"in the first {info.warmup_s:.1f} s",
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _account(link: Link, serving: Serving, ended: str | None) -> None:
    if ended:
        print(f"edge-dx-bridge: {ended}", file=sys.stderr)
    counts, verdicts = link.counts.get(serving.stream_name), serving.verdicts
    words = [f"{n} {kind}" for kind, n in sorted(serving.counts.items())]
    if counts is not None:
        words.append(f"{counts.received} samples heard, {counts.lost_link} lost on the way, "
                     f"{counts.lost_device} dropped by the device")  # fmt: skip
    if verdicts.wanted:
        words.append(f"{verdicts.sent} verdicts taken by the device, {verdicts.failed} not, "
                     f"{verdicts.dropped} found no room")  # fmt: skip
    if not serving.counts["judging"]:
        words.append("there was never enough signal to judge")
    print("; ".join(words), file=sys.stderr, flush=True)


class _Stopped:
    """Ctrl-C and SIGTERM end the serving, and what is still to be said is said."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stopped:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.asked and number == signal.SIGINT:  # once more: at once
            raise KeyboardInterrupt
        self.asked = True
