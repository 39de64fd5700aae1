"""Trains the rhythm network: `python -m export.training.ecg.rhythm --data ../shared/data`.

`--folds` leaves each patient with atrial fibrillation out in turn, together with a share of the
others, and says how the network does on those it has not heard.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from edge_dx import ec57, wfdb
from edge_dx.ecg.rhythm import DELAY_BEATS, Episodes, RhythmFeatures
from export.networks.rhythm import RhythmNetwork
from export.training.ecg.periods import UNKNOWN, Array, Periods, drawn, mistaken
from export.training.ecg.records import DS1
from export.training.ecg.sets import CPSC2021

THRESHOLDS = {"begins": 0.6, "ends": 0.4}


@dataclass(frozen=True)
class Plan:
    """What a training is."""

    drawn: int = 500
    altered: int = 6
    beats: int = 400
    steps: int = 700
    batch: int = 48
    rate: float = 4e-3
    decay: float = 0.02
    dropout: float = 0.1
    average: float = 0.995
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Recording:
    """A real record's beats and rhythm."""

    name: str
    patient: str
    rate_hz: float
    header: Path
    samples: Array
    periods: Periods


def recordings(data: Path) -> list[Recording]:
    """DS1 and the three patients of CPSC2021."""
    found = []
    for folder, names, prefix in (
        (data / "ecg_mitbih" / "records", DS1, "mit"),
        (data / "wearable_sequences" / "cpsc2021", CPSC2021, "cpsc2021_p"),
    ):
        for name in names:
            header = wfdb.read_header(folder / f"{name}.hea")
            told = wfdb.read_annotations(folder / f"{name}.atr")
            beats = told.beats
            samples = np.array([beat.sample for beat in beats])
            af = np.zeros(len(samples), np.int64)
            changes = [(item.sample, item.note) for item in told if item.symbol == "+"]
            for (at, note), (until, _) in zip(changes, [*changes, (2**62, "")][1:], strict=True):
                inside = (samples >= at) & (samples < until)
                af[inside] = 1 if note.startswith("(AFIB") else 0
                if note.startswith("(AFL"):
                    af[inside] = UNKNOWN
            rr = np.diff(samples) / float(header.rate_hz)
            patient = prefix + (name.split("_")[1] if prefix.startswith("cpsc") else name)
            found.append(Recording(name, patient, float(header.rate_hz), folder / f"{name}.hea",
                                   samples, Periods(patient, rr, af[1:])))  # fmt: skip
    return found


def heard(periods: Periods) -> tuple[Array, Array]:
    """Features (n, F) and the labels that the network has to give with each beat."""
    features = RhythmFeatures()
    state = features.start()
    found = []
    for rr in periods.rr_s:
        state, told = features.beat(state, float(rr))
        found.append(told)
    label = np.full(len(found), UNKNOWN)
    label[DELAY_BEATS:] = periods.af[:-DELAY_BEATS]
    return np.array(found, np.float32), label


