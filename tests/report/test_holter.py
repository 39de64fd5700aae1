"""What the report of an ECG counts: by hand on recordings whose every figure is known."""

from __future__ import annotations

import pickle
import re
from itertools import accumulate, cycle, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.ecg.events import Beat, Label
from edge_dx.report.holter import Holter, findings_of, html_from_holter
from edge_dx.report.holter.occasions import KINDS, MOST, RANK
from edge_dx.report.holter.strips import AFTER_S, BEFORE_S
from edge_dx.report.holter.timeline import MAX_BINS, Timeline
from edge_dx.signal import Gap, LeadOff, Quality, Samples, Warmup
from tests.report.heart import ABOUT, KNOWN, LEADS, RATE, Heart, mv_of, recorded


def test_beats_rates_and_extremes() -> None:
    heart = Heart().begin().beats("N" * 20, 0.8).beats("N" * 20, 0.5).beats("N" * 20, 1.2)
    found = findings_of(recorded(heart.told(), heart.at + 100))
    assert found.beats == {"N": 60, "S": 0, "V": 0, "F": 0, "Q": 0}
    total_s = 19 * 0.8 + 20 * 0.5 + 20 * 1.2
    assert found.rate_mean_per_min == pytest.approx(60 * 59 / total_s, abs=0.06)
    assert found.rate_highest is not None
    assert found.rate_lowest is not None
    assert found.rate_highest.value == pytest.approx(120)
    # The first beat by which eight intervals of half a second lie behind.
    assert found.rate_highest.sample == (20 * 80) + 8 * 50
    assert found.rate_lowest.value == pytest.approx(50)
    assert found.rr_longest is not None
    assert found.rr_longest.value == pytest.approx(1.2)
    assert sum(found.histogram.normal) == 59
    assert found.histogram.normal[15] == 20, "0.50 to 0.52 s"
    assert sum(found.histogram.other) == found.histogram.shorter == found.histogram.longer == 0


def test_how_ectopic_beats_come() -> None:
    heart = Heart().begin().beats("NNVNNVVNSNSSNVVVVNSSSN")
    found = findings_of(recorded(heart.told(), heart.at + 100))
    v, s = found.ectopy["V"], found.ectopy["S"]
    assert (v.single, v.couplets, v.runs, v.longest_run_beats) == (1, 1, 1, 4)
    assert (s.single, s.couplets, s.runs, s.longest_run_beats) == (1, 1, 1, 3)
    assert [(run.label, run.beats, run.sample) for run in found.runs] == [
        ("V", 4, 14 * 80), ("S", 3, 19 * 80),
    ]  # fmt: skip
    assert found.runs[0].rate_per_min == pytest.approx(75)


def test_a_run_does_not_reach_over_a_break() -> None:
    heart = Heart().begin().beats("NVV").judge(1000, "ends").judge(1200, "begins").beats("VVN")
    found = findings_of(recorded(heart.told(), heart.at + 100))
    assert (found.ectopy["V"].couplets, found.ectopy["V"].runs) == (2, 0)


def test_pauses_and_intervals_in_noise() -> None:
    heart = Heart().begin().beats("NNN").beat("N", 2.0).beat("N", 3.5).beats("NN")
    heart.beat("N", 4.0, noisy=True).beat("N", 2.5).beats("NN")
    found = findings_of(recorded(heart.told(), heart.at + 100))
    assert found.pauses == 2
    assert found.rr_longest is not None
    assert found.rr_longest.value == pytest.approx(3.5)
    assert (found.rr_left_out, found.noisy_beats) == (2, 1), "in front of the noisy beat, behind it"


def test_time_that_nobody_looked_at_is_counted_with_its_cause() -> None:
    heart = Heart().begin(300).beats("N" * 10)
    lost = Gap(2000, 3000, 1000, concealed=False)
    heart.events += [lost, *(Warmup(3000, 3000, lead, ready=False) for lead in LEADS)]
    heart.judge(2000, "ends")
    heart.events += [Warmup(3200, 3200, lead, ready=True) for lead in LEADS]
    heart.judge(3300, "begins").beats("N" * 10)
    for lead in LEADS:
        heart.events += [LeadOff(5000, 5000, lead, off=True),
                         Quality(5000, 5000, lead, "invalid", "lead_off"),
                         LeadOff(5500, 5500, lead, off=False),
                         Quality(5500, 5500, lead, "valid", None)]  # fmt: skip
    heart.judge(5000, "ends").judge(5700, "begins").beats("N" * 5)
    heart.events.append(Quality(6500, 6600, "V1", "invalid", "flat"))
    holter = recorded(heart.told(), 7000, gaps=[(2000, 3000)])
    found = findings_of(holter)
    assert found.not_analysed == {"settling": 3.0, "lost": 13.0, "lead_off": 7.0}
    assert found.duration_s == 70.0
    assert found.analysed_s == pytest.approx(70.0 - 23.0)
    assert (found.lost_samples, found.samples) == (1000, 6000)
    assert [(s.sample, s.cause) for s in found.longest_not_analysed] == [
        (0, "settling"), (2000, "lost"), (5000, "lead_off"),
    ]  # fmt: skip
    ii, v1 = found.leads
    assert (ii.lost_s, ii.invalid_s, ii.settling_s) == (10.0, 5.0, 5.0)
    assert (v1.lost_s, v1.invalid_s) == (10.0, 10.0)
    for lead in found.leads:
        together = lead.good_s + lead.held_s + lead.invalid_s + lead.settling_s + lead.lost_s
        assert together == pytest.approx(70.0)
    assert sum(period.analysed_s for period in found.periods) == pytest.approx(found.analysed_s)
    page = html_from_holter(holter, ABOUT)
    assert "Analysed: 47.0 s of 1 min 10 s (67.1 %)" in page
    assert "nobody looked" in page


