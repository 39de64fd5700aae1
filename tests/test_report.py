"""The report: figures by hand, truth from labels.csv, and markup that nothing can get into."""

from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_dx.bundle import Bundle
from edge_dx.errors import UnreadableInput
from edge_dx.report import evaluation, labels, pieces, roc, text
from edge_dx.report.labels import Truth
from edge_dx.report.markdown import html_from_markdown
from edge_dx.report.rows import Row
from edge_dx.report.values import Figure
from edge_dx.result import Status, TimingMs
from tests import tiny

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def row(
    status: Status,
    score: float | None = None,
    positive: bool | None = None,
    name: str = "film.png",
    source: str = "",
    patient: str = "",
    seen: bool = False,
) -> Row:
    truth = (
        None if positive is None else Truth("tb" if positive else "no", positive, patient, source)
    )
    return Row(
        name=name, file=Path(name), what=truth.label if truth else "", status=status, score=score,
        threshold=0.5, reasons=(), detail="", digest=None, timing=TimingMs(1, 2, 3, 4, 10),
        truth=truth, seen=seen,
    )  # fmt: skip


# Four films with the finding: two found, one missed, one not analysed. Four without: two
# negative, one false alarm, one indeterminate.
EIGHT = [
    row(Status.POSITIVE, 0.9, True, "a", "north"),
    row(Status.POSITIVE, 0.7, True, "b", "north"),
    row(Status.NEGATIVE, 0.2, True, "c", "south"),
    row(Status.NOT_ANALYSED, None, True, "d", "south"),
    row(Status.NEGATIVE, 0.1, False, "e", "north"),
    row(Status.NEGATIVE, 0.3, False, "f", "south"),
    row(Status.POSITIVE, 0.8, False, "g", "south"),
    row(Status.INDETERMINATE, 0.5, False, "h", "north"),
]


def test_figures_count_what_was_not_judged_against_the_model() -> None:
    found = evaluation.evaluate("all", EIGHT)
    assert (found.films, found.positives, found.unscored) == (8, 4, 1)
    assert found.sensitivity is not None
    assert found.specificity is not None
    assert found.auc is not None
    assert found.sensitivity.value == pytest.approx(2 / 4)
    assert found.specificity.value == pytest.approx(2 / 4)
    # Pairs won by the finding: 0.9 beats 4, 0.7 beats 0.1, 0.3 and 0.5, 0.2 beats 0.1: 8 of 12.
    assert found.auc.value == pytest.approx(8 / 12, abs=1e-6)
    assert found.sensitivity.low < 0.5 < found.sensitivity.high
    assert found.answers == {
        (True, Status.POSITIVE): 2, (True, Status.NEGATIVE): 1, (True, Status.NOT_ANALYSED): 1,
        (False, Status.NEGATIVE): 2, (False, Status.POSITIVE): 1,
        (False, Status.INDETERMINATE): 1,
    }  # fmt: skip


def test_figures_of_each_source() -> None:
    north, south = evaluation.by_source(EIGHT)
    assert (north.name, north.films, south.name, south.films) == ("north", 4, "south", 4)
    assert north.sensitivity is not None
    assert north.sensitivity.value == 1
    assert evaluation.by_source([r for r in EIGHT if r.truth and r.truth.source == "north"]) == []


def test_figures_that_are_not_defined_are_none() -> None:
    nothing = evaluation.evaluate("none", [])
    assert (nothing.auc, nothing.sensitivity, nothing.specificity) == (None, None, None)
    healthy = evaluation.evaluate("healthy", [r for r in EIGHT if r.truth and not r.truth.positive])
    assert healthy.sensitivity is None
    assert healthy.specificity is not None
    declined = evaluation.evaluate("declined", [row(Status.NOT_ANALYSED, None, True)])
    assert declined.auc is None
    assert declined.sensitivity is not None
    assert declined.sensitivity.value == 0


def test_the_most_telling_films_are_errors_first() -> None:
    chosen = evaluation.most_telling(EIGHT)
    assert [(why, found.name) for why, found in chosen[:3]] == [
        ("missed", "c"), ("false alarm", "g"), ("not analysed", "d"),
    ]  # fmt: skip
    assert len({found.name for _, found in chosen}) == len(chosen) == 8
    many = [row(Status.POSITIVE, i / 100, None, f"{i}") for i in range(90)]
    assert [found.name for _, found in evaluation.most_telling(many)][:2] == ["89", "88"]
    assert len(evaluation.most_telling(many)) == 24


