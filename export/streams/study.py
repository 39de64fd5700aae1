"""Every variant of a stream recipe made, judged by folds, compared with float and with torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from edge_dx import device
from edge_dx.ecg.networks import Network
from edge_dx.manifest import Fidelity, Manifest, Stream, answers_of
from edge_dx.manifest.stream import NetworkName
from export.calibrate import Ranges
from export.errors import GateFailed
from export.streams import measure
from export.streams.calibration import Calls, beat_calls, chosen, detector_calls, observed
from export.streams.drift import Drifts
from export.streams.evidence import Measured
from export.streams.files import Files, Maker
from export.streams.folds import Fold, read_folds
from export.streams.following import Asked, Beats, peaks_of
from export.streams.judged import Judge, Judged, Thresholds, changed
from export.streams.modules import Format, Networks
from export.streams.recipe import Recipe, VariantName
from export.streams.recordings import Recording
from export.streams.rollout import Drift
from export.streams.running import open_backends, open_network, open_networks, torch_networks

_START = 0.35
"""Detection threshold of the rollout that beat networks are calibrated on; their windows do not
hang on it."""


class Study:
    """One export's measurements.

    Attributes:
        unseen: whether every network judges only patients that it has not learned from.
        drift: half an hour hop by hop.
        gates: what was asked and found, in words.
    """

    def __init__(
        self, recipe: Recipe, networks: Networks, manifest: Manifest,
        recordings: Sequence[Recording], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.recipe, self.networks, self.manifest, self.say = recipe, networks, manifest, say
        self.recordings = list(recordings)
        assert isinstance(manifest.stream, Stream), "the exporter of streams made it"
        self.stream = manifest.stream
        self.judge = Judge(manifest, recordings, recipe.told.data.records)
        self.maker = Maker(networks, reduce_range=recipe.told.calibration.reduce_range)
        patients = sorted({recording.patient for recording in recordings})
        self.folds = {
            name: read_folds(recipe, name, networks, patients) for name in networks.modules
        }
        self.unseen = all(f.held_out is not None for own in self.folds.values() for f in own)
        self.drift: list[Drift] = []
        self.gates: list[str] = []
        self._torch = torch_networks(manifest, networks)
        self._calibration: dict[NetworkName, list[Beats]] = {}

    def run(self) -> tuple[dict[str, Files], dict[str, Measured]]:
        """Makes and measures all variants.

        Raises:
            GateFailed: one is not good enough.
        """
        ranges: dict[Format, dict[NetworkName, Ranges]] = {}
        files: dict[str, Files] = {}
        for variant in self.recipe.told.variants:
            kind: Format = "tflite" if variant.startswith("tflite") else "onnx"
            if variant.endswith("int8") and kind not in ranges:
                self.say(f"calibrating {variant}")
                ranges[kind] = self._ranges(kind)
            files[variant] = self.maker.files(variant, ranges.get(kind, {}))
            sizes = ", ".join(f"{n} {len(f.payload)}" for n, f in files[variant].networks.items())
            self.say(f"{variant}: {sizes} bytes")
        drifts = Drifts(self.recipe, self.manifest, self._torch, self.judge, self.say)
        networks: dict[str, dict[str, Asked]] = {
            name: dict(open_networks(self.manifest, own)) for name, own in files.items()
        }
        self.drift, self.gates = drifts.run(networks)
        judged = self._judged(files, ranges)
        flips = self._flips(networks, judged)
        rollout = drifts.recording
        latencies = self._latencies(files)
        variants: dict[str, Measured] = {}
        for name, own in files.items():
            points, figures = measure.points_of(self.manifest, self.judge, judged[name], self._told)
            beats: dict[str, Beats] = {n: b for n, b in drifts.beats.items() if n in own.networks}
            tolerance = measure.tolerances(
                networks[name],
                self.stream.detector,
                rollout,
                beats,
                answers_of(self.manifest),
            )
            total, differ = flips[name]
            worst = max(d.worst for d in self.drift if d.variant == name)
            fidelity = Fidelity(
                reference=f"torch {torch.__version__.partition('+')[0]} eager, float32",
                compared_on=f"record {rollout.name}, {rollout.samples / rollout.rate_hz / 60:.0f} "
                "minutes hop by hop; decisions: all records, beside the float32 file",
                n=total, max_score_error=worst, decision_flips=differ, auc=None,
                latency_p50_ms=latencies[name].hop_p50_ms,
                latency_p90_ms=latencies[name].hop_p90_ms,
                machine=f"{device.processor()}, one thread, a hop of one lead, bare call",
                figures=figures,
            )  # fmt: skip
            variants[name] = Measured(
                sha256={n: f.sha256 for n, f in own.networks.items()},
                ranges=ranges[own.format] if name.endswith("int8") else {},
                tolerance=tolerance, operating_points=points, fidelity=fidelity,
                latency_us=latencies[name].told,
            )  # fmt: skip
        return files, variants

    @property
    def _told(self) -> str:
        name = self.recipe.told.data.records.name
        how = "by networks that had not learned from the patient" if self.unseen else (
            "LEARNED FROM: these figures flatter")  # fmt: skip
        return f"{name}, one lead, {how}"

    def _ranges(self, kind: Format) -> dict[NetworkName, Ranges]:
        part = self.recipe.told.calibration
        found = {}
        for name in self.networks.modules:
            if self.maker.step(kind, name).quantized:
                calls = self._calls(name, self._torch[name], self.recordings)
                found[name] = chosen(self.manifest, self.maker, kind, name, calls, part.methods)
                self.say(f"  {name}: {found[name].method}")
        return found

    def _calls(self, name: NetworkName, network: Asked, recordings: Sequence[Recording]) -> Calls:
        part = self.recipe.told.calibration
        if name == "detector":
            return detector_calls(network, self.stream.detector, recordings, part)
        if name not in self._calibration:
            said = self.judge.frames(lambda n, recording: self._torch[n])
            found = peaks_of(self.stream.detector, said, _START)
            for other in self.stream.beats:
                self._calibration[other.answer] = self.judge.beats(found, other.answer)
        kept = {recording.name for recording in recordings}
        beats = [
            own for r, own in zip(self.recordings, self._calibration[name], strict=True)
            if r.name in kept
        ]  # fmt: skip
        return beat_calls(network, self.stream.network(name), beats, part)

    def _judged(
        self, files: dict[str, Files], ranges: dict[Format, dict[NetworkName, Ranges]]
    ) -> dict[str, Judged]:
        """Each variant's folds over the patients that they have not learned from.

        Float files of both formats are the same function to a millionth (the parity gate of the
        shipped ones says so): the ONNX ones of the folds speak for both.
        """
        judged: dict[str, Judged] = {}
        for name in files:
            same = "onnx-fp32" if name.endswith("fp32") else name
            if same not in judged:
                self.say(f"judging {name} by folds")
                by_fold = self.fold_networks(files[same].name, ranges)
                said = self.judge.frames(by_fold)
                near = judged["onnx-fp32"].thresholds if "onnx-fp32" in judged else None
                judged[same] = self.judge.judged(by_fold, said, near=near)
                t = judged[same].thresholds
                self.say(f"  thresholds: {t.detection}, {dict(t.classes)}, {t.rhythm}")
            judged[name] = judged[same]
        return judged

    def fold_networks(
        self, variant: VariantName, ranges: dict[Format, dict[NetworkName, Ranges]]
    ) -> Any:
        """Which network may judge a recording, as files of a variant."""
        kind: Format = "tflite" if variant.startswith("tflite") else "onnx"
        opened: dict[tuple[NetworkName, int], Network] = {}
        for name, folds in self.folds.items():
            for number, fold in enumerate(folds):
                file = fold.maker.float_file(kind, name) if variant.endswith("fp32") else None
                if file is None:
                    file = self._fold_file(kind, name, fold, ranges)
                made = Files(variant, {name: file})
                opened[name, number] = open_network(self.manifest, made, name)

        def judges(name: NetworkName, recording: Recording) -> Asked:
            folds = self.folds[name]
            number = next(n for n, f in enumerate(folds) if f.judges(recording.patient))
            return opened[name, number]

        return judges

    def _fold_file(
        self, kind: Format, name: NetworkName, fold: Fold,
        ranges: dict[Format, dict[NetworkName, Ranges]],
    ) -> Any:  # fmt: skip
        if not fold.maker.step(kind, name).quantized:
            return fold.maker.float_file(kind, name)
        known = [
            r for r in self.recordings if fold.held_out is None or r.patient not in fold.held_out
        ]
        own = torch_networks(self.manifest, fold.networks)[name]
        calls = self._calls(name, own, known)
        method = ranges[kind][name].method
        return fold.maker.quantized_file(
            kind, name, observed(fold.maker, kind, name, calls).ranges(method)
        )

    def _flips(
        self, networks: Mapping[str, Mapping[str, Asked]], judged: dict[str, Judged]
    ) -> dict[str, tuple[int, int]]:
        """Each shipped variant beside the float file, both at their own thresholds."""
        limits = self.recipe.told.limits
        found: dict[str, tuple[int, int]] = {}
        reference: Judged | None = None
        names: list[NetworkName] = [p.answer for p in self.stream.beats] or ["detector"]
        if self.stream.rhythm is not None:
            names = [*names, "rhythm"]
        for name, own in networks.items():
            self.say(f"comparing {name} over all records")
            thresholds: Thresholds = judged[name].thresholds
            shipped = lambda n, recording, own=own: own[n]  # noqa: E731
            whole = self.judge.judged(shipped, self.judge.frames(shipped), thresholds)
            if reference is None:
                reference = whole
            counts = {answer: changed(reference, whole, answer) for answer in names}
            told = ", ".join(f"{answer} {c[1]} of {c[0]}" for answer, c in counts.items())
            self.say(f"  changed: {told}")
            self.gates.append(f"{name}: beats answered otherwise than by the float file: {told}")
            for answer, (total, differ) in counts.items():
                key = "changed_rhythm" if answer == "rhythm" else "changed_beats"
                limit = getattr(limits, key)
                if differ > limit * total:
                    raise GateFailed(
                        f"{name}: {answer}: {differ} of {total} beats are answered otherwise than "
                        f"by the float file, limits.{key} allows {limit:.1%}; try other "
                        "calibration.methods or leave the variant out", name, "beats",
                    )  # fmt: skip
            total, differ = max(counts.values(), key=lambda c: c[1] / max(c[0], 1))
            found[name] = (total, differ)
        return found

    def _latencies(self, files: dict[str, Files]) -> dict[str, measure.Latencies]:
        backends = {name: open_backends(self.manifest, own) for name, own in files.items()}
        return measure.latencies(
            backends,
            lambda variant: (1,) if variant.startswith("tflite") else (1, 2, 64),
        )  # fmt: skip