def train(real: list[Periods], plan: Plan) -> RhythmNetwork:
    """A network that has heard these, altered, beside as much that was drawn."""
    random = np.random.default_rng(plan.seed)
    torch.manual_seed(plan.seed)
    pool = [heard(mistaken(random, drawn(random, plan.beats))) for _ in range(plan.drawn)]
    weights = [1.0] * len(pool)
    for periods in real:
        share = float((periods.af == 1).mean())
        for _ in range(plan.altered):
            features, label = heard(mistaken(random, periods))
            parts = max(1, len(label) // plan.beats)
            for part in np.array_split(np.arange(len(label)), parts):
                pool.append((features[part], label[part]))
                weights.append((3.0 if share > 0.02 else 1.0) * 0.35)
    chances = np.array(weights) / np.sum(weights)
    network, steady = RhythmNetwork(plan.dropout), RhythmNetwork()
    steady.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
    size = plan.beats
    for _ in range(plan.steps):
        x = np.zeros((size, plan.batch, len(RhythmFeatures.names)), np.float32)
        y = np.full((size, plan.batch), UNKNOWN)
        for column, chosen in enumerate(random.choice(len(pool), plan.batch, p=chances)):
            features, label = pool[chosen]
            n = min(size, len(label))
            x[:n, column], y[:n, column] = features[:n], label[:n]
        truth = torch.from_numpy(y)
        logit = network.sequences(torch.from_numpy(x), network.start(plan.batch))
        loss = functional.binary_cross_entropy_with_logits(
            logit, truth.clamp(min=0).float(), reduction="none"
        )
        loss = (loss * (truth >= 0)).sum() / (truth >= 0).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for kept, new in zip(steady.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - plan.average)
    return steady.eval()


def episodes_of(network: RhythmNetwork, samples: Array, rate_hz: float,
                thresholds: dict[str, float]) -> list[tuple[int, str]]:  # fmt: skip
    """Rhythm annotations of a recording's beats."""
    periods = Periods("", np.diff(samples) / rate_hz, np.zeros(len(samples) - 1, np.int64))
    features, _ = heard(periods)
    with torch.inference_mode():
        logit = network.sequences(torch.from_numpy(features)[:, None], network.start(1))[:, 0]
    follower = Episodes(thresholds["begins"], thresholds["ends"])
    state = follower.start()
    state, _ = follower.beat(state, int(samples[0]), 0.0)
    found: list[tuple[int, str]] = []
    for sample, chance in zip(samples[1:], torch.sigmoid(logit).tolist(), strict=True):
        state, turns = follower.beat(state, int(sample), chance)
        found += [(turn.row, "(AFIB" if turn.change == "begins" else "(N") for turn in turns]
    return found


def score(network: RhythmNetwork, held: list[Recording],
          thresholds: dict[str, float] = THRESHOLDS) -> list[ec57.Tally]:  # fmt: skip
    """Tallies of recordings, from their first beat on: CPSC2021's are shorter than 5 minutes."""
    protocol = ec57.Protocol(ec57.MAPPINGS["ej-normal"], from_s=0.0)
    tallies = []
    for recording in held:
        told = episodes_of(network, recording.samples, recording.rate_hz, thresholds)
        beats = [(int(s), "N") for s in recording.samples]
        test = ec57.annotated(beats, rhythms=told, rate_hz=recording.rate_hz)
        reference = wfdb.read_annotations(recording.header.with_suffix(".atr"))
        tallies.append(ec57.compare(reference, test, protocol, rate_hz=recording.rate_hz,
                                    record=recording.name, patient=recording.patient))  # fmt: skip
    return tallies


def folds(found: list[Recording]) -> list[set[str]]:
    """Each patient with atrial fibrillation in a fold of its own, the others spread over them."""
    patients = list(dict.fromkeys(r.patient for r in found))
    ill = [p for p in patients if any((r.periods.af == 1).any() for r in found if r.patient == p)]
    apart: list[set[str]] = [{p} for p in ill]
    for number, patient in enumerate(p for p in patients if p not in ill):
        apart[number % len(apart)].add(patient)
    return apart


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("export/zoo/ecg"))
    told = parser.parse_args()
    torch.set_num_threads(1)
    plan, found = Plan(), recordings(told.data)
    began = time.monotonic()
    tallies = []
    apart = folds(found)
    for number, held in enumerate(apart):
        network = train([r.periods for r in found if r.patient not in held], plan)
        tallies += score(network, [r for r in found if r.patient in held])
        save(network, told.out / "folds" / f"rhythm.fold{number}", {"held_out": sorted(held)})
        print(f"{sorted(held)} after {time.monotonic() - began:.0f} s", flush=True)
    network = train([r.periods for r in found], plan)
    save(network, told.out / "rhythm", {
        "network": "export.networks.rhythm:build",
        "parameters": sum(p.numel() for p in network.parameters()),
        "plan": asdict(plan),
        "thresholds": THRESHOLDS,
        "data": [{"record": r.name, "patient": r.patient, "beats": len(r.samples),
                  "sha256": hashlib.sha256(r.header.with_suffix(".atr").read_bytes()).hexdigest()}
                 for r in found],
        "folds": [sorted(held) for held in apart],
        "figures": figures(tallies),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "made_with": {"torch": torch.__version__, "numpy": np.__version__},
    })  # fmt: skip


def save(network: RhythmNetwork, path: Path, record: dict[str, Any]) -> None:
    """Weights as safetensors, and what is to be told of them beside it."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    weights = path.with_name(path.name + ".safetensors")
    save_file(network.state_dict(), weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    told = json.dumps({"weights_sha256": sha256, **record}, indent=1)
    path.with_name(path.name + ".json").write_text(told + "\n", "utf-8")


def figures(tallies: list[ec57.Tally]) -> dict[str, Any]:
    """Episode figures of each recording, of all, and of the wearable ones alone; each recording by
    a network that has not heard its patient, from the experts' beats."""
    protocol = ec57.Protocol(ec57.MAPPINGS["ej-normal"], from_s=0.0)
    wearable = [tally for tally in tallies if tally.record.startswith("data_")]
    told: dict[str, Any] = {"protocol": "from the first beat on; experts' beats"}
    for name, some in (("all", tallies), ("CPSC2021", wearable)):
        whole = ec57.evaluate(some, protocol)
        told[name] = {
            figure: {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
            for figure, value in whole.gross.items() if figure.startswith("af_")
        }  # fmt: skip
    names = ("episodes found", "missed", "s of them found", "s of episodes", "right episodes",
             "wrong", "s of them right", "s of told episodes")  # fmt: skip
    told["records"] = {
        tally.record: dict(zip(names, np.round(tally.counts["atrial_fibrillation"], 1).tolist(),
                               strict=True))
        for tally in tallies if tally.counts["atrial_fibrillation"].any()
    }  # fmt: skip
    return told


if __name__ == "__main__":
    main()
