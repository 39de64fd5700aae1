"""What the types alone cannot say about a bundle that judges a waveform."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UnsetType

from edge_dx.errors import MissingOperatingPoint
from edge_dx.manifest.contract import Manifest
from edge_dx.manifest.graphs import answers_of, tensors_of
from edge_dx.manifest.stream import Beats, Episodes, PeakNetwork, Stream, WaveformInput
from edge_dx.manifest.variants import Variant
from edge_dx.signal import Resample

PEAK = "beat"
"""The label of the detector's operating point."""
BEGINS, ENDS = "begins", "ends"
"""The names of the two operating points of a rhythm: it ends below another threshold than it
began at, so that it does not flicker."""


def stream_problem(manifest: Manifest) -> str | None:
    """What is wrong with a bundle's stream, or with its being there, or None."""
    stream = manifest.stream
    waves = [item for item in manifest.inputs if isinstance(item, WaveformInput)]
    streamed = [o for o in manifest.outputs if isinstance(o, (Beats, Episodes))]
    if isinstance(stream, UnsetType):
        if waves or streamed or manifest.task == "ecg":
            return "a waveform, beats, episodes and the task ecg need a stream"
        more = [v.name for v in manifest.variants if not isinstance(v.networks, UnsetType)]
        return f"variant {more[0]!r} has networks, and there is no stream" if more else None
    if len(waves) != 1 or len(manifest.inputs) != 1 or manifest.task != "ecg":
        return "a stream has the task ecg and one input, which is a waveform"
    if len(streamed) != len(manifest.outputs) or len({type(o) for o in streamed}) < len(streamed):
        return "a stream gives beats, episodes or both, each once"
    for output in streamed:
        if len(set(output.labels)) != len(output.labels):
            return f"output {output.name!r} has two labels of the same name"
    return _networks_problem(manifest, stream, waves[0]) or _golden_problem(manifest, stream)


def _networks_problem(manifest: Manifest, stream: Stream, wave: WaveformInput) -> str | None:
    kinds = {type(output) for output in manifest.outputs}
    told_apart = any(isinstance(o, Beats) and len(o.labels) > 1 for o in manifest.outputs)
    if bool(stream.beats) != told_apart:
        return "beats are told apart by a beat network, and only then there is one"
    if (stream.rhythm is None) == (Episodes in kinds):
        return "episodes come from a rhythm network, and only then there is one"
    answers = [network.answer for network in stream.beats]
    if len(set(answers)) != len(answers):
        return "two beat networks give the same answer"
    if stream.detector.hop_rows % stream.detector.stride_rows:
        return "a hop of the detector is no whole number of frames"
    if stream.detector.receptive_field_rows < stream.detector.delay_rows:
        return "the detector is later than what it rests on"
    rates = {step.to_hz for step in wave.prepare if isinstance(step, Resample)}
    if rates and rates != {wave.rate_hz}:
        return f"the waveform is resampled to another rate than {wave.rate_hz}"
    for name in stream.names:
        network = stream.network(name)
        for side in tensors_of(manifest, name):
            names = [tensor.name for tensor in side]
            if len(set(names)) != len(names):
                return f"network {name!r} has two tensors of the same name ({', '.join(names)})"
        if network is None or isinstance(network, PeakNetwork):
            continue
        window, features = network.window, network.features
        if window is None and features is None:
            return f"network {name!r} takes neither a window nor features"
        if features is not None and len(set(features.names)) != len(features.names):
            return f"network {name!r} has two features of the same name"
        if window is not None and (window.peak_at >= window.samples
                                   or wave.rate_hz % window.rate_hz):  # fmt: skip
            return f"the window of {name!r} has no place for its R peak, or a rate of its own"
    return None


