"""Makes the weights of the beat network.

    python -m export.training.ecg.beats --data ../shared/data --folds
    python -m export.training.ecg.beats --data ../shared/data --out export/zoo/ecg

`--folds` leaves each patient of DS1 out once, in seven fits per answer, and tells what the
thresholds reach on them; `--out` fits on all of DS1 and writes weights and their record. Class
labels follow the mapping `ej-normal`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Sequence as SequenceOf
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from edge_dx.ecg.beats import FEATURES
from export.networks.beats import BeatNetwork
from export.training.ecg.beat_figures import best_thresholds, summary, table
from export.training.ecg.beat_sets import FOLDS, LATE, MAPPING, SIGNED, Sequence, all_sequences
from export.training.ecg.records import DS1


@dataclass(frozen=True)
class Plan:
    """One fit.

    Attributes:
        late: the answer one beat late.
        steps: of the optimiser.
        batch: sequences in one.
        beats: in a sequence.
        warm: first beats of a sequence that count a quarter: the memory is empty.
        rate: highest learning rate.
        decay: of weights.
        dropout: share.
        weights: of the classes N S V F Q.
        even: how far beats of a class count alike by record: 0 by beat, 1 by record.
        genuine: share of sequences whose rhythm is the patient's own.
        average: of the weights that are kept, per step.
        turns: how often each record was made.
        seed: of everything.
    """

    late: bool = False
    steps: int = 400
    batch: int = 64
    beats: int = 48
    warm: int = 6
    rate: float = 3e-3
    decay: float = 0.02
    dropout: float = 0.2
    weights: tuple[float, ...] = (1.0, 4.0, 3.0, 1.5, 0.5)
    even: float = 0.4
    genuine: float = 0.35
    average: float = 0.995
    turns: int = 8
    seed: int = 1


class _Pool:
    """Sequences to draw from."""

    def __init__(self, sequences: SequenceOf[Sequence], plan: Plan) -> None:
        self.all = list(sequences)
        self.plan = plan
        self.shares = np.array([
            (plan.genuine if not s.made else 1 - plan.genuine)
            * min(1.0, len(s.labels) / 1500) * (0.6 if s.lead[0] == "V" else 1.0)
            for s in self.all])  # fmt: skip
        for made in (False, True):
            own = np.array([s.made == made for s in self.all])
            if own.any():
                self.shares[own] *= (1 - plan.genuine if made else plan.genuine) / self.shares[
                    own].sum()  # fmt: skip
        self.shares /= self.shares.sum()
        self.weights = [self._weights(s) for s in self.all]

    def _weights(self, sequence: Sequence) -> NDArray[np.float32]:
        found = np.zeros(len(sequence.labels), np.float32)
        for label, weight in enumerate(self.plan.weights):
            own = sequence.labels == label
            if own.any() and label > 0:
                # A patient with hundreds of one kind teaches little more than one with dozens.
                found[own] = weight * (40 / max(own.sum(), 10)) ** self.plan.even
            else:
                found[own] = weight
        return found * sequence.trust

    def draw(self, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows, features, labels, weights (batch, beats, ...)."""
        plan = self.plan
        windows, features, labels, weights = [], [], [], []
        for number in random.choice(len(self.all), plan.batch, p=self.shares):
            own = self.all[number]
            at = int(random.integers(0, len(own.labels) - plan.beats + 1))
            part = slice(at, at + plan.beats)
            w, f = own.windows[part].astype(np.float32), own.features[part].astype(np.float32)
            if random.random() < 0.3:  # the electrodes the other way round
                w, f[:, SIGNED] = -w, -f[:, SIGNED]
            f[:, _SCALE] += random.normal(0, 0.5)
            if random.random() < 0.3:
                w = np.roll(w, int(random.integers(-1, 2)), axis=2)
            w *= np.exp(random.normal(0, 0.1))
            windows.append(w)
            features.append(f)
            labels.append(own.labels[part])
            weights.append(self.weights[number][part])
        f = np.stack(features)
        if not plan.late:
            f[:, :, LATE] = 0
        weight = np.stack(weights)
        weight[:, : plan.warm] *= 0.25
        return (torch.from_numpy(np.stack(windows)), torch.from_numpy(f),
                torch.from_numpy(np.stack(labels)), torch.from_numpy(weight))  # fmt: skip


_SCALE = FEATURES.index("scale")


