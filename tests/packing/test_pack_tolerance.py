"""How far a device may lie from the golden outputs of a packed file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_dx import proof
from edge_dx.bundle import open_bundle
from edge_dx.trust import TrustStore
from tests import tiny
from tests.packing import described
from tests.packing.described import TOML, packed, refused

pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")
pytest.importorskip("onnx", reason="the package onnx is not installed")

from export.packing import tolerance

INT8 = described.TINY.replace("fp32", "int8")


class _Off:
    """The file as it is written, moved by a share of each output."""

    def __init__(self, honest: Any, share: float) -> None:
        self._honest, self._share = honest, share

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        found = self._honest.run(feeds)
        return {name: value * np.float32(1 + self._share) for name, value in found.items()}

    def close(self) -> None:
        self._honest.close()


def found(path: Path, trust: TrustStore) -> tuple[dict[str, float], dict[str, float]]:
    """The tolerances, and the range of each golden output."""
    bundle = open_bundle(path, trust=trust)
    (variant,) = bundle.manifest.variants
    arrays = proof.golden_arrays(bundle)
    ranges = {}
    for name in variant.tolerance:
        values = arrays[f"{variant.name}/texture/{name}"]
        ranges[name] = max(float(np.ptp(values)), float(np.abs(values).max()))
    return variant.tolerance, ranges


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-3), ("fp16", 1e-2), ("int8", 5e-3)])
def test_by_rule_it_is_a_share_of_the_range(
    tmp_path: Path, trust: TrustStore, precision: str, share: float
) -> None:
    text = described.TINY.replace("fp32", precision)
    allowed, ranges = found(packed(tmp_path, text), trust)
    for name, value in allowed.items():
        assert value == pytest.approx(share * ranges[name], rel=0.06)  # two digits


@pytest.mark.parametrize(("off", "share"), [(0.02, 0.08), (0.05, 0.1)])
def test_of_int8_it_is_what_rounding_moves(
    tmp_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch, off: float, share: float
) -> None:
    honest = tolerance.as_written
    monkeypatch.setattr(tolerance, "as_written", lambda *a: _Off(honest(*a), off))
    text = INT8.replace("threshold = 0.5", "threshold = 0.999")  # far from where the case scores
    allowed, ranges = found(packed(tmp_path, text), trust)
    assert allowed["features"] == pytest.approx(share * ranges["features"], rel=0.06)


def test_what_is_no_rounding_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tolerance.as_written
    monkeypatch.setattr(tolerance, "as_written", lambda *a: _Off(honest(*a), 0.2))
    refused(tmp_path, "variant onnx-int8: this processor gives .* pack it on another machine", INT8)


def test_the_maker_s_own_goes_before_the_rule(tmp_path: Path, trust: TrustStore) -> None:
    text = described.TINY.replace('precision = "fp32"', 'precision = "fp32"\ntolerance.cam = 0.125')
    assert found(packed(tmp_path, text), trust)[0]["cam"] == 0.125


def test_as_written_is_the_same_arithmetic(tmp_path: Path, trust: TrustStore) -> None:
    bundle = open_bundle(packed(tmp_path), trust=trust)
    (variant,) = bundle.manifest.variants
    plain = tolerance.as_written(bundle.manifest, variant, bundle.members[variant.file])
    image = tiny.film(1, tiny.SIDE)[None, None]
    for name, values in tiny.computed(image).items():
        assert np.abs(plain.run({"image": image})[name] - values).max() < 1e-4
    plain.close()
