"""The manifest of a stream bundle: closed, without contradictions; a model that proves itself."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx import manifest as contract
from edge_dx import proof
from edge_dx.bundle import open_bundle, write_bundle
from edge_dx.choice import with_slow_kernels
from edge_dx.commands.verify import prove_all
from edge_dx.ecg.assembly import preferred_lead
from edge_dx.ecg.stream import SignalStream
from edge_dx.errors import (
    BundleError,
    EngineFailed,
    ManifestError,
    MissingOperatingPoint,
    ProofFailed,
    UnsupportedInput,
)
from edge_dx.signal_model import SignalModel
from edge_dx.trust import TrustStore
from tests import tiny
from tests.ecg import tiny_stream
from tests.test_manifest import at, places

Told = dict[str, Any]


def valid() -> Told:
    """A manifest with every kind of object that a stream has."""
    told, files = tiny_stream.described(), tiny_stream.members()
    files |= {"variants/onnx-fp32.rhythm.onnx": b"x", "golden.npz": b"y"}
    told["outputs"].append({"kind": "episodes", "name": "rhythm", "labels": ["AF"]})
    told["stream"]["rhythm"] = {
        "features": {"names": ["rr", "change"]},
        "states": [{"input": "state.h.in", "output": "state.h.out", "shape": [4]}],
    }
    told["stream"]["golden"] = [
        {"name": "one", "what": "made up", "rate_hz": "360", "leads": ["II"],
         "answer": "at_once", "events": {"onnx-fp32": 3}},
    ]  # fmt: skip
    variant = told["variants"][0]
    wire = {"tensor": "x", "dtype": "int8", "scale": 0.5}
    variant["networks"]["rhythm"] = {"file": "variants/onnx-fp32.rhythm.onnx",
                                     "wires": {"features": wire}}  # fmt: skip
    variant["tolerance"]["af"] = 0.1
    for name, threshold in (("begins", 0.6), ("ends", 0.4)):
        point = dict(variant["operating_points"][0])
        variant["operating_points"].append(
            {**point, "name": name, "output": "af", "label": "AF", "threshold": threshold,
             "band": [threshold, threshold]}
        )  # fmt: skip
    value = {"value": 0.99, "low": 0.98, "high": 1.0, "n": 22}
    variant["fidelity"] = {
        "reference": "torch", "compared_on": "records", "n": 22, "max_score_error": 0.0,
        "decision_flips": 0, "auc": None,
        "figures": [{"of": "QRS", "measure": "sensitivity", "data": "DS2", "value": value}],
    }  # fmt: skip
    return json.loads(contract.encode(tiny_stream.built(told, files)))  # type: ignore[no-any-return]


def parse(told: Told) -> contract.Manifest:
    return contract.parse(json.dumps(told).encode())


def test_it_has_one_spelling() -> None:
    parsed = parse(valid())
    assert contract.parse(contract.encode(parsed)) == parsed
    assert list(json.loads(contract.encode(parsed)))[-1] == "stream"
    assert parsed.stream
    assert parsed.stream.names == ("detector", "at_once", "one_beat_late", "rhythm")


def test_an_unknown_key_is_refused_wherever_it_stands() -> None:
    tried = 0
    for path, value in places(valid()):
        if not isinstance(value, dict) or path[-1:] in [
            ("tolerance",), ("events",), ("tools",), ("members",), ("wires",), ("quantization",),
            ("engines",), ("identity_tolerance",),
        ]:  # fmt: skip
            continue
        spoilt = valid()
        at(spoilt, path)["surprise"] = {}
        with pytest.raises(BundleError):
            parse(spoilt)
        tried += 1
    assert tried > 30


def _variant(told: Told) -> Told:
    found: Told = told["variants"][0]
    return found


def _other(told: Told) -> None:
    """The stream of an image bundle."""
    told["inputs"] = [{"kind": "array", "name": "x", "shape": [1], "unit": ""}]


def _beats(told: Told) -> Any:
    return told["stream"]["beats"]


CONTRADICTIONS: dict[str, tuple[Callable[[Told], Any], str]] = {
    "no stream": (lambda m: m.pop("stream"), "need a stream"),
    "another task": (lambda m: m.update(task="classification"), "has the task ecg"),
    "another input": (_other, "which is a waveform"),
    "another output": (
        lambda m: m["outputs"].append({"kind": "features", "name": "f", "size": 3}),
        "beats, episodes or both",
    ),
    "beats twice": (
        lambda m: m["outputs"].append({**m["outputs"][0], "name": "again"}),
        "beats, episodes or both",
    ),
    "labels twice": (
        lambda m: m["outputs"][0].update(labels=["N", "N"]),
        "two labels of the same name",
    ),
    "not told apart": (lambda m: m["outputs"][0].update(labels=["Q"]), "told apart by a beat"),
    "no rhythm": (lambda m: m["stream"].update(rhythm=None), "come from a rhythm network"),
    "answers twice": (lambda m: _beats(m).append(_beats(m)[0]), "give the same answer"),
    "stride": (lambda m: m["stream"]["detector"].update(stride_rows=4), "whole number of frames"),
    "delay": (lambda m: m["stream"]["detector"].update(delay_rows=501), "than what it rests on"),
    "rate": (lambda m: m["inputs"][0].update(rate_hz=200), "resampled to another rate"),
    "tensors twice": (
        lambda m: m["stream"]["detector"]["states"][0].update(input="signal"),
        "'detector' has two tensors of the same name",
    ),
    "features twice": (
        lambda m: m["stream"]["rhythm"]["features"].update(names=["rr", "rr"]),
        "two features of the same name",
    ),
    "takes nothing": (
        lambda m: m["stream"]["rhythm"].update(features=None),
        "neither a window nor features",
    ),
    "peak outside": (
        lambda m: _beats(m)[0]["window"].update(peak_at=64),
        "no place for its R peak",
    ),
    "golden of images": (
        lambda m: m["golden"].append(
            {"name": "x", "what": "", "modality": None, "photometric": "RGB",
             "status": {"onnx-fp32": "measured"}}
        ),
        "stand in stream.golden",
    ),
    "golden twice": (
        lambda m: m["stream"]["golden"].append(m["stream"]["golden"][0]),
        "two golden signals",
    ),
    "golden events": (
        lambda m: m["stream"]["golden"][0].update(events={}),
        "a number of events for each variant",
    ),
    "golden answer": (
        lambda m: m["stream"]["golden"][0].update(answer=None),
        "an answer that no network gives",
    ),
    "golden leads": (
        lambda m: m["stream"]["golden"][0].update(leads=["II", "II"]),
        "two leads of the same name",
    ),
    "golden file": (lambda m: m["members"].pop("golden.npz"), "golden.npz is not among"),
    "files": (lambda m: _variant(m)["networks"].pop("rhythm"), "must name the files of"),
    "member": (
        lambda m: m["members"].pop("variants/onnx-fp32.rhythm.onnx"),
        "'variants/onnx-fp32.rhythm.onnx', which is not listed",
    ),
    "wires": (
        lambda m: _variant(m)["networks"]["rhythm"]["wires"].update(
            signal=_variant(m)["networks"]["rhythm"]["wires"]["features"]
        ),
        "wires for no tensor of rhythm",
    ),
    "wire of an image": (
        lambda m: _variant(m)["networks"]["rhythm"]["wires"]["features"].update(normalised=True),
        "and no image",
    ),
    "tolerance": (lambda m: _variant(m)["tolerance"].pop("af"), "output of each network"),
    "point": (
        lambda m: _variant(m)["operating_points"][0].update(label="X"),
        "reads 'frames'/'X', which does not exist",
    ),
    "threshold": (
        lambda m: _variant(m)["operating_points"][0].update(threshold=1.5, band=[1.5, 1.5]),
        "that is no probability",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", CONTRADICTIONS)
def test_a_contradiction_is_named(which: str) -> None:
    spoil, told = CONTRADICTIONS[which]
    manifest = valid()
    spoil(manifest)
    with pytest.raises(ManifestError, match=told) as caught:
        parse(manifest)
    assert caught.value.member == "manifest.json"


@pytest.mark.parametrize("place", range(7))
def test_every_threshold_that_is_asked_must_be_there(place: int) -> None:
    manifest = valid()
    gone = _variant(manifest)["operating_points"].pop(place)
    with pytest.raises(MissingOperatingPoint, match=f"'{gone['label']}' of '{gone['output']}'"):
        parse(manifest)


def test_networks_of_an_image_bundle_are_refused() -> None:
    told = json.loads(contract.encode(tiny.parts().built()))
    told["variants"][0]["networks"] = {"rhythm": {"file": "card.md"}}
    with pytest.raises(ManifestError, match="has networks, and there is no stream"):
        parse(told)


def test_graphs_are_seen_as_models_of_their_own() -> None:
    manifest = parse(valid())
    seen, variant = contract.as_model(manifest, manifest.variants[0], "rhythm")
    assert [(i.name, i.shape) for i in seen.inputs if isinstance(i, contract.ArrayInput)] == [
        ("features", (2,)), ("state.h.in", (4,)),
    ]  # fmt: skip
    assert (
        variant.file
        == "variants/onnx-fp32.rhythm.onnx"
        == contract.file_of(manifest.variants[0], "rhythm")
    )
    assert contract.answers_of(manifest)["rhythm"] == "af"
    with pytest.raises(ManifestError, match="no network 'nobody'"):
        contract.as_model(manifest, manifest.variants[0], "nobody")
    accepting = with_slow_kernels(manifest).variants[0]
    assert accepting.networks
    assert accepting.networks["rhythm"].undelegated > 10


# --- the model ---


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stream.write(tmp_path_factory.mktemp("stream") / "tiny-ecg.edx")


def test_a_stream_bundle_loads_proves_itself_and_streams(bundle: Path, trust: TrustStore) -> None:
    with edge_dx.load(bundle, trust=trust) as model:
        assert isinstance(model, SignalModel)
        stream = model.stream(rate_hz=360, leads=("II",))
        assert stream.info.bundle == "tiny-ecg 0.0.1"
        assert (stream.info.answer, stream.info.engine) == ("at_once", "onnx")
        assert stream.info.hop_s == pytest.approx(0.1)
        found = proof.verify(model)
        assert found.passed, found.problem
        assert [case.case for case in found.cases] == ["at_once", "one_beat_late"]
        assert all(max(case.differences.values()) == 0 for case in found.cases)
    with pytest.raises(EngineFailed, match="closed"):
        stream.step(stream.start(), np.zeros((250, 1)) + np.arange(250)[:, None] % 7)


def test_it_judges_no_pictures_and_says_what_does(bundle: Path, trust: TrustStore) -> None:
    with edge_dx.load(bundle, trust=trust) as model:
        for refused in (
            lambda: model(np.zeros((4, 4), np.uint8)), lambda: model.read("x.png"),
            lambda: model.run_case("x.png"), lambda: model.feeds_of("x.png"),
            lambda: list(model.batch([])),
        ):  # fmt: skip
            with pytest.raises(UnsupportedInput, match="edge-dx stream tiny-ecg FILE"):
                refused()


def test_a_model_of_pictures_makes_no_stream(tiny_path: Path, trust: TrustStore) -> None:
    with (
        edge_dx.load(tiny_path, trust=trust) as model,
        pytest.raises(UnsupportedInput, match="edge-dx run tiny FILE"),
    ):
        model.stream(rate_hz=250, leads=("II",))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"leads": ("I", "II", "V1")}, "at most 2 leads"),
        ({"leads": ()}, "leads of different names"),
        ({"leads": ("II", "II")}, "leads of different names"),
        ({"answer": "tomorrow"}, "it offers at_once and one_beat_late"),
        ({"rate_hz": 1}, "samples per second are not read"),
        ({"rate_hz": 359.9}, "cannot become 250 exactly"),
    ],
)
def test_what_a_bundle_cannot_be_asked_for_is_said(asked: Told, told: str) -> None:
    with tiny_stream.opened() as model, pytest.raises(UnsupportedInput, match=told):
        model.stream(**{"rate_hz": 250, "leads": ("II",), **asked})


def test_without_a_notch_there_is_no_power_line_to_take_out() -> None:
    told = tiny_stream.described()
    told["inputs"][0]["prepare"] = [s for s in told["inputs"][0]["prepare"] if s["step"] != "notch"]
    with tiny_stream.opened(told) as model:
        with pytest.raises(UnsupportedInput, match="takes out no power line"):
            model.stream(rate_hz=250, leads=("II",), mains_hz=50)
        assert model.stream(rate_hz=250, leads=("II",)).info.mains_hz is None


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda m: m["stream"]["beats"][0]["features"]["names"].reverse(), "features of a beat"),
        (lambda m: m["stream"]["beats"][0]["window"].update(samples=32), "window around a beat"),
        (lambda m: m["outputs"][0]["labels"].reverse(), "beats are told as Q"),
        (lambda m: m["stream"]["detector"].update(delay_rows=20), "quicker than the windows"),
    ],
)
def test_a_bundle_for_another_edge_dx_is_refused(spoil: Any, told: str) -> None:
    manifest, files = tiny_stream.described(), tiny_stream.members()
    with tiny_stream.opened(manifest, files) as model:
        spoil(manifest)
        other = tiny_stream.built(manifest, files)
        with pytest.raises(ManifestError, match=told):
            SignalStream(other, other.variants[0], model.networks, rate_hz=250, leads=("II",))


def test_the_preferred_lead_is_the_models_first_choice_of_those_here() -> None:
    wave = tiny_stream.built(tiny_stream.described(), tiny_stream.members()).inputs[0]
    assert isinstance(wave, contract.WaveformInput)
    assert preferred_lead(wave, ["V1", "ii", "MLII"]) == "MLII"
    assert preferred_lead(wave, ["V1", "ii"]) == "ii"
    assert preferred_lead(wave, ["V5", "V1"]) == "V5"


# --- proofs that fail ---


def _changed(tmp_path: Path, spoil: Callable[[dict[str, Any]], Any]) -> Path:
    """The bundle with other golden arrays."""
    manifest, files = tiny_stream.with_golden()
    with np.load(io.BytesIO(files["golden.npz"])) as read:
        arrays: dict[str, Any] = {name: read[name] for name in read.files}
    spoil(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    files = {**files, "golden.npz": buffer.getvalue()}
    told = json.loads(contract.encode(manifest))
    told.pop("members")
    path = tmp_path / "spoilt.edx"
    write_bundle(path, tiny_stream.built(told, files), files, tiny.PRIVATE_KEY)
    return path


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda a: a.pop("raw/at_once"), "raw/at_once is not in golden.npz"),
        (lambda a: a["onnx-fp32/at_once/frames"].__iadd__(1), "frames differs by 1"),
        (lambda a: a["onnx-fp32/one_beat_late/classes"].__imul__(2), "classes differs by"),
        (lambda a: a["onnx-fp32/at_once/events"].__iadd__([0, 1, 0]), "are others"),
        (lambda a: a.update({"onnx-fp32/at_once/events": np.zeros((2, 3), np.int64)}),
         "no golden output of its shape"),
        (lambda a: a.pop("onnx-fp32/at_once/classes"), "no golden output of its shape"),
        (lambda a: a.update({"raw/at_once": np.zeros((5, 3), np.float32)}), r"not \(5, 3\)"),
    ],
)  # fmt: skip
def test_golden_signals_that_come_out_otherwise_are_noticed(
    tmp_path: Path, trust: TrustStore, spoil: Any, told: str
) -> None:
    path = _changed(tmp_path, spoil)
    with pytest.raises(ProofFailed, match=told):
        edge_dx.load(path, trust=trust)


def test_every_variant_is_proved_by_verify(bundle: Path, trust: TrustStore) -> None:
    outcomes = list(prove_all(open_bundle(bundle, trust=trust)))
    assert [(variant, engine) for variant, engine, _ in outcomes] == [("onnx-fp32", "onnx")]
    assert isinstance(outcomes[0][2], proof.Proof)
    assert outcomes[0][2].passed
