"""A device's ECG through a bundle of edge_dx: events as they become certain, verdicts back.

    with firmware_bridge.connect("/dev/ttyACM0") as link, edge_dx.load("ecg-beats") as model:
        for told in Serving(link, model).events():
            print(told.as_json())

Files of this name alone know edge_dx in this package. What the link says is missing is missing for
the model too: gaps have their exact length, samples that the device made up are none, electrodes
that are off are off. Where nobody can know how much is missing (the device was restarted, or does
not number its samples) everything begins anew: no interval, no rhythm and no alarm reaches across.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

import edge_dx
from edge_dx.commands.stream_output import in_words
from edge_dx.ecg.assembly import preferred_lead
from edge_dx.ecg.events import Alarm, Beat, Rhythm, StreamEvent, as_json, happened_at
from edge_dx.ecg.state import StreamState
from edge_dx.ecg.stream import SignalStream
from edge_dx.errors import EdgeDxError
from edge_dx.signal import Gap as SignalGap
from edge_dx.signal import Mains, Samples
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples.source import MV_PER
from firmware_bridge.blocks import Block, Moment
from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.errors import BridgeError, NotServed
from firmware_bridge.link import Link
from firmware_bridge.loss import Gap
from firmware_bridge.messages import Flags
from firmware_bridge.outputs import Make, Outputs, nothing
from firmware_bridge.receiver import Happened
from firmware_bridge.ring import OnFull
from firmware_bridge.told import Break, LinkIs, in_json
from firmware_bridge.verdicts import Verdicts

_LOOK_S = 0.1
"""How soon a link that fell silent is told."""
_JUDGED = (Beat, Rhythm, Alarm)


@dataclass(frozen=True, eq=False)
class Told:
    """One thing that became certain.

    Attributes:
        event: of the model, of the link, or of the device itself.
        run: how often the device was restarted before it.
        rate_hz: of the stream, for times.
        host_ns: when it happened, in the host's monotonic clock; None where that is not known.
        uncertainty_s: of `host_ns`.
        lost: of a gap, what the link knows of its cause.
    """

    event: StreamEvent | Break | LinkIs | Happened
    run: int = 0
    rate_hz: Fraction = field(default=Fraction(1), repr=False)
    host_ns: int | None = None
    uncertainty_s: float | None = None
    lost: Gap | None = None

    def as_json(self) -> dict[str, Any]:
        """An object with a `type`, as `edge-dx stream --json` has them; more in docs/bridge.md."""
        event = self.event
        if isinstance(event, LinkIs):
            return {"type": "link", "state": event.state.value}
        if isinstance(event, Happened):
            return in_json(event) | self._when()
        if isinstance(event, Break):
            time_s = round(float(event.sample / self.rate_hz), 4)
            told = {"type": "gap", "sample": event.sample, "time_s": time_s,
                    "certain_at_s": time_s, "n": None, "restart": event.restart}  # fmt: skip
        else:
            told = as_json(event, self.rate_hz)
        if self.lost is not None:
            told["lost"] = {"link": self.lost.link, "device": self.lost.device,
                            "host": self.lost.host}  # fmt: skip
        return told | {"run": self.run} | self._when()

    def in_words(self) -> str:
        """A line for a person."""
        event, fields = self.event, self.as_json()
        if isinstance(event, LinkIs):
            return f"{'':10}    link: {event.state.value}"
        if isinstance(event, Happened):
            return f"{'':10}    device: {fields['kind']} {fields['told'] or ''}".rstrip()
        if isinstance(event, Break):
            why = "the device was restarted" if event.restart else "nobody knows how much is lost"
            return f"{fields['time_s']:10.3f} s  begins anew: {why}"
        return in_words(event, fields)

    def _when(self) -> dict[str, Any]:
        if self.host_ns is None or self.uncertainty_s is None:
            return {}
        return {"host_ns": self.host_ns, "uncertainty_s": round(self.uncertainty_s, 6)}


class Serving:
    """One stream of a device on its way through a model.

    Attributes:
        signal: the model's stream; `signal.info` says what it judges.
        mv_per_count: millivolts in one count.
        counts: of what was told, by type.
        verdicts: what went back to the device.
        run: how often the device was restarted meanwhile.
        heard_to: index behind the newest sample of this run that came; 0 before the first.
    """

    def __init__(
        self,
        link: Link,
        model: SignalModel,
        *,
        stream: str = "ecg",
        leads: Sequence[str] | None = None,
        mains_hz: int | None = None,
        answer: str | None = None,
        mv_per_count: float | None = None,
        verdicts: Sequence[str] = ("beat", "rhythm", "alarm"),
        on_full: OnFull | None = None,
    ) -> None:
        """Puts both ends together; nothing is heard before `events`.

        Args:
            link: to the device.
            model: of a bundle that judges an ECG.
            stream: the device's name of it.
            leads: that are judged; None: the first that the model knows, or the only one.
            mains_hz: of the power line; None: what the device says.
            answer: as of `SignalModel.stream`.
            mv_per_count: where the device does not know its own unit.
            verdicts: types of events that go back to the device, where it takes any.
            on_full: as of `Link.stream`.

        Raises:
            Incompatible: the device has no such stream.
            NotServed: the stream is no ECG in a known unit, or the model cannot judge it.
        """
        self._link, self._info, self._on_full = link, link.hello.stream(stream), on_full
        info = self._info
        if info.kind != "samples":
            raise NotServed(f"stream {info.name!r} of {link.hello.device} is pictures, no signal")
        if not isinstance(model, SignalModel):
            raise NotServed(
                f"{model!r} judges single inputs, not a signal; give a bundle of streams, for "
                "example ecg-beats"
            )
        self.mv_per_count = millivolts_of(info, mv_per_count)
        if mains_hz is None and link.hello.mains_hz:
            mains_hz = link.hello.mains_hz
        chosen = tuple(leads) if leads else (preferred_lead(model.wave, info.leads),)
        known = {name.casefold() for name in model.wave.leads}
        if not leads and len(info.leads) > 1 and chosen[0].casefold() not in known:
            raise NotServed(
                f"the model knows none of the leads of {link.hello.device} "
                f"({', '.join(info.leads[:20])}); say with --judge which one is to be judged"
            )
        places = {name.casefold(): place for place, name in enumerate(info.leads)}
        if missing := [lead for lead in chosen if lead.casefold() not in places]:
            raise NotServed(
                f"{link.hello.device} has no lead {', '.join(missing)}; it has "
                f"{', '.join(info.leads)}"
            )
        self._columns = [places[lead.casefold()] for lead in chosen]
        self._names = [info.leads[place] for place in self._columns]
        try:
            self.signal: SignalStream = model.stream(
                rate_hz=info.rate_hz, leads=chosen, answer=answer,
                mains_hz=cast("Mains | None", mains_hz),
                full_scale_mv=2 ** (info.bits - 1) * self.mv_per_count,
            )  # fmt: skip
        except EdgeDxError as error:
            raise NotServed(f"stream {info.name!r} of {link.hello.device}: {error}") from error
        wanted = verdicts if "verdict" in link.hello.features else ()
        self.verdicts = Verdicts(link.verdict, wanted)
        self.counts: Counter[str] = Counter()
        self.heard_to = 0
        self.run, self._boot = 0, 0
        self._anchor: tuple[int, Moment] | None = None
        self._says_off = False
        self._outputs = Outputs(nothing)

    @property
    def stream_name(self) -> str:
        """The device's name of what is heard."""
        return self._info.name

    def events(
        self,
        until: Callable[[], bool] = lambda: False,
        outputs: Make = nothing,
    ) -> Iterator[Told]:
        """What becomes certain, until the device is gone for good or a recording is over.

        What was still uncertain then is told from what there is (`SignalStream.finish`), also where
        a restart of the device ends a stretch.

        Args:
            until: asked a few times per second; true ends it.
            outputs: what takes the samples and events of a run, for example a report; asked anew
                after a restart of the device, because indices begin anew.

        Raises:
            LinkLost: the device is gone and is not looked for.
            Incompatible: another device came back.
            NotServed: the model failed.
            EdgeDxError: an output cannot be written.
        """
        state, shown = self.signal.start(), self._link.state
        trouble: BridgeError | None = None
        with (
            self._link.stream(self._info.name, on_full=self._on_full) as stream,
            self.verdicts,
            Outputs(outputs) as self._outputs,
        ):
            while not until():
                try:
                    block = stream.get(_LOOK_S)
                except BridgeError as error:
                    trouble = error
                    break
                if (now := self._link.state) is not shown:
                    shown = now
                    yield self._noted(Told(LinkIs(now)))
                yield from self._of_the_device()
                if block is None:
                    if stream.ended:
                        break
                    continue
                assert isinstance(block, Block), "the hello said samples"
                if (restart := self._begins_anew(block)) is not None:
                    yield from self._judged(self._rest(state), None)
                    state = self.signal.start()
                    if restart:
                        self._outputs.renew("the device was restarted")
                    self._meet(block)
                    yield self._noted(self._placed(Break(block.first_index, restart)))
                self._meet(block)
                samples = self.samples_of(block)
                try:
                    state, events = self.signal.step(state, samples)
                except EdgeDxError as error:
                    raise NotServed(f"at sample {block.first_index}: {error}") from error
                self._outputs.samples(samples, self.heard_to - 1)
                yield from self._judged(events, block.gap)
            yield from self._judged(self._rest(state), None)
            self._outputs.close(str(trouble) if trouble else None)
        if trouble is not None:
            raise trouble

    def _rest(self, state: StreamState) -> list[StreamEvent]:
        """What was still uncertain."""
        try:
            return self.signal.finish(state)
        except EdgeDxError as error:
            raise NotServed(f"behind sample {self.heard_to - 1}: {error}") from error

    def _begins_anew(self, block: Block) -> bool | None:
        """None where it follows on what was heard, with or without a gap; else: a restart?"""
        if block.gap is not None and block.gap.count is None:
            return block.gap.restart
        # A device that numbers nothing may have been at it before it was asked.
        return False if block.first_index < self.heard_to else None

    def _meet(self, block: Block) -> None:
        """Notes where and when the newest samples are from."""
        self.run, self._boot = block.run, block.boot_id
        self._anchor = block.first_index, block.at
        self.heard_to = block.first_index + len(block)

    def samples_of(self, block: Block) -> Samples:
        """A block as the model takes it: millivolts of the judged leads, NaN where it has none."""
        mv = block.counts[:, self._columns] * self.mv_per_count
        if block.flags & Flags.CONCEALED:
            mv = np.full_like(mv, np.nan)
        off = None
        self._says_off |= bool(block.leads_off)
        if self._says_off:
            loose = [name in block.leads_off for name in self._names]
            off = np.tile(np.array(loose, np.bool_), (len(mv), 1))
        return Samples(mv, block.first_index, off)

    def _judged(self, events: Sequence[StreamEvent], gap: Gap | None) -> Iterator[Told]:
        for event in events:
            told = self._placed(event)
            if isinstance(event, SignalGap) and gap is not None and gap.first == event.index:
                told = Told(event, told.run, told.rate_hz, told.host_ns, told.uncertainty_s, gap)
            self._outputs.event(event)
            if isinstance(event, _JUDGED):  # the device waits for nobody who reads these
                self.verdicts.give(verdict_of(event, self._info.id, self._boot))
            yield self._noted(told)

    def _placed(self, event: StreamEvent | Break) -> Told:
        anchor, rate = self._anchor, self._info.rate_hz
        if anchor is None or anchor[1].t_host_ns is None:
            return Told(event, self.run, rate)
        sample = event.sample if isinstance(event, Break) else happened_at(event)
        away_ns = round((sample - anchor[0]) * 10**9 / rate)
        return Told(event, self.run, rate, anchor[1].t_host_ns + away_ns, anchor[1].uncertainty_s)

    def _of_the_device(self) -> Iterator[Told]:
        while (happened := self._link.events.get(0)) is not None:
            at = happened.at
            yield self._noted(Told(happened, self.run, self._info.rate_hz, at.t_host_ns,
                                   at.uncertainty_s))  # fmt: skip

    def _noted(self, told: Told) -> Told:
        fields = told.as_json()
        self.counts[fields["type"]] += 1
        return told


