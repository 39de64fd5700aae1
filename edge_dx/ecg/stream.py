"""A stream: samples in as they arrive, events out as they become certain, state in your hand.

    stream = edge_dx.load("ecg-beats").stream(rate_hz=360, leads=("MLII",))
    state = stream.start()
    state, events = stream.step(state, chunk)  # (n, leads) millivolts, any n

However the samples are cut, the events are the same. `docs/ecg.md` has the whole of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import msgspec
import numpy as np

from edge_dx.ecg.assembly import alarms_of, answer_of, judge_of, preparation_of, refuse_slow
from edge_dx.ecg.events import Alarm, AlarmKind, Beat, Rhythm, StreamEvent, certain_at
from edge_dx.ecg.networks import Network
from edge_dx.ecg.rows import Rows, Units
from edge_dx.ecg.state import (
    STREAM_STATE_VERSION,
    JoinedStreams,
    StreamState,
    joined_streams,
    plain,
    restored,
    split_streams,
)
from edge_dx.errors import TensorMismatch
from edge_dx.manifest import Manifest, Stream, Variant, WaveformInput
from edge_dx.signal import Event, Mains, Rate, Rules, Samples, SignalPath
from edge_dx.tensors import Array

_KEPT_ROWS = 320
"""Rows behind the newest that windows may reach to: the wait for a peak, and a window's half."""


@dataclass(frozen=True)
class StreamInfo:
    """What a stream is, in figures.

    Attributes:
        bundle: name and version.
        bundle_digest: SHA-256 of its manifest.
        variant: that runs.
        engine: that runs it.
        rate_hz: of the device.
        leads: that are judged.
        mains_hz: of the power line that is taken out; None: nothing is.
        answer: when a beat's class is told; None where beats are not told apart.
        rhythms: whose episodes are told.
        alarms: that can come at all.
        hop_s: samples are judged so many seconds at a time.
        delay_s: by so much the signal path is late; event times have it subtracted.
        latency_s: so long after an R peak the beat is certain, at most; of the answer
            `one_beat_late` the next beat's own latency comes on top.
        warmup_s: filters and networks look back so far; what was known earlier than that behind a
            beginning is not told.
    """

    bundle: str
    bundle_digest: str
    variant: str
    engine: str
    rate_hz: Fraction
    leads: tuple[str, ...]
    mains_hz: Mains | None
    answer: str | None
    rhythms: tuple[str, ...]
    alarms: tuple[AlarmKind, ...]
    hop_s: float
    delay_s: float
    latency_s: float
    warmup_s: float


