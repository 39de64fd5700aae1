"""Does the exported file compute what the module computes?

torch's exporter can be silently wrong (a network exported in 2025 scored zero on its test set
without an error, pytorch#169178), so the file is run through the device's runtime on inputs and
batch sizes that the exporter never saw.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_dx.errors import EngineError, TensorMismatch
from edge_dx.manifest import AnyInput, AnyOutput, ImageInput, VectorInput, WaveformInput
from export.errors import ParityFailed
from export.network import FromInputs
from export.onnx_from_torch import EXAMPLE_BATCH, torch_outputs
from export.running import Made, open_made

BATCHES = (1, 3, 5)
"""None of them is the exporter's own example batch."""

assert EXAMPLE_BATCH not in BATCHES


def check_parity(
    network: FromInputs,
    made: Made,
    inputs: tuple[AnyInput, ...],
    outputs: tuple[AnyOutput, ...],
    limit: float,
) -> dict[str, float]:
    """Compares an fp32 file with the module it came from.

    Args:
        network: the module behind its normalisation.
        made: the file.
        inputs: the graph's inputs.
        outputs: the graph's outputs.
        limit: allowed absolute difference, relative to the output's largest value where that
            is above 1.

    Returns:
        Output name → largest absolute difference found.

    Raises:
        ParityFailed: over the limit, not finite, or the file does not run on these inputs.
    """
    names = tuple(output.name for output in outputs)
    worst = dict.fromkeys(names, 0.0)
    try:
        backend = open_made(made, inputs, outputs)
    except (EngineError, TensorMismatch) as error:
        raise ParityFailed(f"the exported {made.name} file does not load: {error}") from error
    for batch in BATCHES:
        feeds = trial_feeds(batch, inputs)
        expected = torch_outputs(network, names, feeds, batch)
        try:
            if made.batch == "any":
                found = backend.run(feeds)
            else:
                singles = [
                    backend.run({key: array[k : k + 1] for key, array in feeds.items()})
                    for k in range(batch)
                ]
                found = {name: np.concatenate([one[name] for one in singles]) for name in names}
        except (EngineError, TensorMismatch) as error:
            raise ParityFailed(
                f"the exported {made.name} file does not run with batch size {batch}, only the "
                f"one of the export was tried by torch ({error})"
            ) from error
        for name in names:
            if found[name].shape != expected[name].shape:
                raise ParityFailed(
                    f"output {name} has shape {found[name].shape} for batch size {batch}, torch "
                    f"gives {expected[name].shape}: the batch dimension was frozen in the export"
                )
            error_here = np.abs(found[name].astype(np.float64) - expected[name]).max()
            allowed = limit * max(1.0, float(np.abs(expected[name]).max()))
            if not error_here <= allowed:
                raise ParityFailed(
                    f"output {name} of {made.name} is off by {error_here:.3g} at batch size "
                    f"{batch} (allowed {allowed:.3g}): the exported graph computes something else "
                    "than the module. Rewrite the operation that the exporter gets wrong, or raise "
                    "parity_limit if the module itself is that ill-conditioned"
                )
            worst[name] = max(worst[name], float(error_here))
    backend.close()
    return worst


def trial_feeds(batch: int, inputs: tuple[AnyInput, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs that no data set gave: pictures for images, noise and extremes for the rest."""
    rng = np.random.default_rng(2000 + batch)
    feeds: dict[str, np.ndarray[Any, Any]] = {}
    for item in inputs:
        assert not isinstance(item, WaveformInput), "signals go another way"
        if isinstance(item, ImageInput):
            feeds[item.name] = trial_images(batch, item.shape)
        elif isinstance(item, VectorInput):
            low, high, mean, std = (
                np.array([getattr(field, key) for field in item.fields])
                for key in ("low", "high", "mean", "std")
            )
            facts = low + (high - low) * rng.random((batch, len(item.fields)))
            feeds[item.name] = ((facts - mean) / std).astype(np.float32)
        elif item.dtype == "float32":
            feeds[item.name] = rng.normal(size=(batch, *item.shape)).astype(np.float32)
        else:
            ends = np.iinfo(item.dtype)
            values = rng.integers(ends.min, ends.max + 1, (batch, *item.shape))
            feeds[item.name] = values.astype(item.dtype)
    return feeds


def trial_images(batch: int, shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Pictures `(batch, C, H, W)` uint8: noise, both extremes, a ramp, and smooth blobs."""
    channels, height, width = shape
    rng = np.random.default_rng(1000 + batch)
    coarse = rng.integers(0, 256, (channels, height // 16 + 2, width // 16 + 2))
    smooth = np.kron(coarse, np.ones((1, 16, 16)))[:, :height, :width]
    kinds = [
        rng.integers(0, 256, shape),
        smooth,
        np.full(shape, 255),
        np.zeros(shape),
        np.broadcast_to(np.linspace(0, 255, width), shape),
    ]
    return np.stack([kinds[(i + batch) % len(kinds)] for i in range(batch)]).astype(np.uint8)
