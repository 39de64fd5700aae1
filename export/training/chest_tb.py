"""Makes the weights of `chest-tb`.

    python -m export.training.chest_tb --data ../shared/data --out export/zoo/chest_tb

One fit from scratch, one thread, about ten minutes. The text-mined findings of NIH films are a
helper task that teaches the trunk a third site. Fold 4 is never learned from. `--without-site` and
`--fold` run the same recipe with other films held out; their figures join `training.json` and no
weights are written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch
from safetensors.torch import save

from edge_dx.metrics import auc, estimate
from edge_dx.steps import AnyStep, Clahe, Colour, Crop, Intensity, Resize
from export.networks.chest import SIDE_PX, ChestNet, build
from export.training.films import NIH_SET, TB_SET, Film, after, nih_films, tuberculosis_films
from export.training.fitting import Plan, fit, logits

PREPARE: tuple[AnyStep, ...] = (
    Colour(to="grey"),
    Intensity(kind="percentile", low=0.0, high=100.0),
    Crop(kind="dark_border", dark=0.15, limit=0.35),
    Resize(height=SIDE_PX, width=SIDE_PX, interpolation="area"),
    Clahe(clip_limit=2.0, tiles=8),
    Intensity(kind="percentile", low=1.0, high=99.0),
)
"""From the grey film to the network's uint8 image. The equalisation is what carries the network
to the other hospital. The first stretch makes films of more than 8 bits what 8 bit ones are."""

VALIDATION_FOLD = 4
PLAN = Plan(seed=1, epochs=60, small=0.6)

WIDE = tuple(
    msgspec.structs.replace(step, height=320, width=320) if isinstance(step, Resize) else step
    for step in PREPARE[2:]
)
"""What the augmentation starts from: the same at a higher resolution. Tone is changed behind the
equalisation, because before it the change would be undone and nothing learned from it. The shipped
weights were made before the first stretch stood in front; on these 8 bit films it moves a logit by
0.03 on average."""


def train(data: Path, fold: int, without_site: str | None) -> ChestNet:
    """Runs the recipe."""
    # One thread: more do not help on layers this small, and the sums keep their order.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    films = after(learned_from(tuberculosis_films(data), fold, without_site), WIDE)
    helpers = after(nih_films(data), WIDE)
    start = time.monotonic()

    def report(epoch: int, loss: float) -> None:
        print(f"epoch {epoch}: loss {loss:.4f}, {time.monotonic() - start:.0f} s", flush=True)

    return fit(films, helpers, PREPARE[-1:], PLAN, report=report)


def learned_from(films: Sequence[Film], fold: int, without_site: str | None) -> list[Film]:
    """The films that a run may learn from."""
    return [film for film in films if film.fold != fold and film.site != without_site]


def figures(network: ChestNet, films: Sequence[Film]) -> dict[str, dict[str, float | int]]:
    """AUC with its 95 % bootstrap interval per site of films the network has not seen."""
    scores = logits(network, films, PREPARE)
    truth = np.array([bool(film.tuberculosis) for film in films])
    sites = np.array([film.site for film in films])
    told: dict[str, dict[str, float | int]] = {}
    for site in ("Shenzhen", "Montgomery"):
        found = estimate(auc, truth[sites == site], scores[sites == site])
        if found is not None:
            told[site] = {
                "auc": round(found.value, 4),
                "auc_low_95": round(found.low, 4),
                "auc_high_95": round(found.high, 4),
                "films": found.n,
                "with_tuberculosis": int(truth[sites == site].sum()),
            }
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and writes; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m export.training.chest_tb")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of weights and record")
    parser.add_argument("--fold", type=int, default=VALIDATION_FOLD, help="fold to hold out")
    parser.add_argument("--without-site", choices=("Montgomery", "Shenzhen"), default=None)
    told = parser.parse_args(arguments)
    start = time.monotonic()
    films = tuberculosis_films(told.data)
    network = train(told.data, told.fold, told.without_site)
    seen = learned_from(films, told.fold, told.without_site)
    names = {film.name for film in seen}
    unseen = [
        film for film in films
        if film.name not in names and (film.fold == told.fold or film.site == told.without_site)
    ]  # fmt: skip
    found = figures(network, unseen)
    minutes = round((time.monotonic() - start) / 60, 1)
    told.out.mkdir(parents=True, exist_ok=True)
    path = told.out / "training.json"
    record = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if told.fold == VALIDATION_FOLD and told.without_site is None:
        raw = save(network.state_dict())
        _write(told.out / "weights.safetensors", raw)
        kept = {key: record[key] for key in ("held_out_runs",) if key in record}
        record = _record(told.data, raw, seen, found, minutes) | kept
    else:
        run = f"fold {told.fold}" + (f", without {told.without_site}" * bool(told.without_site))
        record.setdefault("held_out_runs", {})[run] = {"figures": found, "minutes": minutes}
    _write(path, (json.dumps(record, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))
    return 0


def _record(
    data: Path,
    weights: bytes,
    seen: Sequence[Film],
    found: dict[str, dict[str, float | int]],
    minutes: float,
) -> dict[str, Any]:
    """What `training.json` says: enough to repeat the run and to tell which films it has seen."""
    return {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "network": "export.networks.chest:build",
        "parameters": sum(p.numel() for p in build().parameters()),
        "recipe": {
            "plan": asdict(PLAN),
            "prepare": [_told(step) for step in PREPARE],
        },
        "validation_fold": VALIDATION_FOLD,
        "figures_on_validation_fold": found,
        "minutes": minutes,
        "tools": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "labels_sha256": {
            name: hashlib.sha256((data / name / "labels.csv").read_bytes()).hexdigest()
            for name in (TB_SET, NIH_SET)
        },
        "films_seen": {
            TB_SET: sorted(film.sha256[:16] for film in seen),
            NIH_SET: sorted(film.sha256[:16] for film in nih_films(data)),
        },
    }


def _told(step: AnyStep) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(step)
    return plain


def _write(path: Path, raw: bytes) -> None:
    """Replaces the file in one move, so that a reader never meets half of it."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(raw)
    beside.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
