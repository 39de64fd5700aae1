"""`edge-dx stream --report`: the report of an ECG, made from what goes by."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from edge_dx.commands import facts
from edge_dx.ecg.events import StreamEvent
from edge_dx.ecg.stream import StreamInfo
from edge_dx.errors import NotFound
from edge_dx.report.holter import (
    About,
    Findings,
    Holter,
    findings_of,
    html_from_holter,
    json_from_holter,
)
from edge_dx.signal import Samples
from edge_dx.signal_model import SignalModel


class ReportFile:
    """`out.html`, and the same figures in `out.json` beside it; an output of `edge-dx stream`."""

    def __init__(
        self, path: Path, model: SignalModel, info: StreamInfo, name: str,
        begun: datetime | None = None,
    ) -> None:  # fmt: skip
        """Makes sure that there will be a place for it.

        Args:
            path: of the page.
            model: that judges.
            info: of the stream.
            name: of the recording.
            begun: time of day of its first sample, where it is known.

        Raises:
            NotFound: there is no such directory, or it may not be written.
        """
        self._path, self._model, self._info = path, model, info
        self._name, self._begun = name, begun
        self._holter = Holter(info.rate_hz, info.leads)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "is a directory")
            handle, probe = tempfile.mkstemp(dir=path.parent, suffix=".html")
            os.close(handle)
            Path(probe).unlink()
        except OSError as error:
            raise NotFound(f"--report {path}: {error.strerror}") from error

    @property
    def findings(self) -> Findings:
        """All figures, once it is closed."""
        return findings_of(self._holter)

    def samples(self, samples: Samples) -> None:
        """Samples that were judged."""
        self._holter.samples(samples)

    def event(self, event: StreamEvent) -> None:
        """What was said."""
        self._holter.event(event)

    def close(self, last: int, ended: str | None) -> None:
        """Writes both files.

        Raises:
            NotFound: they cannot be written.
        """
        self._holter.close(last)
        about = about_of(self._model, self._info, self._name, self._begun, ended or "")
        _write(self._path, html_from_holter(self._holter, about))
        _write(self._path.with_suffix(".json"), json_from_holter(self._holter, about))


def about_of(
    model: SignalModel, info: StreamInfo, name: str, begun: datetime | None = None, ended: str = ""
) -> About:
    """Who judged what, for the head of the page."""
    mains = f"{info.mains_hz} Hz is taken out" if info.mains_hz else "nothing is taken out"
    late = f"at most {info.latency_s * 1000:.0f} ms after the R peak"
    if info.answer == "one_beat_late":
        late = f"with the beat after it, and {late.replace('the R peak', 'its R peak')}"
    return About(
        name=name,
        leads=info.leads,
        facts=(
            ("power line", mains),
            ("answer", f"{info.answer.replace('_', ' ') if info.answer else 'beats'}: {late}"),
            *facts.of_bundle(model.bundle),
            *facts.of_model(model),
            *facts.of_program(),
        ),
        tells_classes=info.answer is not None,
        looks_for_af="AF" in info.rhythms,
        alarms=info.alarms,
        unsigned=model.bundle.signer is None,
        ended=ended,
        begun=begun,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _write(path: Path, text: str) -> None:
    """Replaces a file at once or not at all."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        Path(temporary).chmod(0o644)  # mkstemp's own is for nobody else to read
        Path(temporary).replace(path)
    except OSError as error:
        raise NotFound(f"--report {path}: {error.strerror}") from error