def fit(sequences: SequenceOf[Sequence], plan: Plan, report: Any = None) -> BeatNetwork:
    """Runs one fit; the same seed, data and thread count give the same weights."""
    torch.manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    pool = _Pool(sequences, plan)
    network = BeatNetwork(dropout=plan.dropout)
    every = np.concatenate([s.features[::7] for s in pool.all]).astype(np.float32)
    network.middle.copy_(torch.from_numpy(every.mean(axis=0)))
    network.spread.copy_(torch.from_numpy(1 / np.maximum(every.std(axis=0), 0.05)))
    if not plan.late:
        network.middle[torch.from_numpy(LATE)] = 0
    kept = BeatNetwork()
    kept.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.rate, total_steps=plan.steps, pct_start=0.15
    )
    network.train()
    running = 0.0
    for step in range(plan.steps):
        windows, features, labels, weights = pool.draw(random)
        windows = windows + 0.03 * torch.randn_like(windows)
        logits, _ = network.sequences(windows, features, network.start(len(windows)))
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten().clamp(min=0), reduction="none"
        )
        loss = (loss * weights.flatten()).sum() / weights.sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        turn = 1 - min(plan.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for mine, theirs in zip(kept.parameters(), network.parameters(), strict=True):
                mine.lerp_(theirs, turn)
        running += (float(loss.detach()) - running) * (0.02 if step else 1.0)
        if report is not None and (step + 1) % 100 == 0:
            report(step + 1, running)
    return kept.eval()


@torch.no_grad()
def answers(network: BeatNetwork, sequence: Sequence, late: bool) -> NDArray[np.float32]:
    """(n, 5) logits of a whole recording, beat after beat."""
    windows = torch.from_numpy(sequence.windows.astype(np.float32))
    told = sequence.features.astype(np.float32)
    if not late:
        told[:, LATE] = 0
    logits, _ = network.sequences(windows[None], torch.from_numpy(told)[None], network.start(1))
    return logits[0].numpy()


def held_out(
    sequences: SequenceOf[Sequence], plan: Plan, only: int | None = None, keep: Path | None = None
) -> dict[str, Any]:
    """Logits of every record by a network that has not seen its patient: record → lead → logits.

    Args:
        sequences: all of them.
        plan: of the fits.
        only: one fold of `FOLDS`.
        keep: where the networks of the folds are written.
    """
    found: dict[str, Any] = {}
    for number, fold in enumerate(FOLDS):
        if only is not None and number != only:
            continue
        start = time.monotonic()
        network = fit([s for s in sequences if s.record not in fold], plan)
        if keep is not None:
            name = "beats_late" if plan.late else "beats"
            save_weights(network, keep / f"{name}.fold{number}.safetensors")
        for sequence in sequences:
            if sequence.record in fold and not sequence.made:
                fresh = {"labels": sequence.labels, "beats": sequence.beats, "leads": {}}
                own = found.setdefault(sequence.record, fresh)
                own["leads"][sequence.lead] = answers(network, sequence, plan.late)
        print(f"fold {number}: {time.monotonic() - start:.0f} s", flush=True)
        own = {name: found[name] for name in fold}
        print(table(own, best_thresholds(own)), flush=True)
    return found


def save_weights(network: BeatNetwork, path: Path) -> str:
    """Writes the weights; gives their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({name: t.contiguous() for name, t in network.state_dict().items()})
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def record_of(
    network: BeatNetwork, weights_sha256: str, plan: Plan, data: Path, figures: Any, minutes: float
) -> dict[str, Any]:
    """What is written beside the weights."""
    folder = data / "ecg_mitbih" / "records"
    digest = hashlib.sha256()
    for name in DS1:
        for ending in ("hea", "dat", "atr"):
            digest.update((folder / f"{name}.{ending}").read_bytes())
    return {
        "weights_sha256": weights_sha256,
        "network": "export.networks.beats:build",
        "parameters": sum(p.numel() for p in network.parameters()),
        "features": list(FEATURES),
        "plan": asdict(plan),
        "data": {"name": "MIT-BIH Arrhythmia Database, DS1", "records": list(DS1),
                 "sha256": digest.hexdigest(), "mapping": MAPPING},
        "held_out": figures,
        "minutes": round(minutes, 1),
        "made_with": {"torch": torch.__version__, "numpy": np.__version__,
                      "python": platform.python_version(), "threads": 1},
    }  # fmt: skip


def main(arguments: SequenceOf[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m export.training.ecg.beats")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="writes weights and their record here")
    parser.add_argument("--folds", action="store_true", help="leaves every patient out once")
    parser.add_argument("--fold", type=int, choices=range(len(FOLDS)), help="one fold of these")
    parser.add_argument("--keep", type=Path, help="writes the networks of the folds here")
    parser.add_argument("--answer", choices=("at_once", "one_beat_late"), action="append")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--cache", type=Path, help="keeps prepared beats for the next time")
    told = parser.parse_args(arguments)
    # One thread: sums keep their order.
    torch.set_num_threads(1)
    rows = None if told.cache is None else told.cache / "rows"
    beats = None if told.cache is None else told.cache / "beats"
    sequences = all_sequences(told.data, Plan.turns, rows, beats)
    for answer in told.answer or ("at_once", "one_beat_late"):
        late = answer == "one_beat_late"
        plan = replace(Plan(), late=late, steps=told.steps)
        start = time.monotonic()
        print(f"{answer}:", flush=True)
        figures = None
        if told.folds or told.fold is not None:
            figures = summary(held_out(sequences, plan, told.fold, told.keep))
        if told.out is None:
            continue
        name = "beats_late" if late else "beats"
        network = fit(sequences, plan, lambda step, loss: print(f"step {step}: {loss:.4f}"))
        digest = save_weights(network, told.out / f"{name}.safetensors")
        minutes = (time.monotonic() - start) / 60
        content = record_of(network, digest, plan, told.data, figures, minutes)
        (told.out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
