"""From a manifest to the rooms of a stream: what is asked, with which thresholds, in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import cast

from edge_dx.ecg.alarms import Alarms
from edge_dx.ecg.beating import BeatTeller, Unclassed
from edge_dx.ecg.beats import AFTER, FEATURES, WINDOW
from edge_dx.ecg.detect import PeakDecoder
from edge_dx.ecg.events import LABELS, AlarmKind, Label
from edge_dx.ecg.flutter import RATE_HZ
from edge_dx.ecg.judge import Judge, Listener, Teller
from edge_dx.ecg.listening import AlarmListener, FlutterListener, RhythmListener
from edge_dx.ecg.networks import Network
from edge_dx.ecg.peaks import PeakFinder
from edge_dx.ecg.rhythm import RhythmFeatures
from edge_dx.errors import ManifestError, UnsupportedInput
from edge_dx.manifest import (
    BeatNetwork,
    Beats,
    Episodes,
    Manifest,
    RhythmNetwork,
    Stream,
    Variant,
    WaveformInput,
)
from edge_dx.signal import AnySignalStep, Clockwork, Mains, Notch

LEAST_RATE_HZ = 100
"""Of what a QRS complex is made of the larger part lies below 40 Hz."""


def answer_of(manifest: Manifest, stream: Stream, answer: str | None) -> str | None:
    """The answer asked for, or the bundle's first; None where it does not tell beats apart.

    Raises:
        UnsupportedInput: the bundle does not offer it.
    """
    offered = [network.answer for network in stream.beats]
    if answer is None:
        return offered[0] if offered else None
    if answer not in offered:
        there = " and ".join(offered) or "none, it does not tell beats apart"
        raise UnsupportedInput(
            f"{manifest.name} has no answer {answer!r}; it offers {there}", "format"
        )
    return answer


def preparation_of(
    manifest: Manifest, wave: WaveformInput, leads: Sequence[str], mains_hz: Mains | None
) -> tuple[AnySignalStep, ...]:
    """The steps for these leads; without a notch where nobody says what the power line has.

    Raises:
        UnsupportedInput: more leads than the bundle judges together, or it has no notch to set.
    """
    if len(leads) > wave.max_leads:
        raise UnsupportedInput(
            f"{manifest.name} judges at most {wave.max_leads} leads together, not {len(leads)}; "
            "choose some by name", "format"
        )  # fmt: skip
    notches = [step for step in wave.prepare if isinstance(step, Notch)]
    if mains_hz is not None and not notches:
        raise UnsupportedInput(
            f"{manifest.name} takes out no power line; leave mains_hz away", "format"
        )
    return tuple(step for step in wave.prepare if mains_hz is not None or step not in notches)


def refuse_slow(manifest: Manifest, rate_hz: Fraction) -> None:
    """Refuses a device whose samples do not show what beats are told by.

    Raises:
        UnsupportedInput: fewer than 100 samples per second.
    """
    if rate_hz < LEAST_RATE_HZ:
        raise UnsupportedInput(
            f"{manifest.name}: {float(rate_hz):g} samples per second show too little of a QRS "
            f"complex to tell beats by; {LEAST_RATE_HZ} is the least (130 was measured)", "format"
        )  # fmt: skip


def preferred_lead(wave: WaveformInput, leads: Sequence[str]) -> str:
    """The lead to judge, of those that are there."""
    known = {lead.casefold(): lead for lead in reversed(leads)}
    return next((known[n.casefold()] for n in wave.leads if n.casefold() in known), leads[0])


def alarms_of(answer: str | None, clock: Clockwork) -> tuple[AlarmKind, ...]:
    """The alarms that can come: some need to know what a beat is, one is seen in the rows."""
    found: list[AlarmKind] = ["asystole", "bradycardia", "tachycardia"]
    if answer is not None:
        found += ["ventricular_tachycardia", "bigeminy", "couplet"]
    if clock.out_hz == RATE_HZ:
        found.append("ventricular_fibrillation")
    return tuple(found)


def judge_of(
    manifest: Manifest,
    stream: Stream,
    variant: Variant,
    networks: Mapping[str, Network],
    answer: str | None,
    clock: Clockwork,
    leads: int,
) -> Judge:
    """The rooms behind the signal path.

    Raises:
        ManifestError: the bundle and this edge_dx do not name the same features.
    """
    told = stream.detector
    decoder = PeakDecoder(
        threshold=_threshold(variant, told.frames, "beat"), delay=told.delay_rows,
        stride=told.stride_rows, frames=told.hop_rows // told.stride_rows,
    )  # fmt: skip
    if decoder.wait - told.hop_rows - told.stride_rows < AFTER and stream.beats:
        raise _other(manifest, "its detector is quicker than the windows")
    finder = PeakFinder(networks["detector"], told, decoder, leads)
    teller: Teller
    if answer is None:
        teller = Unclassed(int(clock.out_hz))
    else:
        network = next(n for n in stream.beats if n.answer == answer)
        _check(manifest, network)
        thresholds = {
            cast(Label, point.label): point.threshold
            for point in variant.operating_points
            if point.output == network.classes and point.name == answer
        }
        teller = BeatTeller(networks[answer], network, thresholds, leads)
    listeners: dict[str, Listener] = {}
    if stream.rhythm is not None:
        _check_rhythm(manifest, stream.rhythm)
        begins, ends = (
            _threshold(variant, stream.rhythm.rhythm, "AF", name) for name in ("begins", "ends")
        )
        listeners["rhythm"] = RhythmListener(networks["rhythm"], stream.rhythm, clock, begins, ends)
    listeners["alarms"] = AlarmListener(Alarms(clock.rate_hz))
    if clock.out_hz == RATE_HZ:
        listeners["flutter"] = FlutterListener(clock)
    return Judge(clock, finder, teller, listeners, hop=told.hop_rows, delay=told.delay_rows,
                 wait=decoder.wait)  # fmt: skip


def _check(manifest: Manifest, network: BeatNetwork) -> None:
    """The maker's features are this edge_dx's.

    Raises:
        ManifestError: they are others.
    """
    labels = next(o.labels for o in manifest.outputs if isinstance(o, Beats))
    features, window = network.features, network.window
    problem = None
    if labels != LABELS:
        problem = f"beats are told as {', '.join(labels)}"
    elif features is not None and features.names != FEATURES:
        problem = "its features of a beat are others"
    elif window is not None and (len(window.channels), window.samples) != (2, WINDOW):
        problem = "its window around a beat is another"
    if problem:
        raise _other(manifest, problem)


def _check_rhythm(manifest: Manifest, network: RhythmNetwork) -> None:
    labels = next(o.labels for o in manifest.outputs if isinstance(o, Episodes))
    features = network.features
    if labels != ("AF",):
        raise _other(manifest, f"episodes are told as {', '.join(labels)}")
    if network.window is not None or features is None or features.names != RhythmFeatures.names:
        raise _other(manifest, "its features of a rhythm are others")


def _other(manifest: Manifest, problem: str) -> ManifestError:
    return ManifestError(
        f"bundle {manifest.name} was made for another edge_dx: {problem} than here; export it "
        "again with this version",
        "manifest.json",
    )


def _threshold(variant: Variant, output: str, label: str, name: str | None = None) -> float:
    """Of an operating point, which the manifest's own check says is there."""
    return next(
        point.threshold
        for point in variant.operating_points
        if point.output == output and point.label == label and name in (None, point.name)
    )
