"""What a report tells, before it is anything to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_dx.manifest import HeatMap, OperatingPoint
from edge_dx.report.evaluation import Group
from edge_dx.report.rows import Row


@dataclass(frozen=True)
class ProofLine:
    """What the golden cases gave for one variant on one engine."""

    variant: str
    engine: str
    outcome: str  # pass, FAIL or skip
    detail: str


@dataclass(frozen=True)
class Figure:
    """A picture with its row.

    Attributes:
        row: what it shows.
        caption: what is known about it, and why it is shown.
        picture: a `data:` address made by this program, or None where nothing could be drawn.
    """

    row: Row
    caption: str
    picture: str | None


@dataclass(frozen=True)
class Films:
    """The reader's own films.

    Attributes:
        directory: as given.
        rows: all of them.
        groups: figures of the unseen films: all, then each source; empty without labels.
        seen: figures of the films that were used in training, or None.
        seen_is_known: whether the bundle says which films it was trained on.
        refused: lines of labels.csv that were left out.
        figures: the most telling ones.
    """

    directory: str
    rows: Sequence[Row]
    groups: Sequence[Group]
    seen: Group | None
    seen_is_known: bool
    refused: Sequence[str]
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Recording:
    """An ECG with its report.

    Attributes:
        name: of the recording.
        what: it is, in words.
        page: name of its own report, beside this one.
        duration_s: of the recording.
        analysed_s: of that.
        beats: that were found.
        ventricular: of them; None where the model tells no classes.
        said: what else there is to say, for example what was drawn.
    """

    name: str
    what: str
    page: str
    duration_s: float
    analysed_s: float
    beats: int
    ventricular: int | None
    said: str


@dataclass(frozen=True)
class Report:
    """All that the page tells."""

    title: str
    made: str
    problems: Sequence[str]
    facts: Sequence[tuple[str, str]]
    is_development_key: bool
    is_unsigned: bool
    proofs: Sequence[ProofLine]
    phantoms: Sequence[Figure]
    refused: Sequence[Row]
    refused_note: str
    films: Films | None
    point: OperatingPoint | None
    heat_map: HeatMap | None
    recordings: Sequence[Recording]
    recordings_note: str
    card: str
