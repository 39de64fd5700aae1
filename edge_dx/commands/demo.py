"""`edge-dx demo`: proves a bundle here, judges phantoms and films, and writes a report.

Everything it shows is the program's own drawing, a file of the pydicom package, or the reader's.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from edge_dx.bundle import Bundle, open_bundle
from edge_dx.commands import demo_ecg, demo_inputs, facts, opening
from edge_dx.commands.run import expand, judge
from edge_dx.commands.verify import prove_all
from edge_dx.errors import EdgeDxError, NotFound, UnsupportedInput
from edge_dx.manifest import HeatMap, ImageInput, OperatingPoint
from edge_dx.model import Model, load
from edge_dx.proof import Proof
from edge_dx.report import evaluation, labels, pictures, text
from edge_dx.report.page import html_from_report
from edge_dx.report.rows import Row, failed, row_from_result
from edge_dx.report.values import Figure, Films, ProofLine, Recording, Report
from edge_dx.result import Reason, Result, Status
from edge_dx.shelf import find
from edge_dx.trust import DEVELOPMENT

_BATCH = 8
_TWINS = 1e-6
"""Most that the scores of one phantom in two files may differ: rounding of a grey level."""


@dataclass
class _Demo:
    """What has been found so far."""

    bundle: Bundle
    out: Path
    problems: list[str] = field(default_factory=list)
    proofs: list[ProofLine] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    phantoms: list[Figure] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    refused_note: str = ""
    films: Films | None = None
    point: OperatingPoint | None = None
    recordings: list[Recording] = field(default_factory=list)
    recordings_note: str = ""

    def fail(self, problem: str) -> None:
        self.problems.append(problem)


def act(options: argparse.Namespace) -> int:
    """Runs the demonstration; exit code 0 where everything went as it must."""
    films = Path(options.films) if options.films else None
    if films is not None and not films.is_dir():
        raise NotFound(f"{films}: no such directory of films")
    demo = _Demo(open_bundle(find(options.bundle), **opening(options)), Path(options.out))
    inputs = demo.bundle.manifest.inputs
    is_ecg = bool(demo.bundle.manifest.stream)
    is_films = len(inputs) == 1 and isinstance(inputs[0], ImageInput)
    if not (is_ecg or is_films) or (is_ecg and films):
        raise UnsupportedInput(
            f"{demo.bundle.path}: the demonstration draws chest films, and this model takes "
            f"{', '.join(item.name for item in inputs)}; use edge-dx verify and edge-dx "
            f"{'stream' if is_ecg else 'run'}",
            "missing_input",
        )
    try:
        _run(demo, options, films)
    except OSError as error:  # no right to write, no room left
        print(f"edge-dx: {demo.out}: {error}", file=sys.stderr)
        return 1
    for problem in demo.problems:
        _say(f"FAILED: {text.plain(problem)}")
    if not demo.problems:
        _say("Passed. Not for diagnosis; phantoms are drawings.")
    _say(f"Report: {demo.out / 'report.html'}")
    return 1 if demo.problems else 0


def _run(demo: _Demo, options: argparse.Namespace, films: Path | None) -> None:
    demo.out.mkdir(parents=True, exist_ok=True)
    manifest = demo.bundle.manifest
    _say(f"{manifest.title}: {manifest.name} {manifest.version}, {facts.signed(demo.bundle)}")
    _prove(demo, options)
    if manifest.stream:
        _judge_recordings(demo, options, options.bundle)
    else:
        _judge_images(demo, options, films)
        _judge_recordings(demo, options, None)
    (demo.out / "report.html").write_text(html_from_report(_report(demo)), encoding="utf-8")


def _judge_images(demo: _Demo, options: argparse.Namespace, films: Path | None) -> None:
    (demo.out / "overlays").mkdir(exist_ok=True)
    try:
        with load(options.bundle, options.variant, options.engine, options.threads,
                  allow_slow=options.allow_slow, **opening(options)) as model, \
             (demo.out / "results.jsonl").open("w", encoding="utf-8") as lines:  # fmt: skip
            listed = None
            demo.point = next(iter(model.variant.operating_points), None)
            if films is not None:
                listed, demo.point = _listed(films, model)
            _facts(demo, model)
            _judge_phantoms(demo, model, lines)
            _judge_others(demo, model, lines)
            if films is not None:
                _judge_films(demo, model, films, listed, lines)
    except EdgeDxError as error:
        demo.fail(str(error))


def _judge_recordings(demo: _Demo, options: argparse.Namespace, bundle: str | None) -> None:
    """ECGs, by the bundle that is demonstrated, or by the shipped one beside it."""
    _say("\nECGs: one drawn by this program, and one that lies inside the pydicom package")
    found = demo_ecg.judge(demo.out, bundle, options)
    demo.recordings, demo.recordings_note = list(found.recordings), found.note
    if bundle is not None:
        demo.facts = found.facts
    for problem in found.problems:
        demo.fail(problem)
    for told in demo_ecg.told(demo.recordings):
        _say(told)
    if found.note:
        _say(f"  {found.note}")


def _prove(demo: _Demo, options: argparse.Namespace) -> None:
    _say("\nSelf-proof on this device")
    for variant, engine, outcome in prove_all(demo.bundle, threads=options.threads):
        if isinstance(outcome, Proof):
            engine = f"{engine} {outcome.engine_version}"
            word = "pass" if outcome.passed else "FAIL"
            line = ProofLine(variant, engine, word, _measured(outcome))
        elif isinstance(outcome, EdgeDxError):
            line = ProofLine(variant, engine, "FAIL", str(outcome))
        else:
            line = ProofLine(variant, engine, "skip", outcome)
        demo.proofs.append(line)
        if line.outcome == "FAIL":
            demo.fail(f"{line.variant} on {line.engine} is not proved: {line.detail}")
    for told in text.table(
        ("variant", "engine", "", "measured"),
        [(p.variant, p.engine, p.outcome, p.detail) for p in demo.proofs], (16, 14, 4, 58),
    ):  # fmt: skip
        _say(told)
    if not any(line.outcome == "pass" for line in demo.proofs):
        demo.fail("no variant could be proved here (edge-dx doctor says what is missing)")


def _measured(proof: Proof) -> str:
    if not proof.passed:
        return proof.problem
    largest: dict[str, float] = {}
    for case in proof.cases:
        for name, value in case.differences.items():
            largest[name] = max(value, largest.get(name, 0.0))
    told = ", ".join(f"{name} {value:.2g}" for name, value in largest.items())
    return f"{len(proof.cases)} cases; largest difference: {told or 'none, gate only'}"


def _judge_phantoms(demo: _Demo, model: Model, lines: IO[str]) -> None:
    drawn, note = demo_inputs.write_phantoms(demo.out / "films")
    _say("\nPhantoms: chest films drawn by this program, nobody's picture")
    what = {item.file: item for item in drawn}
    pairs: dict[str, list[Row]] = {}
    for number, (file, outcome) in enumerate(judge(model, list(what)), 1):
        result = failed(model, file, outcome) if isinstance(outcome, EdgeDxError) else outcome
        lines.write(result.to_json() + "\n")
        row = row_from_result(result, file.name, file, what[file].what)
        pairs.setdefault(what[file].twin, []).append(row)
        picture = pictures.make(model, file, result, _overlay_path(demo, number, file))
        demo.phantoms.append(Figure(row, f"drawn: {row.what}", picture))
        if not row.status.analysed:
            demo.fail(f"the phantom {file.name} was not analysed: {row.detail}")
    for told in text.answers([figure.row for figure in demo.phantoms], "drawn"):
        _say(told)
    if note:
        _say(f"  {note}")
    for twin in pairs.values():
        scores = [row.score for row in twin if row.score is not None]
        if len({row.status for row in twin}) > 1 or (scores and max(scores) - min(scores) > _TWINS):
            names = " and ".join(row.name for row in twin)
            demo.fail(f"{names} show the same phantom and got different answers")


def _judge_others(demo: _Demo, model: Model, lines: IO[str]) -> None:
    _say("\nImages of other kinds, which must not be analysed")
    found, demo.refused_note = demo_inputs.other_kinds()
    for file, what in found:
        _, outcome = next(judge(model, [file]))
        result = failed(model, file, outcome) if isinstance(outcome, EdgeDxError) else outcome
        lines.write(result.to_json() + "\n")
        row = row_from_result(result, file.name, file, what)
        demo.refused.append(row)
        if row.status is not Status.NOT_ANALYSED or Reason.MODALITY.value not in row.reasons:
            demo.fail(
                f"{file.name} ({what}) must be not analysed because of its modality; it is "
                f"{row.status.value} ({', '.join(row.reasons) or 'no reason'})"
            )
    for told in text.answers(demo.refused, "kind") if demo.refused else ():
        _say(told)
    if demo.refused_note:
        _say(f"  {demo.refused_note}")


def _listed(films: Path, model: Model) -> tuple[labels.Listed | None, OperatingPoint | None]:
    """The labelled films, if there are labels, and the operating point that they are about."""
    points = model.variant.operating_points
    if not points:  # the likeliest label alone: there is no yes or no to compare with a truth
        return None, None
    listed = labels.read_labels(films, points[0].label)
    if listed is not None and not any(truth.positive for _, truth in listed.films):
        said = {truth.label for _, truth in listed.films}
        for point in points[1:]:
            if point.label in said:
                return labels.read_labels(films, point.label), point
    return listed, points[0]


def _judge_films(
    demo: _Demo, model: Model, directory: Path, listed: labels.Listed | None, lines: IO[str]
) -> None:
    truths = dict(listed.films) if listed else dict.fromkeys(expand([str(directory)]))
    seen = labels.training_digests(model.bundle)
    rows = []
    point = demo.point.name if demo.point else None
    for file, outcome in _counted(judge(model, list(truths), _BATCH), len(truths)):
        result = failed(model, file, outcome) if isinstance(outcome, EdgeDxError) else outcome
        lines.write(result.to_json() + "\n")
        truth = truths[file]
        rows.append(row_from_result(
            result, str(file.relative_to(directory)), file, truth.label if truth else "",
            point=point, truth=truth, seen_in_training=seen or frozenset(),
        ))  # fmt: skip
    unseen = [row for row in rows if not row.seen]
    groups: list[evaluation.Group] = []
    before: evaluation.Group | None = None
    if listed:
        groups = [evaluation.evaluate("unseen" if seen else "all", unseen)]
        groups += evaluation.by_source(unseen)
        known = [row for row in rows if row.seen]
        before = evaluation.evaluate("seen in training", known)
    figures = []
    for number, (why, row) in enumerate(evaluation.most_telling(unseen or rows), 1):
        _, outcome = next(judge(model, [row.file]))
        target = _overlay_path(demo, len(demo.phantoms) + number, row.file)
        picture = None
        if not isinstance(outcome, EdgeDxError):
            picture = pictures.make(model, row.file, outcome, target)
        figures.append(Figure(row, f"label {row.what}: {why}" if row.what else why, picture))
    demo.films = Films(
        str(directory), rows, groups, before, seen is not None,
        listed.refused if listed else (), figures,
    )  # fmt: skip
    for told in text.films(demo.films):
        _say(told)


def _counted(
    answers: Iterator[tuple[Path, Result | EdgeDxError]], total: int
) -> Iterator[tuple[Path, Result | EdgeDxError]]:
    """Shows how far it is, where a person watches."""
    watched = sys.stderr.isatty()
    for number, answer in enumerate(answers, 1):
        yield answer
        if watched and (number % 20 == 0 or number == total):
            end = "\r" if number < total else "\r\x1b[K"
            print(f"  {number}/{total}", end=end, file=sys.stderr, flush=True)


def _say(line: str) -> None:
    """Prints what the terminal's encoding can show, and never fails over a film's name."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))


def _overlay_path(demo: _Demo, number: int, file: Path) -> Path:
    stem = re.sub(r"[^A-Za-z0-9.-]", "_", file.stem)[:60]
    return demo.out / "overlays" / f"{number:03d}_{stem}.png"


def _facts(demo: _Demo, model: Model) -> None:
    demo.facts = facts.of_model(model)
    _say(f"\nRunning {model.choice}")


def _report(demo: _Demo) -> Report:
    manifest = demo.bundle.manifest
    return Report(
        title=manifest.title,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        problems=demo.problems,
        facts=[*facts.of_bundle(demo.bundle), *demo.facts, *facts.of_program()],
        is_development_key=demo.bundle.signer == DEVELOPMENT,
        is_unsigned=demo.bundle.signer is None,
        proofs=demo.proofs,
        phantoms=demo.phantoms,
        refused=demo.refused,
        refused_note=demo.refused_note,
        films=demo.films,
        point=demo.point,
        heat_map=next((o for o in manifest.outputs if isinstance(o, HeatMap)), None),
        recordings=demo.recordings,
        recordings_note=demo.recordings_note,
        card=demo.bundle.members.get("card.md", b"").decode("utf-8", "replace"),
    )