def test_a_recording_that_was_never_judged_reads_as_no_normal_one() -> None:
    holter = recorded([Warmup(0, 0, lead, ready=False) for lead in LEADS], 500)
    found = findings_of(holter)
    assert (found.analysed_s, found.not_analysed) == (0.0, {"settling": 5.0})
    page = html_from_holter(holter, ABOUT)
    assert "Not analysed.</strong>" in page
    for said in ("</b>in atrial fibrillation", "Beats over time", "None in the", "No episode"):
        assert said not in page


def test_what_the_model_does_not_look_for_is_not_told_as_none() -> None:
    from dataclasses import replace

    heart = Heart().begin().beats("Q" * 20)
    holter = recorded(heart.told(), heart.at + 100)
    page = html_from_holter(
        holter, replace(ABOUT, tells_classes=False, looks_for_af=False, alarms=())
    )
    for said in ("does not tell them apart", "does not look for it", "no rule was on",
                 "Not looked for: this model does not judge the rhythm"):  # fmt: skip
        assert said in page
    assert "ventricular beats (V)" not in page
    assert "Ectopic beats" not in page
    page = html_from_holter(holter, replace(ABOUT, alarms=("asystole",)))
    assert "Looked for: asystole. Not looked for: ventricular tachycardia" in page


def test_af_is_known_late_and_its_beats_are_its_own() -> None:
    heart = Heart().begin().beats("N" * 30, 1.0)
    heart.beats("N" * 60, 0.5).beats("N" * 30, 1.0)
    # Known twelve beats after its first one, and likewise in the end.
    heart.af(3050, "begins", 3650).af(6050, "ends", 6800).af(8000, "begins", 8400)
    found = findings_of(recorded(heart.told(), 9200))
    assert found.af_episodes == 2
    first, second = found.af
    assert (first.sample, first.lasts_s, first.beats, first.open) == (3050, 30.0, 60, False)
    assert first.rate_per_min == pytest.approx(120)
    assert (second.sample, second.lasts_s, second.open) == (8000, 12.0, True)
    assert found.af_s == pytest.approx(42.0)
    assert sum(period.af_s for period in found.periods) == pytest.approx(42.0)


def test_a_resumed_stream_was_in_it_all_along() -> None:
    heart = Heart()
    heart.at, heart._known = 1000, True
    heart.beats("N" * 20).af(2000, "ends", 2400)
    found = findings_of(recorded(heart.told(), 3000, first=1000))
    assert (found.analysed_s, found.not_analysed) == (20.0, {})
    assert [(e.sample, e.lasts_s) for e in found.af] == [(1000, 10.0)]
    assert found.leads[0].good_s == 20.0


def test_alarms_end_and_an_asystole_lasts_as_long_as_it_did() -> None:
    heart = Heart().begin().beats("N" * 10)
    heart.alarm(800, "asystole", "begins", 3.01).alarm(1500, "asystole", "ends", 7.0)
    heart.alarm(1600, "bradycardia", "begins", 35.0)
    found = findings_of(recorded(heart.told(), 2000))
    asystole, slow = found.alarms
    assert (asystole.value, asystole.lasts_s, asystole.open) == (7.0, 7.0, False)
    assert (slow.kind, slow.lasts_s, slow.open) == ("bradycardia", 4.0, True)
    assert found.alarms_by_kind == {"asystole": 1, "bradycardia": 1}


# --- strips ---


