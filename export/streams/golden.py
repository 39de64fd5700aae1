"""Golden signals: made-up samples that a device answers before it is trusted with patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from edge_dx.ecg import golden
from edge_dx.ecg.stream import SignalStream
from edge_dx.manifest import GoldenSignal, Manifest, Stream, answers_of
from edge_dx.manifest.stream import Answer
from edge_dx.sources.samples import Synthetic
from edge_dx.tensors import Array
from export.errors import RecipeError
from export.streams.files import Files
from export.streams.recipe import GoldenPart
from export.streams.running import open_networks

Given = dict[str, Array]
_ROUNDING = 3e-6
"""Share of a sample that a golden signal is moved by, to see whether its events hold."""


@dataclass(frozen=True)
class Golden:
    """Golden signals with what the variants make of them.

    Attributes:
        cases: the manifest's entries.
        arrays: of `golden.npz`.
    """

    cases: tuple[GoldenSignal, ...]
    arrays: Given


def draw(part: GoldenPart) -> tuple[tuple[str, ...], Array]:
    """Leads and (n, leads) float32 millivolts of a golden signal."""
    source = Synthetic(
        rate_hz=part.rate_hz, seconds=part.seconds, bpm=part.bpm, noise_mv=part.noise_mv,
        premature_every=part.premature_every, seed=part.seed,
    )  # fmt: skip
    columns = [source.leads.index(lead) for lead in part.leads]
    mv = np.concatenate([block.mv for block in source.blocks()])[:, columns].astype(np.float32)
    if part.gap_s is not None:
        first, last = (round(s * part.rate_hz) for s in part.gap_s)
        mv[first:last] = np.nan
    return part.leads, mv


def golden_of(
    manifest: Manifest, parts: tuple[GoldenPart, ...], variants: Mapping[str, Files]
) -> Golden:
    """Runs every golden signal through every variant.

    Args:
        manifest: with all variants and their operating points.
        parts: the recipe's.
        variants: their files.

    Raises:
        RecipeError: a signal proves nothing, or lies so near to a threshold that other devices may
            answer otherwise.
    """
    stream = manifest.stream
    assert isinstance(stream, Stream), "the exporter of streams made it"
    first = stream.beats[0].answer if stream.beats else None
    tensors = answers_of(manifest)
    arrays: Given = {}
    cases: list[GoldenSignal] = []
    for part in parts:
        leads, mv = draw(part)
        answer = part.answer or first
        arrays[f"raw/{part.name}"] = mv
        events = {}
        for variant, files in variants.items():
            found = _answered(manifest, files, part, mv, answer, tensors)
            _check_steady(manifest, files, part, mv, answer, tensors, found[golden.EVENTS])
            events[variant] = len(found[golden.EVENTS])
            arrays |= {f"{variant}/{part.name}/{tensor}": a for tensor, a in found.items()}
        cases.append(
            GoldenSignal(
                name=part.name, what=part.what, rate_hz=str(part.rate_hz), leads=leads,
                answer=answer, events=events,
            )
        )  # fmt: skip
    return Golden(tuple(cases), arrays)


def _answered(
    manifest: Manifest, files: Files, part: GoldenPart, mv: Array, answer: Answer | None,
    tensors: dict[str, str],
) -> Given:  # fmt: skip
    networks = open_networks(manifest, files)
    opened = SignalStream(
        manifest, manifest.variant(files.name), networks, rate_hz=Fraction(part.rate_hz),
        leads=part.leads, answer=answer,
    )  # fmt: skip
    found = golden.answers(opened, networks, tensors, mv)
    for network in networks.values():
        network.close()
    return found


def _check_steady(
    manifest: Manifest, files: Files, part: GoldenPart, mv: Array, answer: Answer | None,
    tensors: dict[str, str], events: Array,
) -> None:  # fmt: skip
    """Makes sure that another processor's rounding does not change the events.

    Raises:
        RecipeError: it may, or there are none.
    """
    random = np.random.default_rng(0)
    moved = mv * (1 + _ROUNDING * random.standard_normal(mv.shape)).astype(np.float32)
    again = _answered(manifest, files, part, moved, answer, tensors)[golden.EVENTS]
    if not len(events) or not np.array_equal(again, events):
        raise RecipeError(
            f"golden: {part.name!r}: {files.name} finds no beat in it, or others when the samples "
            f"are moved by a few millionths; choose another seed, or make it longer"
        )
