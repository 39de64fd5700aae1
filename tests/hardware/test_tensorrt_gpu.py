"""TensorRT on a real GPU: agreement with the processor, and the cache. Skipped without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx.backends import open_backend
from edge_dx.backends.tensorrt import cache, problem
from edge_dx.backends.tensorrt.backend import MAX_BATCH
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.phantom import draw

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.skipif(problem() is not None, reason=f"no GPU with TensorRT: {problem()}"),
]
ZOO = Path(edge_dx.__file__).parent / "zoo" / "chest-tb.edx"
NAMES = ("tensorrt-fp16", "tensorrt-int8")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(ZOO)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def films(n: int) -> dict[str, Any]:
    drawn = [draw(seed, 256).pixels[None] for seed in range(n)]
    return {"image": np.ascontiguousarray(np.stack(drawn).astype(np.uint8))}


def on(engine: str, bundle: Bundle, name: str) -> Any:
    variant = bundle.manifest.variant(name)
    return open_backend(engine, bundle.manifest, variant, bundle.members[variant.file])


@pytest.fixture
def both(bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    pair = on("onnx", bundle, request.param), on("tensorrt", bundle, request.param)
    yield pair
    for backend in pair:
        backend.close()


@pytest.mark.parametrize(("name", "both"), [(n, n) for n in NAMES], indirect=["both"])
def test_the_gpu_agrees_with_the_processor_within_the_tolerance(
    name: str, both: tuple[Any, Any], bundle: Bundle
) -> None:
    for n in (1, 3, MAX_BATCH, MAX_BATCH + 3):
        wanted, found = (backend.run(films(n)) for backend in both)
        for output, allowed in bundle.manifest.variant(name).tolerance.items():
            assert np.abs(found[output] - wanted[output]).max() <= allowed, (output, n)


@pytest.mark.parametrize("both", NAMES, indirect=True)
def test_the_same_engine_gives_the_same_numbers(both: tuple[Any, Any]) -> None:
    first = both[1].run(films(2))
    both[1].run({"image": 255 - films(2)["image"]})
    again = both[1].run(films(2))
    for name, value in first.items():
        assert np.array_equal(value, again[name])


def test_an_engine_is_kept_and_a_damaged_one_is_built_again(bundle: Bundle) -> None:
    first = on("tensorrt", bundle, NAMES[0])
    first.close()
    (sidecar,) = cache.here().glob("*.json")
    told = json.loads(sidecar.read_bytes())
    assert told["engine_sha256"] == first.built
    kept = on("tensorrt", bundle, NAMES[0])
    assert kept.built == first.built
    kept.close()
    plan = sidecar.with_suffix(".plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    again = on("tensorrt", bundle, NAMES[0])
    again.run(films(1))
    again.close()
    assert json.loads(sidecar.read_bytes())["engine_sha256"] == again.built
