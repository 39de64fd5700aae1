"""Trains the R-peak detector: `python -m export.training.ecg.detector --data ../shared/data`.

DS1 of the MIT-BIH Arrhythmia Database, all leads and mixtures of them, beside three patients of
CPSC2021 and snippets of CPSC2019, cut at random and disturbed (`noise.py`). `--fold N` leaves the
patients of a fold out; without it all are trained on and the shipped weights are written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from export.networks.ecg import DELAY_ROWS, STRIDE_ROWS, Detector
from export.training.ecg.evaluation import THRESHOLD, gross, judged
from export.training.ecg.noise import Crop, disturbed
from export.training.ecg.sets import Recording, folds, recordings

_BLIND = 750
"""Rows of a crop in which memory fills and no loss is taken; the published receptive field."""
CROP = _BLIND + 2500
_BELL_ROWS = 3.5
_NEAR = 0.45
"""Label from which a frame's place is learned: R peaks up to 4.4 rows from its middle."""


@dataclass(frozen=True)
class Plan:
    """What a training is.

    Attributes:
        epochs: of `batches` steps each.
        batches: steps of an epoch.
        batch: crops of a step.
        rate: highest learning rate of the one cycle.
        decay: of the weights.
        average: share of the old in the running mean of weights, which is what is kept.
        seed: of all that is drawn.
    """

    epochs: int = 24
    batches: int = 150
    batch: int = 32
    rate: float = 4e-3
    decay: float = 0.01
    average: float = 0.998
    seed: int = 1


def targets(beats: NDArray[np.float64], frames: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(label, place) of each frame: a bell over the distance from the R peak, and that distance.

    A peak on the border of two frames is as much in the one as in the other.
    """
    label, place = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    late = beats + DELAY_ROWS
    middle = np.arange(frames) * STRIDE_ROWS + (STRIDE_ROWS - 1) / 2
    right = np.floor((late + 0.5) / STRIDE_ROWS).astype(int)
    for shift in (-2, 2, -1, 1, 0):
        at = right + shift
        inside = (at >= 0) & (at < frames)
        away = late[inside] - middle[at[inside]]
        bell = np.exp(-0.5 * (away / _BELL_ROWS) ** 2)
        nearer = bell > label[at[inside]]
        label[at[inside][nearer]] = bell[nearer]
        place[at[inside][nearer]] = away[nearer]
    return label, place


def lead_of(random: np.random.Generator, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """One lead, or as often a mixture: what an electrode elsewhere on the chest would have seen."""
    leads = rows.shape[1]
    if leads == 1 or random.random() < 0.5:
        return rows[:, int(random.integers(leads))]
    height = float(np.percentile(np.abs(rows), 99, axis=0).max())
    for _ in range(4):
        direction = random.standard_normal(leads, np.float32)
        mixed = rows @ (direction / np.linalg.norm(direction))
        if np.percentile(np.abs(mixed), 99) > 0.35 * height:  # else the QRS complexes cancelled
            return np.asarray(mixed, np.float32)
    return rows[:, 0]


def cut(random: np.random.Generator, recording: Recording) -> Crop:
    """A random crop of a lead, stretched a little in time, disturbed."""
    stretch = random.uniform(0.85, 1.18) if random.random() < 0.6 else 1.0
    need = int(CROP * stretch) + 2
    rows, beats, known = recording.rows, recording.beats, recording.known
    if len(rows) < need:
        lack = need - len(rows)
        rows = np.concatenate([np.zeros((lack, rows.shape[1]), np.float32), rows])
        known = np.concatenate([np.zeros(lack, np.bool_), known])
        beats = beats + lack
    at = int(random.integers(0, len(rows) - need + 1))
    piece, sure = lead_of(random, rows[at : at + need]), known[at : at + need]
    near = beats[np.searchsorted(beats, at) : np.searchsorted(beats, at + need)] - at
    places = np.arange(CROP) * stretch
    if stretch != 1.0:
        piece = np.interp(places, np.arange(need), piece).astype(np.float32)
    return disturbed(random, piece[:CROP], near / stretch, sure[places.astype(int)])


def batch_of(random: np.random.Generator, chosen: list[Recording]) -> tuple[Tensor, ...]:
    """(rows, label, place, noisy, mask) with a crop of each recording."""
    frames, size = CROP // STRIDE_ROWS, len(chosen)
    rows = np.zeros((size, 1, CROP), np.float32)
    label, place, noisy, mask = (np.zeros((size, frames), np.float32) for _ in range(4))
    shown = np.arange(frames) * STRIDE_ROWS + STRIDE_ROWS // 2 - DELAY_ROWS
    inside = np.clip(shown, 0, CROP - 1)
    for number, recording in enumerate(chosen):
        crop = cut(random, recording)
        rows[number, 0] = crop.rows
        label[number], place[number] = targets(crop.beats, frames)
        noisy[number] = crop.noisy[inside]
        mask[number] = crop.known[inside] & (shown >= _BLIND)
    return tuple(torch.from_numpy(made) for made in (rows, label, place, noisy, mask))


def loss_of(frames: Tensor, label: Tensor, place: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy of peaks (hard ones count more), place where there is one, and noise."""
    logit = frames[..., 0]
    hard = (label - torch.sigmoid(logit)).abs() + 0.05
    entropy = functional.binary_cross_entropy_with_logits(logit, label, reduction="none")
    peaks = (entropy * hard * (1 + 2 * label) * mask).sum() / mask.sum()
    near = mask * (label > _NEAR)
    offset = functional.smooth_l1_loss(frames[..., 1], place, reduction="none", beta=1.0)
    offset = (offset * near).sum() / near.sum().clamp(min=1)
    noise = functional.binary_cross_entropy_with_logits(frames[..., 2], noisy, reduction="none")
    noise = (noise * mask).sum() / mask.sum()
    return 10 * peaks + 0.05 * offset + 0.1 * noise


def train(found: list[Recording], plan: Plan) -> Detector:
    """A detector trained on these recordings; the running mean of its weights."""
    torch.manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    weights = np.array([recording.weight for recording in found])
    network = Detector()
    steady = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.rate, total_steps=plan.epochs * plan.batches, pct_start=0.15
    )
    began = time.monotonic()
    for epoch in range(plan.epochs):
        total = 0.0
        for _ in range(plan.batches):
            drawn = random.choice(len(found), plan.batch, p=weights / weights.sum())
            rows, *told = batch_of(random, [found[number] for number in drawn])
            loss = loss_of(network(rows, *network.start(len(rows)))[0], *told)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            with torch.no_grad():
                for name, value in network.state_dict().items():
                    steady[name].lerp_(value, 1 - plan.average)
        spent = time.monotonic() - began
        print(f"epoch {epoch + 1}: {total / plan.batches:.4f} after {spent:.0f} s", flush=True)
    network.load_state_dict(steady)
    return network.eval()


