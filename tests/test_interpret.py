"""Raw outputs to findings."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edge_dx import interpret
from edge_dx.manifest import Manifest, OperatingPoint, Reconstruction, Scores, Unsure, Variant
from edge_dx.result import Finding, Reason, Status
from tests import tiny


def point(low: float = 0.4, threshold: float = 0.5, high: float = 0.6) -> OperatingPoint:
    raw = {**tiny.variant()["operating_points"][0], "threshold": threshold, "band": [low, high]}
    return msgspec.convert(raw, OperatingPoint)


def scores(activation: Any, labels: int = 3) -> Scores:
    return Scores(name="logits", labels=tuple("abcdef"[:labels]), activation=activation)


def test_the_logistic_function_at_any_size() -> None:
    values = np.array([[0, 1, -1, 20, -20, 1000, -1000, 3e38, -3e38]], np.float32)
    out = interpret.probabilities(scores("sigmoid"), values)
    with np.errstate(over="ignore"):
        wanted = 1 / (1 + np.exp(-values.astype(np.float64)))
    assert out == pytest.approx(wanted, rel=1e-12, abs=1e-300)
    assert out[0, 0] == 0.5
    assert ((out >= 0) & (out <= 1)).all()
    assert out == pytest.approx(1 - interpret.probabilities(scores("sigmoid"), -values), abs=1e-15)


def test_softmax_sums_to_one_at_any_size() -> None:
    values = np.array([[1, 2, 3], [1000, 1000, 1000], [-3e38, 0, 3e38]], np.float32)
    out = interpret.probabilities(scores("softmax"), values)
    assert out.sum(axis=1) == pytest.approx(1)
    assert out[0] == pytest.approx(np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum())
    assert out[1] == pytest.approx(1 / 3)
    assert out[2].tolist() == [0, 0, 1]


def test_scores_without_activation_stay_as_they_are() -> None:
    values = np.array([[0.25, 0.5]], np.float32)
    assert interpret.probabilities(scores("none", 2), values).tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("score", "status"),
    [(0.0, "negative"), (0.4, "negative"), (0.4000001, "indeterminate"), (0.5, "indeterminate"),
     (0.5999999, "indeterminate"), (0.6, "positive"), (1.0, "positive")],
)  # fmt: skip
def test_inside_the_band_nothing_is_decided(score: float, status: str) -> None:
    assert interpret.status_of(score, point()).value == status


def test_the_reason_says_which_of_the_two_bands_a_score_lies_in() -> None:
    unsure = Unsure(
        band=(0.3, 0.75), share=0.02, slope=1.2, intercept=-0.4, calibrated=(0.21, 0.66)
    )
    wide = msgspec.structs.replace(point(), unsure=unsure)
    for score, told in ((0.5, "numerical error"), (0.35, "a person decides"), (0.3, None)):
        for each, expected in ((wide, told), (point(), told if score == 0.5 else None)):
            found = interpret.undecided(score, each)
            assert (interpret.status_of(score, each) is Status.INDETERMINATE) == (found is not None)
            assert (found is None) == (expected is None)
            if found is not None:
                assert found.code is Reason.NEAR_THRESHOLD
                assert str(expected) in found.detail
    reason = interpret.undecided(0.7, wide)
    assert reason is not None
    assert "2.0% of the validation films" in reason.detail
    assert "between 21% and 66% of such films had the finding" in reason.detail


def test_a_band_of_no_width_decides_everything() -> None:
    sharp = point(0.5, 0.5, 0.5)
    below = np.nextafter(0.5, 0)
    assert interpret.status_of(0.5, sharp) is Status.POSITIVE
    assert interpret.status_of(float(below), sharp) is Status.NEGATIVE


def test_the_gravest_finding_leads_and_among_equals_the_furthest_above() -> None:
    def found(label: str, score: float) -> Finding:
        return Finding(label, score, interpret.status_of(score, point()), point())

    def leader(*all_of_them: Finding) -> str:
        return interpret.leading(all_of_them).label

    assert leader(found("a", 0.1), found("b", 0.7), found("c", 0.55)) == "b"
    assert leader(found("a", 0.1), found("c", 0.55)) == "c"
    assert leader(found("a", 0.7), found("b", 0.9), found("c", 0.8)) == "b"
    assert leader(found("a", 0.1), found("b", 0.3)) == "b"


# --- integrity ---


@pytest.fixture
def manifest() -> Manifest:
    return tiny.parts().built()


@pytest.fixture
def outputs() -> dict[str, np.ndarray[Any, Any]]:
    """Two samples that add up."""
    cam = np.random.default_rng(0).normal(0, 1, (2, 1, 8, 8)).astype(np.float32)
    logits = cam.mean(axis=(2, 3)) - np.float32(2.1)
    return {"logits": logits, "cam": cam, "features": np.ones((2, 4), np.float32)}


def test_outputs_that_add_up_have_no_problem(manifest: Manifest, outputs: dict[str, Any]) -> None:
    for sample in (0, 1):
        assert interpret.integrity_problem(manifest, manifest.variants[0], outputs, sample) is None


@pytest.mark.parametrize("off", [0.0009, 0.0011])
def test_the_identity_holds_within_its_tolerance(
    manifest: Manifest, outputs: dict[str, Any], off: float
) -> None:
    outputs["logits"][1] += np.float32(off)
    why = interpret.integrity_problem(manifest, manifest.variants[0], outputs, 1)
    assert (why is None) == (off < 0.001)
    if why:
        assert why.code is Reason.MODEL_INTEGRITY
        assert "cam does not add up to logits: off by 0.0011, allowed 0.001" in why.detail
    assert interpret.integrity_problem(manifest, manifest.variants[0], outputs, 0) is None


@pytest.mark.parametrize("name", ["logits", "cam", "features"])
@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_what_is_not_finite_is_noticed_in_every_output(
    manifest: Manifest, outputs: dict[str, Any], name: str, values: list[float]
) -> None:
    flat = outputs[name][1].reshape(-1)
    flat[: len(values)] = values[: len(flat)]
    why = interpret.integrity_problem(manifest, manifest.variants[0], outputs, 1)
    assert why
    assert why.detail == f"output {name} is not finite"
    assert interpret.integrity_problem(manifest, manifest.variants[0], outputs, 0) is None


def test_findings_read_the_sample_that_is_asked_for(
    manifest: Manifest, outputs: dict[str, Any]
) -> None:
    outputs["logits"][:] = [[-3.0], [3.0]]
    variant = manifest.variants[0]
    statuses = [interpret.findings(manifest, variant, outputs, i, {})[0].status for i in (0, 1)]
    assert statuses == [Status.NEGATIVE, Status.POSITIVE]


# --- quantized scores ---


def quantized(dtype: Any, scale: float | None, zero_point: int, tolerance: float = 0.02) -> Variant:
    wire = {"tensor": "out", "dtype": dtype, "scale": scale, "zero_point": zero_point}
    raw = {**tiny.variant(), "wires": {"logits": wire}, "identity_tolerance": {"cam": tolerance}}
    return msgspec.convert(raw, Variant)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "ends"),
    [("int8", 0.5, 10, (-69.0, 58.5)), ("uint8", 0.25, 128, (-32.0, 31.75)),
     ("int8", 1 / 256, -128, (0.0, 255 / 256)), ("float32", None, 0, None)],
)  # fmt: skip
def test_the_ends_of_what_a_quantized_tensor_holds(
    dtype: Any, scale: float | None, zero_point: int, ends: tuple[float, float] | None
) -> None:
    wire = quantized(dtype, scale, zero_point).wires["logits"]
    assert interpret.limits(wire) == (ends if ends is None else pytest.approx(ends))


@pytest.mark.parametrize(("mean", "given"), [(50.0, 12.7), (-50.0, -12.8), (3.0, 3.0)])
def test_a_saturated_score_adds_up_to_where_its_levels_end(
    manifest: Manifest, mean: float, given: float
) -> None:
    cam = np.full((1, 1, 8, 8), mean + 2.1, np.float32)
    outputs = {"logits": np.array([[given]], np.float32), "cam": cam}
    saturating = quantized("int8", 0.1, 0)
    assert interpret.integrity_problem(manifest, saturating, outputs, 0) is None
    plain = quantized("float32", None, 0)
    why = interpret.integrity_problem(manifest, plain, outputs, 0)
    assert (why is None) == (abs(mean) < 12)
    outputs["logits"] -= np.float32(np.sign(given) * 0.1)  # one level short of the end is no end
    why = interpret.integrity_problem(manifest, saturating, outputs, 0)
    assert why
    assert "off by 0.1, allowed 0.02" in why.detail


@pytest.mark.parametrize("tolerance", [0.0005, 0.05])
def test_the_variant_s_own_tolerance_goes_before_the_map_s(
    manifest: Manifest, outputs: dict[str, Any], tolerance: float
) -> None:
    outputs["logits"][0] += np.float32(0.0008)  # the map's own tolerance is 0.001
    variant = quantized("float32", None, 0, tolerance)
    why = interpret.integrity_problem(manifest, variant, outputs, 0)
    assert (why is None) == (tolerance > 0.0008)


def test_a_reconstruction_error_is_summed_in_double_precision() -> None:
    output = Reconstruction(name="again", of="x")
    given = np.full((1, 1000), 4097, np.float32)
    drawn = np.full((1, 1000), 4096, np.float32)
    drawn[0, 0] = -4096
    found = interpret.reconstruction_error(output, {"x": given}, drawn)
    assert found == (8193.0**2 + 999) / 1000
