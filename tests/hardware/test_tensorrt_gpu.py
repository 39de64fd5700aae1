"""TensorRT on a real GPU: agreement with the processor, and the cache. Skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edge_dx
from edge_dx.backends import open_backend
from edge_dx.backends.tensorrt import problem
from edge_dx.bundle import open_bundle
from edge_dx.phantom import draw

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.skipif(problem() is not None, reason=f"no GPU with TensorRT: {problem()}"),
]
ZOO = Path(edge_dx.__file__).parent / "zoo" / "chest-tb.edx"


@pytest.mark.parametrize("name", ["tensorrt-fp16", "tensorrt-int8"])
def test_the_gpu_agrees_with_the_processor_within_the_tolerance(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    bundle = open_bundle(ZOO)
    variant = bundle.manifest.variant(name)
    payload = bundle.members[variant.file]
    film = draw(7, 256).pixels[None, None]
    feeds = {"image": np.ascontiguousarray(film.astype(np.uint8))}
    wanted = open_backend("onnx", bundle.manifest, variant, payload).run(feeds)
    on_gpu = open_backend("tensorrt", bundle.manifest, variant, payload)
    found = on_gpu.run(feeds)
    for output, allowed in variant.tolerance.items():
        assert np.abs(found[output] - wanted[output]).max() <= allowed
    again = open_backend("tensorrt", bundle.manifest, variant, payload)
    assert again.built == on_gpu.built  # kept, not built again
