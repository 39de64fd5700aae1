"""An ECG through the beat model, chunk by chunk, as a device would send it; with a report.

    python examples/stream_ecg.py                     # an ECG that edge_dx draws itself
    python examples/stream_ecg.py record.hea          # WFDB, EDF, DICOM waveform or text
    python examples/stream_ecg.py record.hea --bundle ecg-beats --report night.html

The state is a value in your hand: it can be saved in the middle of a beat and taken up again, on
another day or device, with the same answers. Not for diagnosis.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import edge_dx
from edge_dx.ecg.events import Alarm, Beat, Judging, Rhythm, StreamEvent
from edge_dx.report.holter import About, Holter, html_from_holter
from edge_dx.signal import Samples
from edge_dx.sources.samples import SampleSource, Synthetic, open_samples


def main() -> int:
    """Streams one recording and writes its report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recording", nargs="?", help="without one an ECG is drawn")
    parser.add_argument("--bundle", default="ecg-beats")
    parser.add_argument("--allow-unsigned", action="store_true", help="for a bundle of your own")
    parser.add_argument("--report", type=Path, default=Path("ecg-report.html"))
    options = parser.parse_args()
    source: SampleSource = (
        open_samples(options.recording)
        if options.recording
        else Synthetic(seconds=60, premature_every=9)
    )
    with edge_dx.load(options.bundle, allow_unsigned=options.allow_unsigned) as model:
        # A lead is chosen by its name; here the first one that the recording has.
        stream = model.stream(rate_hz=source.rate_hz, leads=source.leads[:1])
        report = Holter(stream.info.rate_hz, stream.info.leads)
        state = stream.start()
        for block in source.blocks():
            chunk = Samples(block.mv[:, :1], block.start)
            report.samples(chunk)
            state, events = stream.step(state, chunk)
            tell(events, float(source.rate_hz))
            report.events(events)
            # What a device would keep over a restart, as arrays for numpy.savez.
            state = stream.resume(state.to_arrays())
        events = stream.finish(state)
        tell(events, float(source.rate_hz))
        report.events(events)
        report.close()
        info = stream.info
    about = About(
        name=source.name,
        leads=info.leads,
        facts=(("bundle", info.bundle), ("variant", f"{info.variant} on {info.engine}")),
        tells_classes=info.answer is not None,
        looks_for_af="AF" in info.rhythms,
        alarms=info.alarms,
    )
    options.report.write_text(html_from_holter(report, about), encoding="utf-8")
    print(f"report: {options.report}")
    return 0


def tell(events: list[StreamEvent], rate_hz: float) -> None:
    """A line for what a person would want to know at once."""
    for event in events:
        if isinstance(event, Beat) and event.label != "N":
            print(f"{event.sample / rate_hz:9.3f} s  beat {event.label} {event.probability:.2f}")
        elif isinstance(event, Rhythm):
            print(f"{event.sample / rate_hz:9.3f} s  {event.rhythm} {event.change}")
        elif isinstance(event, Alarm):
            print(f"{event.sample / rate_hz:9.3f} s  {event.kind} {event.change}")
        elif isinstance(event, Judging):
            # Where nothing is judged, no beat does not mean that there was none.
            print(f"{event.sample / rate_hz:9.3f} s  judging {event.change}")


if __name__ == "__main__":
    sys.exit(main())
