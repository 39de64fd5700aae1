"""The benchmark's own models behind its own protocol take the bytes of its own data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_dx
from edge_dx.trust import TrustStore
from firmware_bridge.mlperf_tiny.serve import OwnModel
from tests.packing import test_mlperf_tiny as packing

packed = packing.packed


@pytest.mark.skipif(not packing.MODELS.is_dir(), reason=f"no models in {packing.MODELS}")
@pytest.mark.parametrize(
    ("bundle", "file", "shape"),
    [
        ("keyword_spotting", "kws_ref_model.tflite", (49, 10, 1)),
        ("anomaly_detection", "ad01_int8.tflite", (640,)),
        ("visual_wake_words", "vww_96_int8.tflite", (96, 96, 3)),
    ],
)
def test_the_benchmarks_models_take_the_bytes_of_its_data_sets(
    packed: Callable[[str], Path], trust: TrustStore, bundle: str, file: str,
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    """Levels of the integer file, or 8-bit pictures with channels last; and arrays as float32."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(
        model_path=str(packing.MODELS / file)
    )
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    levels = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    interpreter.set_tensor(taken["index"], levels[None])
    interpreter.invoke()
    scale, zero = given["quantization"]
    wanted = (interpreter.get_tensor(given["index"])[0].astype(np.float64) - zero) * scale
    scale, zero = taken["quantization"]
    real = (levels.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    if bundle == "anomaly_detection":
        wanted = np.array([np.square(wanted - real).mean()])
    with edge_dx.load(packed(bundle), "tflite-int8", trust=trust) as model:
        own = OwnModel(model)
        if bundle == "visual_wake_words":
            sent = [(levels.astype(np.int16) + 128).astype(np.uint8).tobytes()]
        else:
            sent = [levels.tobytes(), real.astype("<f4").tobytes()]
        for data in sent:
            own.load(data)
            own.infer()
            assert own.results() == pytest.approx(wanted.tolist(), rel=1e-6, abs=1e-6)
        with pytest.raises(ValueError, match="takes"):
            own.load(data + b"\0")
