"""The demonstration's ECGs: one that the program draws, and a real one of the pydicom package."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edge_dx.commands import facts, opening
from edge_dx.commands.stream_input import Chosen
from edge_dx.commands.stream_report import ReportFile
from edge_dx.ecg.assembly import preferred_lead
from edge_dx.ecg.events import Beat
from edge_dx.errors import EdgeDxError, NotFound, TrustError
from edge_dx.model import load
from edge_dx.report import text
from edge_dx.report.values import Recording
from edge_dx.shelf import find
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import SampleSource, Synthetic, open_samples

SHIPPED = "ecg-beats"
"""The bundle that judges ECGs where another kind of bundle is demonstrated."""
_DICOM = "waveform_ecg.dcm"
_SECONDS, _EVERY = 120.0, 9
_NEAR_S = 0.15
"""So close a beat is the one that was drawn, as EC57 has it."""
_LEAST = 0.95
"""Share of drawn beats that must be found: a lower one means that something is broken."""


@dataclass
class Found:
    """What came of it.

    Attributes:
        recordings: that were judged.
        note: what was left out, and what would bring it.
        problems: what must not be.
        facts: about the model.
    """

    recordings: list[Recording] = field(default_factory=list)
    note: str = ""
    problems: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)


def judge(out: Path, bundle: str | None, options: argparse.Namespace) -> Found:
    """Judges both and writes a report of each.

    Args:
        out: directory of the reports.
        bundle: path or name; None: the shipped one, and it is no failure where that cannot be
            used here.
        options: of the command.
    """
    found = Found()
    if find_spec("scipy") is None:
        found.note = "ECGs are left out: scipy is not installed (pip install 'edge-dx[ecg]')"
        if bundle is not None:
            found.problems.append(found.note)
        return found
    if bundle is None:
        try:
            find(SHIPPED)
        except NotFound:
            found.note = f"ECGs are left out: the bundle {SHIPPED} is not here"
            return found
    chosen = {} if bundle is None else {"variant": options.variant, "engine": options.engine}
    try:
        with load(bundle or SHIPPED, threads=options.threads, allow_slow=options.allow_slow,
                  **chosen, **opening(options)) as model:  # fmt: skip
            assert isinstance(model, SignalModel), "the caller has asked, or we have shipped it"
            found.facts = facts.of_model(model)
            for source, what, name in _sources(found):
                _one(model, source, what, out / name, found)
    except TrustError as error:
        if bundle is not None:
            found.problems.append(str(error))
            return found
        # Who has a trust store of his own need not trust the key that ours are signed with.
        found.note = f"ECGs are left out: the key that signed {SHIPPED} is not trusted here"
    except EdgeDxError as error:
        found.problems.append(str(error))
    return found


def told(recordings: list[Recording]) -> list[str]:
    """A table for the terminal."""
    lines = [
        (r.page, r.what, f"{r.duration_s:.0f}", f"{r.analysed_s:.1f}", str(r.beats),
         "-" if r.ventricular is None else str(r.ventricular))
        for r in recordings
    ]  # fmt: skip
    heads = ("report", "recording", "seconds", "analysed", "beats", "V")
    return text.table(heads, lines, (22, 40, -8, -8, -6, -4)) if lines else []


def _sources(found: Found) -> Iterator[tuple[SampleSource, str, str]]:
    drawn = Synthetic(seconds=_SECONDS, premature_every=_EVERY)
    what = f"drawn, every {_EVERY}th beat early and wide" if _EVERY else "drawn"
    yield drawn, what, "ecg-drawn.html"
    spec = find_spec("pydicom")
    if spec is None or spec.origin is None:
        found.note = (
            "The DICOM ECG is left out: pydicom is not installed (pip install 'edge-dx[dicom]')"
        )
        return
    # Only what the package itself carries: pydicom's own look-up may reach for the network.
    path = Path(spec.origin).parent / "data" / "test_files" / _DICOM
    if not path.is_file():
        found.note = f"Not in this pydicom: {_DICOM}"
        return
    yield open_samples(path), "a person's twelve leads, DICOM", "ecg-dicom.html"


def _one(model: SignalModel, source: SampleSource, what: str, page: Path, found: Found) -> None:
    lead = preferred_lead(model.wave, source.leads)
    name = Path(source.name).name  # a path of this machine is nobody's business
    chosen = Chosen(source, (lead,), "", name)
    stream = model.stream(rate_hz=source.rate_hz, leads=(lead,), full_scale_mv=source.full_scale_mv)
    report = ReportFile(page, model, stream.info, name)
    state, last, beats = stream.start(), -1, list[int]()
    try:
        for samples in chosen.blocks(-1):
            state, events = stream.step(state, samples)
            last = (samples.start or 0) + len(samples.mv) - 1
            report.samples(samples)
            for event in events:
                report.event(event)
                if isinstance(event, Beat):
                    beats.append(event.sample)
        for event in stream.finish(state):
            report.event(event)
            if isinstance(event, Beat):
                beats.append(event.sample)
    finally:
        chosen.close()
        report.close(last, None)
    findings = report.findings
    said = f"lead {lead}"
    if isinstance(source, Synthetic):
        told, problem = _compared(source, beats, stream.info.warmup_s)
        said += f"; {told}"
        if problem:
            found.problems.append(problem)
    if not findings.analysed_s:
        found.problems.append(f"{name}: nothing of it was analysed")
    tells = stream.info.answer is not None
    found.recordings.append(Recording(
        name, what, page.name, findings.duration_s, findings.analysed_s,
        sum(findings.beats.values()), findings.beats["V"] if tells else None, said,
    ))  # fmt: skip


def _compared(source: Synthetic, beats: list[int], warmup_s: float) -> tuple[str, str]:
    """What was found of what was drawn, and the problem where that is too little."""
    rate = float(source.rate_hz)
    drawn = [beat.index for beat in source.beats() if beat.index >= warmup_s * rate]
    if not drawn:
        return "nothing was drawn", ""
    there = np.array(beats if beats else [-(2**40)])
    hit = sum(bool(np.abs(there - index).min() <= _NEAR_S * rate) for index in drawn)
    told = f"{hit} of {len(drawn)} drawn beats found"
    few = hit < _LEAST * len(drawn)
    return told, f"of the drawn ECG only {told}" if few else ""
