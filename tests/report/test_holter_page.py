"""The page: whole, safe, of one file, to scale; and its twin for programs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from edge_dx.report.holter import Holter, html_from_holter, json_from_holter, json_schema
from edge_dx.report.holter.draw_strip import TOLERANCE_MM, svg_from_strip
from edge_dx.signal import Samples
from tests.report.heart import ABOUT, LEADS, RATE, Heart, mv_of, recorded
from tests.test_report import HOSTILE, Tags

VOID = {"meta", "br"}
_SVG = re.compile(r"<svg.*?</svg>(?:(?:(?!<svg).)*?</svg>)*", re.DOTALL)


class Balance(HTMLParser):
    """Every tag is closed where it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


@pytest.fixture(scope="module")
def holter() -> Holter:
    """Some of everything."""
    heart = Heart().begin(300).beats("NNNNNNNNNNVNNNVVNNNSNNNVVVVNNNNNNFNNQ")
    heart.beat("N", 2.4).beats("N" * 10).noise(2000, 2300)
    heart.judge(6000, "ends").judge(6500, "begins").beats("N" * 20, 0.6)
    heart.af(6600, "begins", 7000).alarm(6700, "tachycardia", "begins", 150)
    heart.alarm(7000, "ventricular_tachycardia", "begins", 150)
    heart.alarm(7300, "ventricular_tachycardia", "ends", 0)
    return recorded(heart.told(), 9000, gaps=[(6000, 6300)])


def test_every_tag_is_closed_and_nothing_is_loaded(holter: Holter) -> None:
    page = html_from_holter(holter, ABOUT)
    balance, tags = Balance(), Tags()
    balance.feed(page)
    tags.feed(page)
    assert (balance.wrong, balance.open) == ([], [])
    assert not tags.tags & {"script", "link", "img", "iframe", "object", "base", "form", "image"}
    assert not {name for name in tags.attributes if name.startswith("on") or name == "src"}
    bare = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", bare)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_the_pictures_are_svgs_that_stand_alone(holter: Holter) -> None:
    page = html_from_holter(holter, ABOUT)
    charts = [s for s in re.split(r'(?=<svg class="(?:strip|chart))', page) if s.startswith("<svg")]
    assert len(charts) == 2 + len(holter.strips())
    for chart in charts:
        whole = chart[: _end_of_svg(chart)]
        root = ElementTree.fromstring(whole)
        assert root.get("viewBox")
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
        assert not re.search(r"\b(nan|inf)\b", whole.lower())


def _end_of_svg(text: str) -> int:
    depth = 0
    for found in re.finditer(r"<svg|</svg>", text):
        depth += 1 if found.group() == "<svg" else -1
        if not depth:
            return found.end()
    raise AssertionError("an svg is not closed")


def test_names_from_files_are_text(holter: Holter) -> None:
    about = replace(
        ABOUT, name=HOSTILE, leads=(HOSTILE, "\x1b[31m\u202e"), facts=((HOSTILE, HOSTILE),),
        ended=HOSTILE, made=HOSTILE,
    )  # fmt: skip
    told = Holter(RATE, about.leads)
    index = np.arange(2000)
    told.samples(Samples(mv_of(index), 0))
    told.events(Heart().begin(0, about.leads).beats("N" * 15).told())
    told.close()
    page = html_from_holter(told, about)
    tags = Tags()
    tags.feed(page)
    assert not tags.tags & {"script", "img"}
    assert "onerror" not in tags.attributes
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") >= 6
    record = json.loads(json_from_holter(told, about))
    assert record["recording"] == HOSTILE