def test_the_roc_curve_goes_through_its_corners_and_marks_the_operating_point() -> None:
    rows = [row(Status.POSITIVE, s, p) for s, p in ((0.9, True), (0.6, False), (0.4, True),
                                                    (0.1, False))]  # fmt: skip
    drawn = roc.svg_from_rows(rows, 0.5)
    # (0,0) (0,½) (½,½) (½,1) (1,1) in a square of 260 whose corner is at (46, 270).
    assert 'points="46.0,270.0 46.0,140.0 176.0,140.0 176.0,10.0 306.0,10.0"' in drawn
    assert '<circle cx="176.0" cy="140.0"' in drawn
    assert roc.svg_from_rows([r for r in rows if r.truth and r.truth.positive], 0.5) == ""


def write_labels(directory: Path, content: str) -> Path:
    (directory / "labels.csv").write_text(content, encoding="utf-8")
    return directory


def test_labels_are_read_and_map_to_the_operating_point(tmp_path: Path) -> None:
    write_labels(
        tmp_path, "\ufefffile,label,patient_id,source\na.png,tb,p1,north\nb/c.png,well,,\n"
    )
    listed = labels.read_labels(tmp_path, "tb")
    assert listed is not None
    assert listed.films == (
        (tmp_path / "a.png", Truth("tb", True, "p1", "north")),
        (tmp_path / "b/c.png", Truth("well", False, "", "")),
    )
    assert labels.read_labels(tmp_path / "b", "tb") is None


def test_labels_that_lead_elsewhere_are_left_out(tmp_path: Path) -> None:
    write_labels(
        tmp_path,
        "file,label\n../secret.png,tb\n/etc/passwd,tb\n,tb\na\0b.png,tb\na.png,tb\na.png,tb\n",
    )
    listed = labels.read_labels(tmp_path, "tb")
    assert listed is not None
    assert [file.name for file, _ in listed.films] == ["a\ufffdb.png", "a.png"]
    assert len(listed.refused) == 4
    assert "line 2" in listed.refused[0]


def test_a_short_line_is_no_traceback(tmp_path: Path) -> None:
    write_labels(tmp_path, "file,label,patient_id\na.png\n\nb.png,tb,p,more,and more\n")
    listed = labels.read_labels(tmp_path, "tb")
    assert listed is not None
    assert [truth.label for _, truth in listed.films] == ["", "tb"]


def test_labels_without_their_columns_say_which(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="no column label"):
        labels.read_labels(write_labels(tmp_path, "file,finding\na.png,tb\n"), "tb")
    with pytest.raises(UnreadableInput, match="no column file and label"):
        labels.read_labels(write_labels(tmp_path, ""), "tb")


def test_the_card_tells_which_films_were_seen() -> None:
    digest = hashlib.sha256(b"film").hexdigest()

    def bundle(card: bytes) -> Bundle:
        return Bundle(Path("x"), tiny.parts().built(), {"card.json": card}, "", None)

    told = labels.training_digests(bundle(json.dumps({"training_files": [digest[:16]]}).encode()))
    assert told == {digest[:16]}
    for silent in (b"{}", b"no json", b"[]", b'{"training_files": []}', b'{"training_files": [1]}'):
        assert labels.training_digests(bundle(silent)) is None


def test_no_text_becomes_markup() -> None:
    hostile = row(Status.POSITIVE, 0.9, True, HOSTILE)
    page = pieces.answers([hostile], "label")
    page += pieces.gallery([Figure(hostile, HOSTILE, "data:,"), Figure(hostile, HOSTILE, None)])
    page += html_from_markdown(f"# {HOSTILE}\n\n- {HOSTILE}\n\n| {HOSTILE} |\n\n`{HOSTILE}`")
    found = Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert "onerror" not in found.attributes
    assert "alert" in page


def test_the_card_is_rendered() -> None:
    page = html_from_markdown(
        "# Title\n\nSome `code *here*` and **bold**\nwrapped, `odd.\n\n- one\n- two\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    )
    assert page == (
        "<h3>Title</h3>\n"
        "<p>Some <code>code *here*</code> and <strong>bold</strong> wrapped, `odd.</p>\n"
        "<ul><li>one</li><li>two</li></ul>\n"
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    )


def test_the_terminal_table_is_narrow_and_steers_nothing() -> None:
    rows = [
        row(Status.NOT_ANALYSED, None, None, "n" * 300),
        row(Status.POSITIVE, 0.5, True, "\x1b[2J"),
    ]
    lines = text.answers(rows, "label")
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in "".join(lines)
    assert text.shortened("phantom-opacities-3.dcm", 11) == "phant…3.dcm"
    assert text.plain("a\nb\udcffc") == "a b?c"
