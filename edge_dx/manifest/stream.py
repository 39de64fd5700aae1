"""How a bundle judges an endless signal: its networks, what they remember, and when they answer.

A stream bundle takes one waveform and gives beats or episodes. Between the two stand small
networks, each in a file of its own: one that finds R peaks, fed with hops of rows, and those that
are asked once per heartbeat. All are stateless as files; what they remember passes through named
tensors that are paired here and that are zeros at a beginning.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge_dx.manifest.words import Count, Label, Name, Part, Positive, Text
from edge_dx.signal.steps import AnySignalStep
from edge_dx.signal.timing import Timing

Answer = Literal["at_once", "one_beat_late"]
"""When a beat's class is told: as soon as its window has been seen, or with the next beat, whose
coming says more."""
FRAME = ("peak", "place", "noise")
"""What the three numbers of a detector's frame are."""
NetworkName = Literal["detector", "at_once", "one_beat_late", "rhythm"]
"""What the files of a variant are called: beat networks by their answer."""


class WaveformInput(Part, frozen=True, kw_only=True, tag="waveform", tag_field="kind"):
    """Samples of one or more leads, and how they become rows.

    Attributes:
        name: of the input; no tensor bears it.
        rate_hz: rows per second, after preparation. The device's own rate is another matter.
        unit: of the rows' values.
        leads: names in order of preference; where a recording has none of them, its first lead is
            taken and the stream says so.
        max_leads: how many are judged together at most.
        prepare: steps run by `edge_dx.signal`.
    """

    name: Name
    rate_hz: Annotated[int, Meta(ge=20, le=2000)]
    unit: Text = "mV"
    leads: Annotated[tuple[Text, ...], Meta(min_length=1)]
    max_leads: Annotated[int, Meta(ge=1, le=12)] = 2
    prepare: Annotated[tuple[AnySignalStep, ...], Meta(min_length=1)]


class Beats(Part, frozen=True, kw_only=True, tag="beats", tag_field="kind"):
    """Heartbeats as they become certain.

    Attributes:
        labels: classes, in the order of the beat networks' logits; AAMI EC57's `N`, `S`, `V`, `F`,
            `Q`. One label alone: beats are found and not told apart.
    """

    name: Name
    labels: Annotated[tuple[Label, ...], Meta(min_length=1)]


class Episodes(Part, frozen=True, kw_only=True, tag="episodes", tag_field="kind"):
    """Beginnings and ends of a rhythm.

    Attributes:
        labels: of the rhythms, in the order of the rhythm network's logits.
    """

    name: Name
    labels: Annotated[tuple[Label, ...], Meta(min_length=1)]


class StatePair(Part, frozen=True, kw_only=True):
    """What a network remembers, float32, zeros at a beginning.

    Attributes:
        input: name of the tensor that it takes.
        output: name of the tensor that it gives, the next call's input.
        shape: without the batch dimension.
    """

    input: Name
    output: Name
    shape: Annotated[tuple[Positive, ...], Meta(min_length=1)]


class PeakNetwork(Part, frozen=True, kw_only=True):
    """Finds R peaks: `signal` (1, hop_rows) of one lead to `frames` (hop_rows / stride_rows, 3).

    Leads are rows of the batch; the frames of those that may be believed are averaged.

    Attributes:
        signal: the input tensor.
        frames: the output tensor. Of each frame: the logit of "an R peak lies in it", its place in
            rows from the frame's middle, the logit of "too noisy to tell classes".
        hop_rows: rows that it takes at once, always so many.
        stride_rows: rows of one frame.
        delay_rows: by so many rows a frame is late; measured.
        receptive_field_rows: rows that a frame rests on; until so many have come it is not warm.
    """

    signal: Name = "signal"
    frames: Name = "frames"
    hop_rows: Positive
    stride_rows: Positive
    delay_rows: Count
    receptive_field_rows: Positive
    states: tuple[StatePair, ...]