def millivolts_of(info: StreamInfo, mv_per_count: float | None = None) -> float:
    """Millivolts in one count of a stream.

    Raises:
        NotServed: the device says no voltage and nobody else does, or the two contradict.
    """
    factor = MV_PER.get(info.unit.strip().lower())
    if factor is not None and mv_per_count is not None:
        raise NotServed(
            f"stream {info.name!r} says itself what a count is ({info.scale:g} {info.unit}); leave "
            "--mv-per-count out"
        )
    found = mv_per_count if factor is None else info.scale * factor
    if found is None:
        raise NotServed(
            f"stream {info.name!r} is in {info.unit or 'counts'!r}, which is no voltage: say what "
            "one count is, in millivolts at the electrodes, with --mv-per-count (the converter's "
            "step divided by the amplifier's gain)"
        )
    if not np.isfinite(found) or found <= 0:
        raise NotServed(f"stream {info.name!r}: {found} mV per count is nothing to measure with")
    return float(found)


def verdict_of(event: Beat | Rhythm | Alarm, stream: int, boot: int) -> dict[str, Any]:
    """An event as docs/wire.md has verdicts: about which sample of which boot, and what."""
    told: dict[str, Any] = {"stream": stream, "boot": boot, "index": event.sample % 2**32}
    if isinstance(event, Beat):
        return told | {"type": "beat", "label": event.label, "p": round(event.probability, 3),
                       "noisy": event.noisy}  # fmt: skip
    if isinstance(event, Rhythm):
        return told | {"type": "rhythm", "kind": event.rhythm, "change": event.change}
    return told | {"type": "alarm", "kind": event.kind, "change": event.change,
                   "value": round(event.value, 2), "unit": event.unit}  # fmt: skip


@contextlib.contextmanager
def opened(
    bundle: str | Path, *, variant: str | None = None, engine: str | None = None,
    allow_unsigned: bool = False,
) -> Iterator[SignalModel]:  # fmt: skip
    """The bundle's model, proved on this machine.

    Raises:
        NotServed: it cannot be opened, or is no bundle of streams; the cause says more.
    """
    try:
        model = edge_dx.load(bundle, variant, engine, allow_unsigned=allow_unsigned)
    except EdgeDxError as error:
        raise NotServed(str(error)) from error
    with model:
        if not isinstance(model, SignalModel):
            raise NotServed(
                f"{bundle} judges single inputs, not a signal; give a bundle of streams, for "
                "example ecg-beats"
            )
        yield model