@pytest.mark.parametrize("chunk", [1, 50, 999, 6000])
def test_a_strip_shows_the_samples_around_its_event(chunk: int) -> None:
    heart = Heart().begin().beats("N" * 20).beat("V", 0.5).beats("N" * 30)
    where = next(b.sample for b in heart.events if isinstance(b, Beat) and b.label == "V")
    holter = recorded(heart.told(), 5000, chunk=chunk)
    (strip,) = [strip for strip in holter.strips() if strip.kind == "ventricular"]
    assert (strip.sample, strip.begin) == (where, where - int(BEFORE_S * RATE))
    assert strip.end - strip.begin == int((BEFORE_S + AFTER_S) * RATE)
    assert strip.mv is not None
    expected = mv_of(np.arange(strip.begin, strip.end)).astype(np.float32)
    np.testing.assert_array_equal(strip.mv, expected)
    inside = [b for b in heart.events
              if isinstance(b, Beat) and strip.begin <= b.sample < strip.end]  # fmt: skip
    assert list(strip.beats) == inside
    assert not strip.late


def test_the_cutting_of_the_samples_does_not_change_the_page() -> None:
    heart = Heart().begin(200).beats("NNNNNVNNNVVNNNNSNNNVVVN" * 5).noise(3000, 3400)
    pages = {
        html_from_holter(recorded(heart.told(), heart.at + 300, chunk=chunk), ABOUT)
        for chunk in (13, 100, 1024, 3000)
    }
    assert len(pages) == 1


def test_samples_that_never_came_are_gaps_in_the_strip() -> None:
    heart = Heart().begin().beats("N" * 10).beat("V", 0.5)
    heart.events.append(Gap(900, 950, 50, concealed=False))
    heart.judge(900, "ends").judge(1000, "begins").beats("N" * 20)
    holter = recorded(heart.told(), 3000, gaps=[(900, 950)])
    strip = next(strip for strip in holter.strips() if strip.kind == "ventricular")
    assert strip.mv is not None
    gone = np.isnan(strip.mv[:, 0])
    assert np.flatnonzero(gone).tolist() == list(range(900 - strip.begin, 950 - strip.begin))
    assert strip.unjudged == ((900, 1000),)


def test_strips_near_the_beginning_and_the_end_are_as_long_as_there_is_signal() -> None:
    heart = Heart().begin().beat("V", 0.5).beats("N" * 20).beat("V", 0.5)
    end = heart.at + KNOWN + 1
    strips = [s for s in recorded(heart.told(), end).strips() if s.kind == "ventricular"]
    assert [strip.begin for strip in strips] == [0, heart.at - int(BEFORE_S * RATE)]
    assert strips[1].mv is not None
    assert np.isnan(strips[1].mv[end - strips[1].begin :]).all()
    assert np.isfinite(strips[1].mv[: end - strips[1].begin]).all()


def test_an_event_that_becomes_known_too_late_says_so() -> None:
    heart = Heart().begin().beats("N" * 400).af(500, "begins", 20_000)
    holter = recorded(heart.told(), 32_000)
    (strip,) = [strip for strip in holter.strips() if strip.kind == "af_begins"]
    assert strip.late
    assert "no longer held" in html_from_holter(holter, ABOUT)


def test_the_longest_pauses_stay_and_single_beats_are_spread() -> None:
    heart = Heart().begin()
    lengths = [2.0 + 0.1 * ((7 * n) % 20) for n in range(20)]
    for rr_s in lengths:
        heart.beats("N" * 20).beat("N", rr_s)
    heart.beats("N" * 20)
    for _ in range(33):
        heart.beat("V", 0.6).beats("N" * 20)
    holter = recorded(heart.told(), heart.at + 2000)
    kept = {kind: [s for s in holter.strips() if s.kind == kind]
            for kind in ("pause", "ventricular")}  # fmt: skip
    quota = {kind.name: kind.quota for kind in KINDS}
    longest = sorted(s.strength for s in kept["pause"])
    assert longest == pytest.approx(sorted(lengths)[-quota["pause"] :])
    assert [s.number for s in kept["ventricular"]] == [1, 17, 33]
    shown = {s.kind: (s.happened, s.shown) for s in findings_of(holter).strips}
    assert shown["pause"] == (20, 6)
    assert shown["ventricular"] == (33, 3)
    page = html_from_holter(holter, ABOUT)
    assert 'Single ventricular beats</td><td class="n">33</td><td class="n">3</td>' in page


def test_the_weightier_of_two_near_ones_has_the_strip_and_tells_both() -> None:
    heart = Heart().begin().beats("N" * 20).beat("V", 0.6).beat("N").beats("VVVV", 0.5).beats("NNN")
    first = next(b.sample for b in heart.events if isinstance(b, Beat) and b.label == "V")
    heart.alarm(first + 130, "ventricular_tachycardia", "begins", 120.0).beats("N" * 20)
    holter = recorded(heart.told(), heart.at + 1000)
    strips = [s for s in holter.strips() if s.kind not in ("fastest", "slowest", "usual")]
    assert [s.kind for s in strips] == ["ventricular_tachycardia"]
    assert {kind for kind, _ in strips[0].notes} == {
        "ventricular_tachycardia", "ventricular_run", "ventricular",
    }  # fmt: skip


