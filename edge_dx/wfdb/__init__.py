"""WFDB files, the format of PhysioNet's records: headers, signals and annotations.

A record `100` is a header `100.hea` (text), signal files that it names (`100.dat`) and annotation
files `100.<annotator>` (`100.atr`). Read here with numpy alone, as described in "WFDB Header (5)",
"Signal (5)" and "Annot (5)" of the WFDB Applications Guide. Multi-segment records, several samples
per frame and skewed signals are refused by name, not read wrongly.
"""

from edge_dx.wfdb.annotations import (
    Annotation,
    Annotations,
    decode_annotations,
    encode_annotations,
    read_annotations,
    write_annotations,
)
from edge_dx.wfdb.codes import BEATS, CODES, SYMBOLS
from edge_dx.wfdb.header import Header, Signal, parse_header, read_header
from edge_dx.wfdb.signals import physical, read_blocks, read_record

__all__ = [
    "BEATS",
    "CODES",
    "SYMBOLS",
    "Annotation",
    "Annotations",
    "Header",
    "Signal",
    "decode_annotations",
    "encode_annotations",
    "parse_header",
    "physical",
    "read_annotations",
    "read_blocks",
    "read_header",
    "read_record",
    "write_annotations",
]
