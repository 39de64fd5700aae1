"""The same figures for a program: one JSON file, described by docs/holter.schema.json."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edge_dx.report.holter.findings import findings_of
from edge_dx.report.holter.recorder import Holter
from edge_dx.report.holter.values import About, Findings

FORMAT = 1


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page tells, without its pictures; times count from the first sample on.

    Attributes:
        recording: its name.
        facts: who judged it, as the head of the page has it.
        tells_classes: beats were told apart; else all are `Q`, and that says nothing.
        looks_for_af: else the figures of atrial fibrillation are empty and say nothing.
        alarms: kinds that were looked for; of others none is told, and that says nothing.
        ended: how the recording ended, where it was not at its end.
        begun: time of day of the first sample, ISO 8601, where it is known.
    """

    format: int
    recording: str
    leads: tuple[str, ...]
    facts: dict[str, str]
    tells_classes: bool
    looks_for_af: bool
    alarms: tuple[str, ...]
    unsigned: bool
    ended: str
    begun: str | None
    made: str
    findings: Findings


def json_from_holter(holter: Holter, about: About) -> str:
    """The record of a recording that has been closed."""
    record = Record(
        format=FORMAT, recording=about.name, leads=about.leads, facts=dict(about.facts),
        tells_classes=about.tells_classes, looks_for_af=about.looks_for_af, alarms=about.alarms,
        unsigned=about.unsigned, ended=about.ended,
        begun=about.begun.isoformat() if about.begun else None, made=about.made,
        findings=findings_of(holter),
    )  # fmt: skip
    # Names of files may hold what UTF-8 cannot; escapes can.
    return json.dumps(msgspec.to_builtins(record), indent=1, allow_nan=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edge_dx ECG report, format {FORMAT}",
        **msgspec.json.schema(Record),
    }