class SignalStream:
    """The networks of a bundle on one device's samples.

    Attributes:
        info: what it is.
        path: its signal path.
    """

    def __init__(
        self,
        manifest: Manifest,
        variant: Variant,
        networks: Mapping[str, Network],
        *,
        rate_hz: Rate,
        leads: Sequence[str],
        mains_hz: Mains | None = None,
        answer: str | None = None,
        full_scale_mv: float | None = None,
        bundle_digest: str = "",
        engine: str = "",
    ) -> None:
        """Puts it together.

        Args:
            manifest: of a bundle that judges a waveform.
            variant: whose operating points are asked.
            networks: by name.
            rate_hz: of the device.
            leads: names of the columns that it will be given; all are judged.
            mains_hz: of the power line; None leaves the notch out.
            answer: `at_once` or `one_beat_late`; the bundle's first where None.
            full_scale_mv: of the device's converter, so that a saturated lead is known.
            bundle_digest: told in `info`, and bound to the state.
            engine: told in `info`.

        Raises:
            UnsupportedInput: a rate, lead or answer that the bundle cannot be asked for.
            ManifestError: the bundle and this edge_dx do not name the same features.
            MissingExtra: scipy is not installed.
        """
        told = manifest.stream
        assert isinstance(told, Stream), "the caller has asked"
        wave = next(item for item in manifest.inputs if isinstance(item, WaveformInput))
        answer = answer_of(manifest, told, answer)
        self.path = SignalPath(
            preparation_of(manifest, wave, leads, mains_hz), rate_hz=rate_hz, leads=leads,
            mains_hz=mains_hz, rules=Rules(full_scale_mv=full_scale_mv),
        )  # fmt: skip
        refuse_slow(manifest, self.path.rate_hz)
        count, clock, hop = len(self.path.leads), self.path.clock, told.detector.hop_rows
        self._rows = Rows(count, hop, _KEPT_ROWS)
        self._judge = judge_of(manifest, told, variant, networks, answer, clock, count)
        row_s = float(1 / self.path.out_hz)
        enough = max(clock.receptive_field, told.detector.receptive_field_rows)
        self.info = StreamInfo(
            bundle=f"{manifest.name} {manifest.version}", bundle_digest=bundle_digest,
            variant=variant.name, engine=engine, rate_hz=self.path.rate_hz, leads=self.path.leads,
            mains_hz=mains_hz, answer=answer, rhythms=("AF",) if told.rhythm else (),
            alarms=alarms_of(answer, clock), hop_s=hop * row_s, delay_s=clock.delay_s,
            latency_s=clock.delay_s + self._judge.wait * row_s, warmup_s=enough * row_s,
        )  # fmt: skip
        bound = [STREAM_STATE_VERSION, bundle_digest, variant.name, answer,
                 self.path.start().made_by.hex(), sorted(networks)]  # fmt: skip
        self._digest = hashlib.sha256(msgspec.json.encode(bound)).digest()[:16]

    def start(self) -> StreamState:
        """The state before the first sample."""
        peaks, rooms = self._judge.start()
        parts = {"rows": self._rows.start(), "peaks": peaks, **rooms}
        return StreamState(self._digest, self.path.start(), parts)

    def resume(self, arrays: Mapping[str, Array]) -> StreamState:
        """The state that was saved with `StreamState.to_arrays`.

        Raises:
            TensorMismatch: of another stream or version, or damaged; start afresh then.
        """
        path, parts = restored(arrays, self.start())
        return StreamState(self._digest, self.path.resume(path), parts)

    def step(
        self, state: StreamState, chunk: Samples | Array
    ) -> tuple[StreamState, list[StreamEvent]]:
        """Takes what arrived, 0 or more samples, and tells what is certain now.

        Args:
            state: as the step before gave it; it stays as it is.
            chunk: (n, leads) millivolts that follow what came before, or `Samples` with the
                device's own index and its word on electrodes.

        Returns:
            The new state, and events in the order in which they became certain.

        Raises:
            TensorMismatch: not (n, leads) numbers, or another stream's state.
            OutOfOrder: samples whose index has passed. The state given is still good.
            EngineFailed: the engine raised, or gave what is no number. Likewise.
        """
        self._check(state)
        path, block = self.path.step(state.path, plain(state.path, chunk))
        rows, units = self._rows.step(state.parts["rows"], block)
        if not units:
            after = StreamState(self._digest, path, {**state.parts, "rows": rows})
            return after, list(block.events)
        peaks = {name: array[None] for name, array in state.parts["peaks"].items()}
        peaks, parts, told = self._judge.step(peaks, [state.parts], Units([], [units]))
        own = {name: array[0, ...] for name, array in peaks.items()}
        made = StreamState(self._digest, path, {**parts[0], "rows": rows, "peaks": own})
        return made, _in_order(block.events, told[0])

    def step_many(
        self, states: Sequence[StreamState], chunks: Sequence[Samples | Array]
    ) -> tuple[list[StreamState], list[list[StreamEvent]]]:
        """One step of many streams, each with what arrived for it; networks are asked together.

        Streams that stay together are stepped faster with `step_joined`.

        Raises what `step` raises, for any of them; nothing has been done then.
        """
        if not states:
            return [], []
        joined, events = self.step_joined(self.join(states), chunks)
        return self.split(joined), events

    def join(self, states: Sequence[StreamState]) -> JoinedStreams:
        """States side by side, for `step_joined`; they stay good.

        Raises:
            TensorMismatch: one of another stream, or none at all.
        """
        if not states:
            raise TensorMismatch("at least one state is joined")
        for state in states:
            self._check(state)
        return joined_streams(self.path, states)

    def split(self, joined: JoinedStreams) -> list[StreamState]:
        """The states again."""
        return split_streams(self.path, joined)

    def step_joined(
        self, joined: JoinedStreams, chunks: Sequence[Samples | Array]
    ) -> tuple[JoinedStreams, list[list[StreamEvent]]]:
        """As `step_many`, for streams that stay side by side.

        Raises what `step_many` raises; nothing has been done then.
        """
        if joined.made_by != self._digest:
            raise TensorMismatch("the states are those of another stream; use their own")
        path, blocks = self.path.step_joined(joined.path, chunks)
        rows, units = self._rows.step_joined(joined.rows, blocks)
        peaks, parts, told = self._judge.step(joined.peaks, joined.parts, units)
        made = JoinedStreams(self._digest, path, rows, peaks, tuple(parts))
        events = [_in_order(block.events, own) for block, own in zip(blocks, told, strict=True)]
        return made, events

    def _check(self, state: StreamState) -> None:
        if state.made_by != self._digest:
            raise TensorMismatch("the state is that of another stream; use its own")

    def finish(self, state: StreamState) -> list[StreamEvent]:
        """What is still to be said at the end of a recording, as far as it lies inside.

        The last values are held for as long as the networks are late. Beats close to the end are
        told from that, and so less surely than others.
        """
        last = int(state.path.arrays["next"]) - 1
        if last < 0:
            return []
        held = np.asarray(state.path.arrays["held"])[None]
        clock = self.path.clock
        rows = clock.row_showing(last) + self._judge.wait + 2 * self._rows.hop
        more = max(1, clock.arrives(rows) + 1 - last)
        after, events = self.step(state, np.repeat(held, more, axis=0))
        peaks = {name: array[None] for name, array in after.parts["peaks"].items()}
        events += self._judge.finish(peaks, after.parts, clock.first_row(last + more))
        return [
            replace(event, certain_at=min(event.certain_at, last))
            for event in events
            if isinstance(event, (Beat, Rhythm, Alarm))
            and event.sample <= last
            # Of time alone nothing can be said: there was none.
            and not (isinstance(event, Alarm) and event.kind == "asystole")
        ]


def _in_order(path: Sequence[Event], own: Sequence[StreamEvent]) -> list[StreamEvent]:
    """Events as they became certain; of one sample those of the signal path first."""
    joined: list[StreamEvent] = [*path, *own]
    return sorted(joined, key=certain_at) if path and own else joined