def _golden_problem(manifest: Manifest, stream: Stream) -> str | None:
    if manifest.golden:
        return "golden cases of a stream are signals; they stand in stream.golden"
    names = [case.name for case in stream.golden]
    if len(set(names)) != len(names):
        return f"two golden signals have the same name ({', '.join(names)})"
    for case in stream.golden:
        if set(case.events) != {variant.name for variant in manifest.variants}:
            return f"golden signal {case.name!r} must give a number of events for each variant"
        if (case.answer is not None) != bool(stream.beats) or (
            case.answer is not None and stream.network(case.answer) is None
        ):
            return f"golden signal {case.name!r} asks for an answer that no network gives"
        if len(set(case.leads)) != len(case.leads):
            return f"golden signal {case.name!r} has two leads of the same name"
    if stream.golden and "golden.npz" not in manifest.members:
        return "golden signals are listed but golden.npz is not among the members"
    return None


def labels_of(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Output tensor of a stream's network to the labels that it can be asked for."""
    if isinstance(manifest.stream, UnsetType):
        return {}
    beats = next((o.labels for o in manifest.outputs if isinstance(o, Beats)), ())
    episodes = next((o.labels for o in manifest.outputs if isinstance(o, Episodes)), ())
    found: dict[str, tuple[str, ...]] = {}
    for name, tensor in answers_of(manifest).items():
        kinds = {"detector": (PEAK,), "rhythm": episodes}
        found[tensor] = kinds.get(name, beats)
    return found


def variant_problem(manifest: Manifest, variant: Variant) -> str | None:
    """Why a variant of a stream cannot run, or None; its operating points apart."""
    assert not isinstance(manifest.stream, UnsetType), "asked of streams alone"
    files = {} if isinstance(variant.networks, UnsetType) else variant.networks
    wanted = set(manifest.stream.names) - {"detector"}
    if set(files) != wanted:
        return f"must name the files of {', '.join(sorted(wanted)) or 'no other network'}"
    for name in ("detector", *sorted(files)):
        known = {tensor.name for side in tensors_of(manifest, name) for tensor in side}
        wires = variant.wires if name == "detector" else files[name].wires
        if unknown := set(wires) - known:
            return f"has wires for no tensor of {name} ({', '.join(sorted(unknown))})"
        for wire in wires.values():
            if wire.normalised:
                return f"has a wire of {name} that is normalised, and no image"
    for file in variant.files:
        if file not in manifest.members:
            return f"names the member {file!r}, which is not listed"
    if set(variant.tolerance) != set(answers_of(manifest).values()):
        return "must give a tolerance for the output of each network"
    return None


def require_stream_points(manifest: Manifest, variant: Variant) -> None:
    """Makes sure that a variant can turn what its networks give into events.

    Raises:
        MissingOperatingPoint: it has no threshold where one is needed.
    """
    for name, tensor, point, label in _points(manifest):
        if not any(
            p.output == tensor and (point is None or p.name == point) and p.label == label
            for p in variant.operating_points
        ):
            called = f" {point!r}" if point else ""
            raise MissingOperatingPoint(
                f"manifest.json: variant {variant.name!r} has no operating point{called} for "
                f"{label!r} of {tensor!r} ({name}); thresholds belong to the very variant file, so "
                "fit them with edge-dx-export and a validation set",
                "manifest.json",
            )


def _points(manifest: Manifest) -> Iterator[tuple[str, str, str | None, str]]:
    """(network, tensor, name of the point or None, label) of all that must be there."""
    labels = labels_of(manifest)
    for name, tensor in answers_of(manifest).items():
        if name == "detector":
            yield name, tensor, None, PEAK
        elif name == "rhythm":
            for label in labels[tensor]:
                yield name, tensor, BEGINS, label
                yield name, tensor, ENDS, label
        else:  # the first label is what a beat is where nothing else is said
            for label in labels[tensor][1:]:
                if label in NEEDED:
                    yield name, tensor, name, label


NEEDED = ("S", "V")
"""Classes that need a threshold of their own; others may have one."""
