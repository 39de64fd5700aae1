"""The manifest's vocabulary is closed, and it may not contradict itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import manifest as contract
from edge_dx.errors import (
    BundleError,
    EdgeDxError,
    ManifestError,
    MissingOperatingPoint,
    SchemaTooNew,
)
from edge_dx.steps import AnyStep
from tests import tiny

Manifest = dict[str, Any]


def valid() -> Manifest:
    """A manifest that uses every kind of object there is."""
    parts = tiny.parts(eligibility={"likeness": {"side": 4, "template": [0.25] * 16,
                                                 "min_correlation": 0.3}})  # fmt: skip
    found: Manifest = json.loads(contract.encode(parts.built()))
    data_set = {"name": "films", "n": 2, "sha256": "1" * 64, "classes": {"tb": 1}}
    for name in ("calibration", "validation", "training"):
        found["provenance"][name] = dict(data_set)
    variant = found["variants"][0]
    figure = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 4}
    variant["fidelity"]["auc"] = dict(figure)
    variant["fidelity"]["groups"] = [
        {"name": "site A", "positives": 2, "negatives": 2, "auc": dict(figure),
         "sensitivity": None, "specificity": None}
    ]  # fmt: skip
    variant["fidelity"]["auc_difference"] = dict(figure)
    variant["fidelity"]["heat_map_agreement"] = dict(figure)
    variant["fidelity"]["engines"] = {
        "onnx": {"version": "1", "max_score_error": 0.1, "decision_flips": 0,
                 "latency_p50_ms": 1.0, "latency_p90_ms": 2.0}
    }  # fmt: skip
    variant["wires"] = {"image": {"tensor": "x", "dtype": "int8", "scale": 0.5, "normalised": True}}
    variant["identity_tolerance"] = {"cam": 0.1}
    variant["quantization"] = {"scheme": "none"}
    fact = {"name": "age", "unit": "years", "low": 0, "high": 120, "choices": {"unknown": 50}}
    found["inputs"] += [
        {"kind": "vector", "name": "facts", "fields": [fact]},
        {"kind": "array", "name": "spectrum", "shape": [4, 2], "unit": "dB"},
    ]
    found["outputs"] += [
        {"kind": "mask", "name": "lung", "labels": ["left"], "activation": "sigmoid",
         "shape": [8, 8]},
        {"kind": "values", "name": "measures", "fields": [{"name": "volume", "unit": "ml"}]},
        {"kind": "reconstruction", "name": "again", "of": "spectrum"},
    ]  # fmt: skip
    point = variant["operating_points"][0]
    for name, label in (("lung", "left"), ("again", "anomaly")):
        variant["operating_points"].append({**point, "name": label, "output": name, "label": label})
    variant["tolerance"] |= dict.fromkeys(("lung", "measures", "again"), 0.1)
    found["inputs"][0]["prepare"] = [
        {"step": "colour", "to": "grey"},
        {"step": "orientation", "rotate_deg": 90},
        {"step": "crop", "kind": "dark_border"},
        {"step": "denoise", "kind": "median", "size_px": 3},
        {"step": "clahe", "clip_limit": 2.0, "tiles": 8},
        *found["inputs"][0]["prepare"][1:],
    ]
    whole: Manifest = json.loads(contract.encode(parse(found)))  # defaults written out
    return whole


def parse(manifest: Manifest) -> contract.Manifest:
    return contract.parse(json.dumps(manifest).encode())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value of the tree with its path."""
    yield path, value
    children = value.items() if isinstance(value, dict) else (
        enumerate(value) if isinstance(value, list) else ())  # fmt: skip
    for key, child in children:
        yield from places(child, (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


# Objects whose keys are names of the user's own, not words of the vocabulary.
OPEN = {"tolerance", "status", "classes", "tools", "quantization", "members", "engines", "wires",
        "identity_tolerance", "choices"}  # fmt: skip


def test_the_walk_below_meets_every_kind_of_object() -> None:
    found = parse(valid())
    used = {type(step) for step in (*found.inputs[0].prepare, *found.inputs[0].in_graph)}
    assert used == set(get_args(AnyStep))
    assert found.eligibility.likeness
    assert found.variants[0].fidelity.groups
    # Waveforms, beats and episodes stand in bundles of their own: tests/ecg/test_contract.py.
    streamed = {contract.WaveformInput, contract.Beats, contract.Episodes}
    assert {type(o) for o in found.outputs} == set(get_args(contract.AnyOutput)) - streamed
    assert {type(i) for i in found.inputs} == set(get_args(contract.AnyInput)) - streamed


def test_an_unknown_key_is_refused_in_every_object() -> None:
    tried = 0
    for path, value in places(valid()):
        if not isinstance(value, dict) or (path and path[-1] in OPEN):
            continue
        spoilt = valid()
        at(spoilt, path)["surprise"] = 1
        with pytest.raises(ManifestError, match="surprise") as caught:
            parse(spoilt)
        assert caught.value.member == "manifest.json", path
        tried += 1
    assert tried > 25


def test_a_missing_or_mistyped_key_never_passes_for_another() -> None:
    """Each value is left out, and replaced by a value of another type."""
    optional = set()
    for path, value in places(valid()):
        if not path or isinstance(path[-1], int):
            continue
        spoilt = valid()
        del at(spoilt, path[:-1])[path[-1]]
        try:
            parse(spoilt)
        except BundleError as error:
            assert error.member == "manifest.json"  # noqa: PT017 (no error is right too)
        else:
            optional.add(path[-1])
        spoilt = valid()
        at(spoilt, path[:-1])[path[-1]] = {"a": []} if not isinstance(value, dict) else 3
        with pytest.raises(ManifestError, match=r"export the bundle again"):
            parse(spoilt)
    steps = {"fit", "pad_value", "rotate_deg", "mirror", "dark", "limit", "top", "bottom", "left",
             "right", "sigma"}  # fmt: skip
    limits = {"modalities", "body_parts", "views", "min_side_px", "max_aspect", "min_contrast",
              "max_clipped", "max_colour", "likeness", "sop_classes", "frames", "for_processing",
              "min_age_years", "quality", "familiarity"}  # fmt: skip
    told = {"groups", "latency_p50_ms", "latency_p90_ms", "machine", "quantization", "reasons",
            "latency_p99_ms", "peak_memory_mb", "file_mb", "dtype", "view"}  # fmt: skip
    told |= {
        "wires",
        "runs_on",
        "undelegated",
        "identity_tolerance",
        "engines",
        "auc_difference",
        "heat_map_agreement",
        "zero_point",
        "layout",
        "normalised",
        "scale",
        "decision",
    }
    told |= {"mean", "std", "choices", "offset", "total_mb", "unsure", "max_distance"}
    # msgspec needs no tag where there is but one kind, as schema 1 has of steps in the graph.
    # Members that nothing refers to, and names of the user's own, may go too.
    own = {"card.md", "tb", "cam", "onnx", "scheme", "image", "unknown"}
    assert optional == steps | limits | told | own | {"step", "label", "unit"}


@settings(max_examples=150, deadline=None, database=None)
@given(data=st.data())
def test_any_other_value_anywhere_gives_a_manifest_or_a_typed_error(data: st.DataObject) -> None:
    spoilt = valid()
    found = [path for path, _ in places(spoilt) if path]
    path = data.draw(st.sampled_from(found))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    at(spoilt, path[:-1])[path[-1]] = data.draw(anything)
    try:
        parse(spoilt)
    except EdgeDxError as error:
        assert "manifest.json" in str(error)  # noqa: PT017 (no error is right too)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff", b"[" * 200_000, b'{"a":' * 200_000,
     b'{"schema_version": "1"}', b'{"schema_version": 1.5}', b'{"schema_version": 0}',
     b'{"schema_version": -1}', b'{"schema_version": NaN}', b'{"schema_version": 1e999}',
     b'{"schema_version": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        contract.parse(raw)
    assert caught.value.member == "manifest.json"
    assert ";" in str(caught.value)


def test_a_newer_schema_is_told_from_a_broken_one() -> None:
    newer = {**valid(), "schema_version": contract.SCHEMA_VERSION + 1, "unheard": "of"}
    with pytest.raises(SchemaTooNew, match=r"manifest\.json: schema 2 is newer.*update edge_dx"):
        parse(newer)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(value: str) -> None:
    raw = json.dumps(valid()).replace('"threshold": 0.5', f'"threshold": {value}')
    assert value in raw
    with pytest.raises(ManifestError):
        contract.parse(raw.encode())


# --- contradictions ---


def _variant(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["variants"][0]
    return found


def _point(manifest: Manifest) -> Manifest:
    found: Manifest = _variant(manifest)["operating_points"][0]
    return found


UNSURE = {"share": 0.02, "slope": 1.0, "intercept": 0.0, "calibrated": [0.4, 0.6]}
CONTRADICTIONS: dict[str, tuple[Callable[[Manifest], Any], str]] = {
    "two outputs": (lambda m: m["outputs"].append(m["outputs"][0]), "two outputs have the same"),
    "two variants": (lambda m: m["variants"].append(m["variants"][0]), "two variants have"),
    "two golden": (lambda m: m["golden"].append(m["golden"][0]), "two golden cases have"),
    "two labels": (
        lambda m: m["outputs"][0].update(labels=["finding", "finding"]),
        "two labels of the same name",
    ),
    "two images": (
        lambda m: m["inputs"].append({**m["inputs"][0], "name": "other"}),
        "at most one image input",
    ),
    "two inputs": (lambda m: m["inputs"].append(m["inputs"][1]), "two inputs have the same name"),
    "input and output": (
        lambda m: m["inputs"][1].update(name="logits"),
        "an input and an output have the same name",
    ),
    "two facts": (
        lambda m: m["inputs"][1]["fields"].append(m["inputs"][1]["fields"][0]),
        "'facts' has two fields of the same name",
    ),
    "two values": (
        lambda m: m["outputs"][4]["fields"].append(m["outputs"][4]["fields"][0]),
        "'measures' has two fields of the same name",
    ),
    "no value fits": (
        lambda m: m["inputs"][1]["fields"][0].update(low=121),
        "'age' of 'facts' accepts nothing",
    ),
    "map without image": (lambda m: m["inputs"].pop(0), "is a map, and the model takes no image"),
    "drawn again": (lambda m: m["outputs"][5].update(of="facts"), "which is no array input"),
    "wire of nothing": (
        lambda m: _variant(m)["wires"].update(x=_variant(m)["wires"]["image"]),
        "wires for no tensor",
    ),
    "nothing to normalise": (
        lambda m: m["inputs"][0].update(in_graph=[]),
        "nothing is left to normalise",
    ),
    "identity of nothing": (
        lambda m: _variant(m)["identity_tolerance"].update(logits=0.1),
        "logits is no heat map",
    ),
    "no probability": (
        lambda m: _point(m).update(threshold=1.1, band=[1.0, 1.2]),
        "that is no probability",
    ),
    "band beyond": (lambda m: _point(m).update(band=[-0.1, 0.6]), "that is no probability"),
    "map of nothing": (lambda m: m["outputs"][1].update(of="nothing"), "belongs to 'nothing'"),
    "map of a map": (lambda m: m["outputs"][1].update(of="cam"), "which gives no scores"),
    "biases": (lambda m: m["outputs"][1].update(bias=[0, 0]), "2 biases"),
    "colour scale": (lambda m: m["outputs"][1].update(scale=[1, 1]), "empty colour scale"),
    "template": (lambda m: m["eligibility"]["likeness"].update(side=5), "template has 16 values"),
    "file": (lambda m: _variant(m).update(file="gone.onnx"), "'gone.onnx', which is not listed"),
    "tolerance": (lambda m: _variant(m)["tolerance"].pop("cam"), "tolerance for each output"),
    "tolerance of nothing": (
        lambda m: _variant(m)["tolerance"].update(x=0.1),
        "tolerance for each output",
    ),
    "point's output": (lambda m: _point(m).update(output="cam"), "which does not exist"),
    "point's label": (lambda m: _point(m).update(label="other"), "which does not exist"),
    "below its band": (lambda m: _point(m).update(band=[0.6, 0.7]), "lies outside its band"),
    "above its band": (lambda m: _point(m).update(band=[0.3, 0.4]), "lies outside its band"),
    "band upside down": (lambda m: _point(m).update(band=[0.6, 0.4]), "lies outside its band"),
    "unsure elsewhere": (
        lambda m: _point(m).update(unsure=UNSURE | {"band": [0.6, 0.7]}),
        "lies outside the band in which it is unsure",
    ),
    "exposure": (
        lambda m: m["eligibility"].update(quality={"exposure": [0.6, 0.5]}),
        "exposure accept nothing",
    ),
    "a distance of nothing": (
        lambda m: _variant(m).update(max_distance=1.5),
        "a max_distance and nothing to ask it of",
    ),
    "familiar with scores": (
        lambda m: m["eligibility"].update(familiarity={"output": "logits"}),
        "'logits', which gives no features",
    ),
    "golden status": (lambda m: m["golden"][0]["status"].clear(), "a status for each variant"),
    "golden of nothing": (
        lambda m: m["golden"][0]["status"].update(x="positive"),
        "a status for each variant",
    ),
    "golden file": (lambda m: m["members"].pop("golden.npz"), "golden.npz is not among"),
}


@pytest.mark.parametrize("which", CONTRADICTIONS)
def test_a_contradiction_is_named(which: str) -> None:
    spoil, told = CONTRADICTIONS[which]
    manifest = valid()
    spoil(manifest)
    with pytest.raises(ManifestError, match=told) as caught:
        parse(manifest)
    assert str(caught.value).startswith("manifest.json: ")
    assert str(caught.value).endswith("export the bundle again")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "../x"),
        (("name",), "Chest"),
        (("version",), "1.0"),
        (("task",), "triage"),
        (("inputs",), []),
        (("inputs", 0, "shape"), [1, 0, 32]),
        (("inputs", 0, "dtype"), "float16"),
        (("inputs", 0, "prepare", 0, "step"), "eval"),
        (("inputs", 0, "in_graph"), [{"step": "colour", "to": "grey"}]),
        (("outputs", 0, "labels"), []),
        (("outputs", 0, "kind"), "pickle"),
        (("variants",), []),
        (("variants", 0, "format"), "pt"),
        (("variants", 0, "engines"), []),
        (("variants", 0, "runs_on"), ["sse9"]),
        (("variants", 0, "wires", "image", "scale"), 0),
        (("variants", 0, "precision"), "int4"),
        (("variants", 0, "operating_points", 0, "threshold"), True),
        (("members", "card.md", "sha256"), "A" * 64),
        (("members", "card.md", "bytes"), -1),
        (("golden", 0, "status", "onnx-fp32"), "failed"),
        (("title",), "x" * 20_001),
    ],
)
def test_a_value_out_of_its_range_is_refused(path: tuple[Any, ...], value: Any) -> None:
    manifest = valid()
    at(manifest, path[:-1])[path[-1]] = value
    with pytest.raises(ManifestError, match=r"manifest\.json: .*compare with docs/bundle-format"):
        parse(manifest)


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_a_variant_without_an_operating_point_is_refused(activation: str) -> None:
    manifest = valid()
    manifest["outputs"][0]["activation"] = activation
    _variant(manifest)["operating_points"] = []
    with pytest.raises(MissingOperatingPoint, match=r"'onnx-fp32' has no operating.*edge-dx-expo"):
        parse(manifest)