class Window(Part, frozen=True, kw_only=True):
    """The signal around an R peak, (channels, samples).

    Attributes:
        tensor: its name.
        channels: what each one shows.
        samples: of each channel.
        rate_hz: of the window; a whole part of the rows' rate.
        peak_at: the sample at which the R peak stands.
    """

    tensor: Name = "window"
    channels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    samples: Positive
    rate_hz: Positive
    peak_at: Count


class Facts(Part, frozen=True, kw_only=True):
    """Facts about a beat that are known when it is judged, (names,).

    Attributes:
        tensor: its name.
        names: of the facts, in their order; `edge_dx.ecg` computes them by name.
    """

    tensor: Name = "features"
    names: Annotated[tuple[Name, ...], Meta(min_length=1)]


class BeatNetwork(Part, frozen=True, kw_only=True):
    """Tells what a beat is, once per beat and lead.

    Attributes:
        answer: when it is asked.
        window: of the beat; None where it takes features alone.
        features: of the beat; None where it takes the window alone.
        classes: the output tensor: a logit for each label of the beats.
        after_rows: rows behind the R peak that it needs; measured.
    """

    answer: Answer
    window: Window | None
    features: Facts | None
    classes: Name = "classes"
    after_rows: Count
    states: tuple[StatePair, ...] = ()


class RhythmNetwork(Part, frozen=True, kw_only=True):
    """Tells the rhythm, once per beat.

    Attributes:
        window: as of a beat network.
        features: likewise.
        rhythm: the output tensor: a logit for each label of the episodes.
        after_rows: rows behind the R peak that it needs; measured.
    """

    window: Window | None = None
    features: Facts | None
    rhythm: Name = "af"
    after_rows: Count = 0
    states: tuple[StatePair, ...] = ()


AnyNetwork = PeakNetwork | BeatNetwork | RhythmNetwork


class GoldenSignal(Part, frozen=True, kw_only=True):
    """Samples in `golden.npz`, and what each variant must make of them.

    `raw/<name>` holds (n, leads) float32 millivolts, NaN where nothing came. For each variant
    `<variant>/<name>/<tensor>` holds what a network gave call by call, the calls joined along the
    batch, and `<variant>/<name>/events` (m, 3) int64 the kind, sample and label of every beat and
    change of rhythm.

    Attributes:
        rate_hz: samples per second, as text where it is no whole number.
        leads: names of the columns.
        mains_hz: of the power line, for a preparation with a notch.
        answer: which beat network is asked; None where there is none.
        events: how many there are of each variant.
    """

    name: Name
    what: Text
    rate_hz: Text
    leads: Annotated[tuple[Text, ...], Meta(min_length=1)]
    mains_hz: Literal[50, 60] | None = None
    answer: Answer | None = None
    events: dict[Name, Count]


class Stream(Part, frozen=True, kw_only=True):
    """The networks of a bundle that judges a waveform.

    Attributes:
        timings: what each step of the preparation publishes for a device that sends
            `WaveformInput.rate_hz` samples per second; of others the runtime says it.
        detector: file `Variant.file`, wires `Variant.wires`.
        beats: one network for each answer that is offered, the first is what a user gets unasked;
            files in `Variant.networks`.
        rhythm: likewise `rhythm`.
        golden: inputs with known answers.
    """

    timings: tuple[Timing, ...]
    detector: PeakNetwork
    beats: tuple[BeatNetwork, ...] = ()
    rhythm: RhythmNetwork | None = None
    golden: tuple[GoldenSignal, ...] = ()

    def network(self, name: str) -> AnyNetwork | None:
        """The network of that name, or None."""
        if name == "detector":
            return self.detector
        if name == "rhythm":
            return self.rhythm
        return next((network for network in self.beats if network.answer == name), None)

    @property
    def names(self) -> tuple[NetworkName, ...]:
        """Of all networks, the detector first."""
        beats = tuple(network.answer for network in self.beats)
        return ("detector", *beats, *(("rhythm",) if self.rhythm else ()))
