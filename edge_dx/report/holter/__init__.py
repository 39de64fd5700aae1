"""The report of an ECG, as of a Holter: figures, trend, episodes, and strips of what is telling.

    from edge_dx.report import holter

    report = holter.Holter(stream.info.rate_hz, stream.info.leads)
    report.samples(samples)  # as they go into the stream
    report.events(events)  # as they come out of it
    report.close()
    page = holter.html_from_holter(report, about)

Memory does not grow with the recording: `timeline` sums over bins that grow wider, `counting`
counts beats, `lanes` follows what was judged and what each lead was worth, `ring` holds the last
two minutes of samples, and `strips` keeps a limited number of strips by the rule in `occasions`.
`findings` makes figures of that, `page` the HTML. Names and messages that come from a file are
escaped where they enter the page.
"""

from edge_dx.report.holter.findings import findings_of
from edge_dx.report.holter.page import html_from_holter
from edge_dx.report.holter.record import json_from_holter, json_schema
from edge_dx.report.holter.recorder import Holter
from edge_dx.report.holter.values import About, Findings

__all__ = [
    "About",
    "Findings",
    "Holter",
    "findings_of",
    "html_from_holter",
    "json_from_holter",
    "json_schema",
]