@pytest.mark.parametrize(("index", "name"), [(3, "lung"), (5, "again")])
def test_masks_and_reconstructions_need_operating_points_too(index: int, name: str) -> None:
    manifest = valid()
    points = _variant(manifest)["operating_points"]
    _variant(manifest)["operating_points"] = [p for p in points if p["output"] != name]
    with pytest.raises(MissingOperatingPoint, match=f"no operating point for '{name}'"):
        parse(manifest)
    if name == "lung":  # the likeliest label of each pixel needs no threshold
        manifest["outputs"][index].update(labels=["background", "left"], activation="softmax")
        assert parse(manifest).outputs[index].name == name


def test_each_label_of_a_mask_needs_its_own_threshold() -> None:
    manifest = valid()
    manifest["outputs"][3]["labels"] = ["left", "right"]
    with pytest.raises(MissingOperatingPoint, match="no operating point for 'lung'"):
        parse(manifest)


def test_the_likeliest_label_needs_no_threshold() -> None:
    manifest = valid()
    manifest["outputs"][0]["decision"] = "top1"
    _variant(manifest)["operating_points"].pop(0)
    assert parse(manifest).outputs[0].name == "logits"


def test_every_variant_needs_operating_points_of_its_own() -> None:
    manifest = valid()
    second = {**_variant(manifest), "name": "onnx-int8", "operating_points": []}
    manifest["variants"].append(second)
    manifest["golden"][0]["status"]["onnx-int8"] = "positive"
    with pytest.raises(MissingOperatingPoint, match="'onnx-int8' has no operating point"):
        parse(manifest)


# --- bytes ---


def test_a_manifest_has_one_spelling() -> None:
    parsed = parse(valid())
    raw = contract.encode(parsed)
    assert contract.parse(raw) == parsed
    assert contract.encode(contract.parse(raw)) == raw
    assert raw.endswith(b"}\n")
    # The last key is there in bundles of signals alone, so that no other's bytes changed with it.
    *names, last = [f.name for f in msgspec.structs.fields(contract.Manifest)]
    assert (list(json.loads(raw)), last) == (names, "stream")


def test_an_unknown_variant_is_answered_with_those_there_are() -> None:
    with pytest.raises(ManifestError, match="no variant 'onnx-int4'; it has: onnx-fp32"):
        parse(valid()).variant("onnx-int4")
