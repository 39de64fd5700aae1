"""The graphs of a stream bundle, each seen as a model of its own, so that any engine opens it."""

from __future__ import annotations

import msgspec
from msgspec import UnsetType

from edge_dx.errors import ManifestError
from edge_dx.manifest.contract import Manifest
from edge_dx.manifest.stream import FRAME, BeatNetwork, Beats, Episodes, PeakNetwork
from edge_dx.manifest.tensors import ArrayInput
from edge_dx.manifest.variants import Variant
from edge_dx.manifest.words import Name, Part, Positive


class Tensor(Part, frozen=True, kw_only=True):
    """A float32 tensor of a network, by name and shape without the batch dimension."""

    name: Name
    shape: tuple[Positive, ...]


def tensors_of(manifest: Manifest, name: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What a network takes and gives, what it remembers behind all else.

    Raises:
        ManifestError: the bundle has no such network.
    """
    stream = manifest.stream
    network = None if isinstance(stream, UnsetType) else stream.network(name)
    if network is None:
        raise ManifestError(f"bundle {manifest.name} has no network {name!r}", "manifest.json")
    takes: list[Tensor] = []
    if isinstance(network, PeakNetwork):
        takes.append(Tensor(name=network.signal, shape=(1, network.hop_rows)))
        frames = network.hop_rows // network.stride_rows
        gives = [Tensor(name=network.frames, shape=(frames, len(FRAME)))]
    else:
        window, features = network.window, network.features
        if window is not None:
            shape = (len(window.channels), window.samples)
            takes.append(Tensor(name=window.tensor, shape=shape))
        if features is not None:
            takes.append(Tensor(name=features.tensor, shape=(len(features.names),)))
        answered = network.classes if isinstance(network, BeatNetwork) else network.rhythm
        kind = Beats if isinstance(network, BeatNetwork) else Episodes
        labels = sum(len(o.labels) for o in manifest.outputs if isinstance(o, kind))
        gives = [Tensor(name=answered, shape=(labels,))]
    takes += [Tensor(name=pair.input, shape=pair.shape) for pair in network.states]
    gives += [Tensor(name=pair.output, shape=pair.shape) for pair in network.states]
    return tuple(takes), tuple(gives)


def answers_of(manifest: Manifest) -> dict[str, str]:
    """Network to the tensor that it answers with; empty where the bundle is no stream."""
    if isinstance(manifest.stream, UnsetType):
        return {}
    return {name: tensors_of(manifest, name)[1][0].name for name in manifest.stream.names}


def file_of(variant: Variant, name: str) -> str:
    """The member with a network's file.

    Raises:
        ManifestError: the variant has no such file.
    """
    if name == "detector":
        return variant.file
    found = {} if isinstance(variant.networks, UnsetType) else variant.networks
    for network, told in found.items():
        if network == name:
            return told.file
    raise ManifestError(f"variant {variant.name} has no file for {name!r}", "manifest.json")


def as_model(manifest: Manifest, variant: Variant, name: str) -> tuple[Manifest, Variant]:
    """The contract of one network alone: arrays in, arrays out; for engines, never written.

    Raises:
        ManifestError: the bundle has no such network.
    """
    takes, gives = tensors_of(manifest, name)
    seen = msgspec.structs.replace(
        manifest,
        inputs=tuple(ArrayInput(name=t.name, shape=t.shape, unit="") for t in takes),
        outputs=gives,
    )
    if name == "detector":
        return seen, variant
    assert not isinstance(variant.networks, UnsetType), "the manifest's own check holds this"
    told = next(file for network, file in variant.networks.items() if network == name)
    return seen, msgspec.structs.replace(
        variant, file=told.file, wires=told.wires, undelegated=told.undelegated
    )