def test_every_kind_of_alarm_has_its_place() -> None:
    from typing import get_args

    from edge_dx.ecg.events import AlarmKind

    assert set(get_args(AlarmKind)) <= set(RANK)


# --- over a day and more ---


def test_memory_is_bounded_over_days_and_nothing_is_lost() -> None:
    rate, hours, sizes = 50, 30, {}
    labels: list[Label] = ["N"] * 17 + ["V"] + ["N"] * 7 + ["S", "V", "V", "N", "V", "V", "V"]
    holter, given = Holter(rate, LEADS), dict.fromkeys("NSVFQ", 0)
    letters, intervals = cycle(labels), cycle([0.8, 0.7, 0.9, 0.8, 2.1, 0.6])
    heart, minute = Heart(rate).begin(), 60 * rate
    for number in range(hours * 60):
        index = np.arange(number * minute, (number + 1) * minute)
        holter.samples(Samples(mv_of(index), int(index[0])))
        at = int(index[0])
        if number % 11 == 5:
            heart.events += [Quality(at + 10, at + 10, "II", "invalid", "flat"),
                             Quality(at + 60, at + 60, "II", "valid", None)]  # fmt: skip
            heart.judge(at + 10, "ends").judge(at + 110, "begins")
        while heart.at < index[-1] - 200:
            label = next(letters)
            heart.beat(label, next(intervals))
            given[label] += 1
        if number % 7 == 3:
            heart.alarm(at, "bradycardia", "begins", 35).alarm(at + 500, "bradycardia", "ends", 60)
            heart.af(at, "begins", at + 200).af(at + 1000, "ends", at + 1200)
            heart.noise(at + 100, at + 300)
        holter.events(heart.told())
        heart.events.clear()
        if (number + 1) % 300 == 0:
            sizes[(number + 1) // 60] = len(pickle.dumps(holter))
    holter.close()
    assert max(sizes.values()) < 1.1 * sizes[5], sizes
    assert max(sizes.values()) < 2_500_000
    found = findings_of(holter)
    assert found.duration_s == hours * 3600
    assert found.beats == given
    assert {label: sum(p.beats[label] for p in found.periods) for label in "NSVFQ"} == given
    assert len(found.periods) == hours
    assert found.af_episodes == len([n for n in range(hours * 60) if n % 7 == 3])
    assert found.af_s == pytest.approx(found.af_episodes * 20)
    assert len(found.af) == len(found.alarms) == 200
    assert found.not_analysed_stretches == len([n for n in range(hours * 60) if n % 11 == 5])
    assert found.not_analysed == {"flat": pytest.approx(2.0 * found.not_analysed_stretches)}
    assert found.analysed_s + sum(found.not_analysed.values()) == pytest.approx(hours * 3600)
    assert sum(period.af_s for period in found.periods) == pytest.approx(found.af_s)
    assert len(holter.strips()) <= MOST
    assert len(html_from_holter(holter, ABOUT)) < 2_500_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.2, 900.0), st.integers(0, 4)), min_size=1, max_size=200),
       st.integers(0, 10**6))  # fmt: skip
def test_wider_bins_hold_the_same_sums(steps: list[tuple[float, int]], scale: int) -> None:
    line, plain = Timeline(5, 2), np.zeros(5, int)
    times = list(accumulate(step * (1 + scale / 500) for step, _ in steps))
    for (_, label), time_s in zip(steps, times, strict=True):
        line.beat(time_s, label)
        line.interval(time_s, 0.8)
        line.rate(time_s, 75.0 + label)
        plain[label] += 1
    line.stretch(1, times[0], times[-1])
    assert line.used <= MAX_BINS
    assert line.used * line.width_s >= times[-1]
    np.testing.assert_array_equal(line.beats.sum(axis=0), plain)
    assert line.intervals.sum() == len(steps)
    assert line.seconds[:, 1].sum() == pytest.approx(times[-1] - times[0])
    assert line.highest.max() == 75 + max(label for _, label in steps)
    assert line.lowest.min() == 75 + min(label for _, label in steps)
    coarse = line.coarser(7 * line.width_s)
    np.testing.assert_array_equal(coarse.beats.sum(axis=0), plain)
    assert coarse.seconds.sum() == pytest.approx(line.seconds.sum())
    assert list(islice(coarse.beats.any(axis=1), coarse.used, None)).count(True) == 0


def test_the_documents_tell_the_true_number_of_places() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ecg-report.md").read_text("utf-8")
    told = text[text.index("In the order of weight:") : text.index("- Of asystoles")]
    numbers = [int(n) for n in re.findall(r"\d+", told)]
    quotas = [kind.quota for kind in KINDS if kind.name != "slowest"]  # told with the fastest
    assert numbers == quotas
