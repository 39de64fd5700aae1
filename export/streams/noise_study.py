"""What noise does to beats and classes, and whether it is told in time.

    python -m export.streams.noise_study export/zoo/ecg_beats/recipe.toml --data ../shared/data

Record 118 with the electrode motion of the MIT-BIH noise stress test, as the wearable set has it at
four levels; judged one lead at a time by the folds' networks, which had not learned from patient
118, at thresholds that are given. Noise is switched on after some clean seconds; what comes from
then on is counted. The limits of the flag in `edge_dx.ecg.detect` were chosen on this very record.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_dx import wfdb
from edge_dx.ecg.events import Label
from edge_dx.manifest import Manifest, WaveformInput
from edge_dx.manifest.stream import Answer
from edge_dx.signal import Notch, Samples, SignalPath
from export.streams.contract import manifest_of
from export.streams.judged import Thresholds
from export.streams.judging import protocol_of, samples_of
from export.streams.modules import read_networks
from export.streams.recipe import read_recipe
from export.streams.recordings import Recording
from export.streams.study import Study

RATE_HZ = 360
BEGINS = {24: 160_000, 12: 180_000, 6: 180_000, 0: 180_000}
"""Signal-to-noise ratio in dB of the files → the sample of record 118 at which each begins."""
_FIRST_S, _PERIOD_S = 300, 120
"""Noise comes and goes every two minutes, from the fifth minute of the record on."""
_WINDOW_S = 0.15


@dataclass(frozen=True)
class Level:
    """One file.

    Attributes:
        beats: of the reference, in the noise.
        missed: of them, not found.
        told: beats told in the noise.
        false: of them, where there is none.
        wrong: of those that are beats, called otherwise than by the experts.
        flagged: told beats that are marked `noisy`.
        flagged_bad: of them, false or wrong.
    """

    beats: int
    missed: int
    told: int
    false: int
    wrong: int
    flagged: int
    flagged_bad: int


def noise_begins_s(begin: int) -> float:
    """When the noise sets in, in seconds of a piece that begins at this sample of the record."""
    first, step = _FIRST_S * RATE_HZ, 2 * _PERIOD_S * RATE_HZ
    onset = next(n for n in range(first, 2**31, step) if n + _PERIOD_S * RATE_HZ > begin)
    return (onset - begin) / RATE_HZ


def recording_of(manifest: Manifest, data: Path, level_db: int) -> Recording:
    """A file of noise with the annotations of the record that it was made from."""
    whole = wfdb.read_annotations(data / "ecg_mitbih" / "records" / "118.atr")
    file = data / "wearable_sequences" / "heartpy" / f"118e{level_db:02d}.csv"
    mv = np.loadtxt(file, dtype=np.float64)[:, None]
    begin = BEGINS[level_db]
    kept = tuple(
        wfdb.Annotation(item.sample - begin, item.symbol)
        for item in whole.items
        if item.symbol in wfdb.BEATS and 0 <= item.sample - begin < len(mv)
    )
    wave = next(item for item in manifest.inputs if isinstance(item, WaveformInput))
    steps = [step for step in wave.prepare if not isinstance(step, Notch)]
    path = SignalPath(steps, rate_hz=RATE_HZ, leads=["MLII"])
    _, block = path.step(path.start(), Samples(mv))
    return Recording(
        name=f"118e{level_db:02d}", patient="mit118", lead="MLII", rate_hz=float(RATE_HZ),
        samples=len(mv), rows=block.values.astype(np.float32), flags=block.flags,
        segment=block.segment, clock=path.clock, reference=wfdb.Annotations(kept, float(RATE_HZ)),
    )  # fmt: skip


def study(
    recipe_file: Path, data: Path, detection: float, classes: dict[Answer, dict[Label, float]]
) -> Iterator[tuple[Answer, int, Level]]:
    """Every answer at every level."""
    recipe = read_recipe(recipe_file)
    networks = read_networks(recipe)
    manifest = manifest_of(recipe, networks)
    recordings = [recording_of(manifest, data, level) for level in BEGINS]
    asked = Study(recipe, networks, manifest, recordings, print)
    by_fold = asked.fold_networks("onnx-fp32", {})
    frames = asked.judge.frames(by_fold)
    judged = asked.judge.judged(by_fold, frames, Thresholds(detection, classes))
    table = protocol_of(recipe.told.data.records.mapping).mapping.table
    for answer in classes:
        for n, (level, own) in enumerate(zip(BEGINS, recordings, strict=True)):
            noisy = {peak.row: peak.noisy for peak in judged.peaks[n].peaks}
            rows = judged.beats[answer][n].rows
            told = zip(
                samples_of(own, rows).tolist(), judged.labels[answer][n],
                [noisy[row] for row in rows.tolist()], strict=True,
            )  # fmt: skip
            truth = [(item.sample, table[item.symbol]) for item in own.reference.items]
            yield answer, level, counted(truth, list(told), noise_begins_s(BEGINS[level]))


def counted(
    truth: list[tuple[int, str]], told: list[tuple[int, Label, bool]], from_s: float
) -> Level:
    """What was told beside the truth, each by its sample, from a time on; nearest first."""
    window, begin = _WINDOW_S * RATE_HZ, from_s * RATE_HZ
    truth = [one for one in truth if one[0] >= begin]
    told = [one for one in told if one[0] >= begin]
    pairs = sorted(
        (abs(sample - place), t, b)
        for t, (sample, _, _) in enumerate(told)
        for b, (place, _) in enumerate(truth)
        if abs(sample - place) <= window
    )
    partner: dict[int, int] = {}
    for _, t, b in pairs:
        if t not in partner and b not in partner.values():
            partner[t] = b
    bad = [t not in partner or truth[partner[t]][1] != told[t][1] for t in range(len(told))]
    flagged = [one[2] for one in told]
    return Level(
        beats=len(truth), missed=len(truth) - len(partner), told=len(told),
        false=len(told) - len(partner), wrong=sum(bad) - (len(told) - len(partner)),
        flagged=sum(flagged), flagged_bad=sum(b and f for b, f in zip(bad, flagged, strict=True)),
    )  # fmt: skip


def table_of(found: list[tuple[Answer, int, Level]]) -> str:
    """Markdown."""
    lines = [
        "| answer | SNR | beats | missed | told | false | wrong class | marked noisy | "
        "false or wrong among the marked | among the others |",
        "| --- " * 10 + "|",
    ]
    for answer, level, n in found:
        bad, rest = n.false + n.wrong, n.told - n.flagged
        lines.append(
            f"| {answer} | {level} dB | {n.beats} | {n.missed} | {n.told} | {n.false} | {n.wrong} "
            f"| {n.flagged} | {n.flagged_bad} of {n.flagged} | {bad - n.flagged_bad} of {rest} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detection", type=float, default=0.5)
    parser.add_argument("--ventricular", type=float, default=0.5)
    parser.add_argument("--supraventricular", type=float, default=0.5)
    parser.add_argument("-o", "--out", type=Path, help="a Markdown file")
    told = parser.parse_args()
    limits: dict[Label, float] = {"V": told.ventricular, "S": told.supraventricular}
    answers: tuple[Answer, ...] = ("at_once", "one_beat_late")
    found = list(study(told.recipe, told.data, told.detection, {a: dict(limits) for a in answers}))
    text = (
        "# Classes in noise\n\n"
        f"`python -m export.streams.noise_study {told.recipe}`: record 118 with electrode motion, "
        "one lead, networks that had not learned from its patient, detection "
        f"{told.detection}, V {told.ventricular}, S {told.supraventricular}; from where the noise "
        "sets in. The limits of the mark were chosen on this record.\n\n" + table_of(found) + "\n"
    )
    print(text)
    if told.out:
        told.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