def test_a_strip_is_to_scale(holter: Holter) -> None:
    strip = next(s for s in holter.strips() if s.kind == "couplet")
    root = ElementTree.fromstring(svg_from_strip(strip, holter.clock, LEADS, classes=True))
    space = "{http://www.w3.org/2000/svg}"
    left, top, width, height = map(float, (root.get("viewBox") or "").split())
    assert (root.get("width"), root.get("height")) == (f"{width:g}mm", f"{height:g}mm")
    assert (left, top, width) == (0, 0, 7 + 25 * 7), "fits the 182 mm between A4's margins"
    letters = [node for node in root.iter(f"{space}text") if "beat" in (node.get("class") or "")]
    assert [node.text for node in letters] == [beat.label for beat in strip.beats]
    for node, beat in zip(letters, strip.beats, strict=True):
        seconds = (beat.sample - strip.begin) / RATE
        assert float(node.get("x") or 0) == pytest.approx(7 + 25 * seconds, abs=0.006)
    assert strip.mv is not None
    for lead, picture in enumerate(root.findall(f"{space}svg")):
        path = picture.find(f"{space}path")
        assert path is not None
        points = _points(path.get("d") or "")
        x = points[:, 0] / 100
        drawn = np.interp(np.arange(len(strip.mv)) * 25 / RATE, x, points[:, 1] / 100)
        # Up is positive and 10 mm are a millivolt, wherever the middle lies.
        true = -10 * strip.mv[:, lead]
        off = (drawn - drawn.mean()) - (true - true.mean())
        assert np.abs(off).max() < 2 * TOLERANCE_MM + 0.02


def _points(path: str) -> np.ndarray:
    numbers = [int(n) for n in re.findall(r"-?\d+", path)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


def test_classes_are_not_drawn_where_none_are_told(holter: Holter) -> None:
    strip = holter.strips()[0]
    drawn = svg_from_strip(strip, holter.clock, LEADS, classes=False)
    assert ">•<" in drawn
    assert 'class="beat v"' not in drawn


def test_where_nothing_came_and_where_nobody_looked_is_drawn(holter: Holter) -> None:
    page = html_from_holter(holter, ABOUT)
    part = page[page.index("<h3>No longer analysed</h3>") :]
    strip = part[: _end_of_svg(part)]
    assert strip.count('class="none"') == len(LEADS)
    assert 'class="gone"' in strip
    assert "not analysed" in strip


def test_times_of_day_are_told_where_the_beginning_is_known(holter: Holter) -> None:
    begun = datetime(2026, 1, 31, 23, 59, 30)
    page = html_from_holter(holter, replace(ABOUT, begun=begun))
    assert "2026-01-31 23:59:30, as the recording says" in page
    assert '<th class="n">time of day</th>' in page
    assert "00:00:" in page
    assert "time of day</th>" not in html_from_holter(holter, ABOUT)


def test_the_record_fits_its_schema_and_tells_the_same(holter: Holter) -> None:
    record = json.loads(json_from_holter(holter, ABOUT))
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(record, json.loads(json.dumps(schema)))
    found = record["findings"]
    assert found["duration_s"] == 90.0
    assert (found["trend"]["width_s"], len(found["trend"]["rate_per_min"])) == (1, 90)
    assert sum(found["trend"]["analysed_s"]) == pytest.approx(found["analysed_s"])
    assert sum(found["beats"].values()) == 68
    assert [alarm["kind"] for alarm in found["alarms"]] == ["tachycardia",
                                                            "ventricular_tachycardia"]  # fmt: skip
    assert {shown["kind"] for shown in found["strips"]} >= {"couplet", "pause", "not_analysed"}


def test_the_schema_in_the_documents_is_that_of_the_types() -> None:
    path = Path(__file__).parents[2] / "docs" / "holter.schema.json"
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(json_schema())), (
        "write it again: python -m edge_dx.report.holter > docs/holter.schema.json"
    )


def test_an_empty_recording_has_a_page() -> None:
    holter = Holter(250, ("I",))
    holter.close(-1)
    page = html_from_holter(holter, replace(ABOUT, leads=("I",), ended="the pipe closed"))
    assert "There was never enough" in page
    assert "the pipe closed" in page
    json_from_holter(holter, ABOUT)