def seen(data: Path, found: list[Recording]) -> dict[str, str]:
    """Every recording trained on with the first 16 digits of its signal file's SHA-256."""
    wearable = data / "wearable_sequences"
    places = {"mit": data / "ecg_mitbih" / "records", "cpsc2021": wearable / "cpsc2021",
              "cpsc2019": wearable / "cpsc2019" / "data"}  # fmt: skip
    digests = {}
    for recording in found:
        source = next(name for name in places if recording.patient.startswith(name))
        file = places[source] / (f"data_{recording.record[9:]}.mat" if source == "cpsc2019"
                                 else f"{recording.record}.dat")  # fmt: skip
        digests[f"{source}/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return digests


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("export/zoo/ecg"))
    parser.add_argument("--fold", type=int, help="leave this fold's patients out")
    parser.add_argument("--folds", type=Path, help="where the four folds lie, to be judged")
    parser.add_argument("--judge", action="store_true", help="judge the folds, train nothing")
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--cache", type=Path, help="a directory for prepared recordings")
    told = parser.parse_args()
    torch.set_num_threads(1)
    name = "detector" if told.fold is None else f"detector.fold{told.fold}"
    written = told.out / f"{name}.json"
    if told.judge:
        record = json.loads(written.read_text("utf-8"))
    else:
        told.out.mkdir(parents=True, exist_ok=True)
        plan = Plan(epochs=told.epochs, seed=told.seed)
        record = made(told.data, told.cache, plan, told.fold, told.out / f"{name}.safetensors")
    if told.folds is not None:
        record["held_out_runs"] = held_out(told.data, told.folds, told.cache)
    written.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def made(data: Path, cache: Path | None, plan: Plan, fold: int | None,
         weights: Path) -> dict[str, Any]:  # fmt: skip
    """Trains, writes the weights, and tells how they were made."""
    held: set[str] = set(folds()[fold]) if fold is not None else set()
    found = [each for each in recordings(data, cache) if each.patient not in held]
    began = time.monotonic()
    network = train(found, plan)
    save_file(network.state_dict(), weights)
    kept = {"held_out": sorted(held)} if held else {}
    return kept | {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "network": "export.networks.ecg:build",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "recipe": {"plan": asdict(plan), "shape": asdict(network.shape)},
        "minutes": round((time.monotonic() - began) / 60, 1),
        "tools": {"python": platform.python_version(), "torch": torch.__version__,
                  "numpy": np.__version__},
        "records_seen": seen(data, found),
    }  # fmt: skip


def held_out(data: Path, directory: Path, cache: Path | None) -> dict[str, Any]:
    """Every recording as judged by the network of the fold that had not seen its patient."""
    figures: dict[str, dict[str, Any]] = {}
    networks = []
    for number, fold in enumerate(folds()):
        told = json.loads((directory / f"detector.fold{number}.json").read_text("utf-8"))
        kept = {key: told[key] for key in ("weights_sha256", "note") if key in told}
        networks.append({"plan": told["recipe"]["plan"]} | kept)
        network = Detector()
        network.load_state_dict(load_file(directory / f"detector.fold{number}.safetensors"))
        for key, counts in judged(network.eval(), data, set(fold), cache).items():
            figures.setdefault(key, {}).update(counts)
    return {
        "networks": networks,
        "threshold": THRESHOLD,
        "gross": {key: gross(list(counts.values())) for key, counts in figures.items()},
        "records": figures,
    }


if __name__ == "__main__":
    main()
