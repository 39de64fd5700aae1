"""Evaluation of ECG analysis as ANSI/AAMI EC57 asks for it: beats, runs, episodes, heart periods.

    from edge_dx import ec57, wfdb

    protocol = ec57.Protocol(ec57.MAPPINGS["ej-normal"])
    tally = ec57.compare(reference, test, protocol, rate_hz=360, samples=650_000, record="101")
    print(ec57.to_text(ec57.evaluate([tally], protocol)))

The command is `edge-dx evaluate`; every formula stands in docs/ecg-evaluation.md.
"""

from edge_dx.ec57.figures import FIGURES, Figure
from edge_dx.ec57.mapping import LABELS, MAPPINGS, Mapping
from edge_dx.ec57.marks import annotated
from edge_dx.ec57.match import Match, Pair
from edge_dx.ec57.report import to_dict, to_text
from edge_dx.ec57.sets import DS1, DS2, MITBIH, PACED, SETS, patients_of
from edge_dx.ec57.summary import Evaluation, Value, evaluate
from edge_dx.ec57.tally import Protocol, Tally, compare

__all__ = [
    "DS1",
    "DS2",
    "FIGURES",
    "LABELS",
    "MAPPINGS",
    "MITBIH",
    "PACED",
    "SETS",
    "Evaluation",
    "Figure",
    "Mapping",
    "Match",
    "Pair",
    "Protocol",
    "Tally",
    "Value",
    "annotated",
    "compare",
    "evaluate",
    "patients_of",
    "to_dict",
    "to_text",
]
