"""What `edge-dx stream` judges: the recording, and which of its leads."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from edge_dx import wfdb
from edge_dx.ecg.assembly import preferred_lead
from edge_dx.errors import NotFound, UnsupportedInput
from edge_dx.manifest import WaveformInput
from edge_dx.signal import Samples
from edge_dx.sources.samples import Playback, SampleSource, Synthetic, open_samples
from edge_dx.sources.samples.source import MV_PER

SYNTHETIC = "synthetic"
_BLOCK_S = 0.1
_LASTS_S = 10 * 365 * 24 * 3600.0
"""Of the synthetic recording, which is to go on until somebody stops it."""


class Chosen:
    """A recording of which some leads are judged.

    Attributes:
        name: of the recording.
        record: its bare name, for files about it.
        rate_hz: samples per second.
        leads: that are judged.
        full_scale_mv: see `SampleSource`.
        why: these leads.
        dropped: samples so far that were left out because a saved state had seen them.
    """

    def __init__(self, source: SampleSource, leads: tuple[str, ...], why: str, record: str) -> None:
        """Chooses.

        Raises:
            UnsupportedInput: a lead that the recording has not.
        """
        self._source, self.leads, self.why, self.record = source, leads, why, record
        self.name, self.rate_hz = source.name, source.rate_hz
        self.full_scale_mv, self.dropped = source.full_scale_mv, 0
        places = {name.casefold(): place for place, name in enumerate(source.leads)}
        if missing := [lead for lead in leads if lead.casefold() not in places]:
            raise UnsupportedInput(
                f"{source.name}: no lead {', '.join(missing)}; it has {', '.join(source.leads)}",
                "format",
            )
        self._columns = [places[lead.casefold()] for lead in leads]

    def blocks(self, following: int) -> Iterator[Samples]:
        """Samples of the chosen leads, with the device's index.

        Args:
            following: what a saved state expects next; samples before it are left out. -1: there
                is none.

        Raises what the source's `blocks` raises.
        """
        expected = 0
        for samples in self._source.blocks():
            start = expected if samples.start is None else samples.start
            expected = start + len(samples.mv)
            seen = min(max(following - start, 0), len(samples.mv))
            self.dropped += seen
            if seen < len(samples.mv):
                off = samples.lead_off
                yield Samples(
                    samples.mv[seen:, self._columns],
                    start + seen,
                    None if off is None else off[seen:, self._columns],
                )

    def close(self) -> None:
        """Lets go of the recording."""
        self._source.close()


def opened(options: argparse.Namespace, wave: WaveformInput) -> Chosen:
    """The recording that the options name, at their pace.

    Raises:
        NotFound: no such file.
        InputError: it cannot be read, or has no such lead.
    """
    told = options.live if options.live is not None else options.recording
    asked = tuple(lead.strip() for lead in options.leads.split(",")) if options.leads else None
    record = "stream" if told == "-" else Path(told).stem
    source: SampleSource
    if told == SYNTHETIC and options.live is not None:
        source = Synthetic(rate_hz=Fraction(options.hz or 250), premature_every=9, seconds=_LASTS_S)
    else:
        among = asked if asked is not None else _voltages(told)
        source = open_samples(told, leads=among, rate_hz=options.hz, unit=options.unit)
    # A pipe has a pace of its own.
    realtime = options.rate == "realtime" or (options.live is not None and options.rate is None)
    if realtime and told != "-":
        source = Playback(source, block_s=_BLOCK_S)
    if asked is not None:
        return Chosen(source, asked, "asked for", record)
    lead = preferred_lead(wave, source.leads)
    liked = lead.casefold() in {name.casefold() for name in wave.leads}
    if not liked and len(source.leads) > 1:
        source.close()
        raise UnsupportedInput(
            f"{source.name}: the model knows none of the leads {', '.join(source.leads[:20])}; say "
            "with --leads which one is to be judged", "format"
        )  # fmt: skip
    if len(source.leads) == 1:
        return Chosen(source, (lead,), "the only one", record)
    why = "the model's first choice of those here; --leads chooses"
    return Chosen(source, (lead,), why, record)


def _voltages(path: str) -> tuple[str, ...] | None:
    """The signals of a WFDB record that are voltages; None of other files: all ECG leads."""
    if Path(path).suffix != ".hea":
        return None
    header = wfdb.read_header(path)
    found = tuple(signal.name for signal in header.signals if signal.units.lower() in MV_PER)
    if not found:
        raise NotFound(f"{path}: none of its signals is a voltage")
    return found
