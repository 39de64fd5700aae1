"""A variant's networks opened as the device opens them, and torch in the same clothes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from edge_dx.backends import Backend, open_backend
from edge_dx.ecg.networks import Network
from edge_dx.manifest import Manifest, as_model
from edge_dx.manifest.stream import NetworkName
from edge_dx.tensors import Array, TensorSpec
from export.streams.files import Files
from export.streams.modules import Networks
from export.streams.steps import Step


class TorchBackend:
    """The module itself behind the backend protocol: the reference of all comparisons."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.inputs, self.outputs = (
            tuple(TensorSpec(t.name, "float32", (None, *t.shape)) for t in side)
            for side in (step.takes, step.gives)
        )
        self.built: str | None = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One call of the module."""
        given = [torch.from_numpy(np.array(feeds[t.name])) for t in self._step.takes]
        with torch.inference_mode():
            found = self._step(*given)
        return {t.name: f.numpy().copy() for t, f in zip(self._step.gives, found, strict=True)}

    def close(self) -> None:
        """Nothing to close."""


def torch_networks(manifest: Manifest, networks: Networks) -> dict[str, Network]:
    """The modules, as a stream asks them."""
    steps = networks.steps("onnx")
    return {name: Network(manifest, name, TorchBackend(step)) for name, step in steps.items()}


def open_backends(manifest: Manifest, files: Files) -> dict[NetworkName, Backend]:
    """A variant's files with one thread, as the device opens them.

    Raises:
        EngineError: an engine refuses a file.
        TensorMismatch: a file has other tensors than the manifest says.
    """
    return {name: _opened(manifest, files, name) for name in files.networks}


def open_network(manifest: Manifest, files: Files, name: NetworkName) -> Network:
    """One of a variant's files, as a stream asks it; see `open_backends`."""
    backend = _opened(manifest, files, name)
    return Network(manifest, name, backend, one_by_one=files.batch_one)


def open_networks(manifest: Manifest, files: Files) -> dict[str, Network]:
    """All of them."""
    return {name: open_network(manifest, files, name) for name in files.networks}


def _opened(manifest: Manifest, files: Files, name: NetworkName) -> Backend:
    seen, variant = as_model(manifest, files.entry, name)
    return open_backend(files.format, seen, variant, files.networks[name].payload, 1)
