"""What the manifest says of a stream before anything is measured: networks and their tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from edge_dx.ecg import beats, rhythm
from edge_dx.ecg.beats import shapes
from edge_dx.ecg.events import LABELS
from edge_dx.manifest import (
    AnyOutput,
    BeatNetwork,
    Beats,
    Budget,
    DataSet,
    Eligibility,
    Episodes,
    Facts,
    Manifest,
    PeakNetwork,
    Provenance,
    RhythmNetwork,
    Stream,
    WaveformInput,
    Window,
)
from edge_dx.manifest.stream import NetworkName
from edge_dx.signal import Notch, SignalPath
from export.pack import tool_versions
from export.streams.modules import Networks
from export.streams.recipe import Recipe
from export.streams.steps import DetectorStep, Step

RHYTHMS = ("AF",)
_ROWS_HZ = beats.features.RATE_HZ


def manifest_of(
    recipe: Recipe, networks: Networks, sets: Mapping[str, DataSet | None] | None = None
) -> Manifest:
    """The manifest without variants, golden signals and members.

    Args:
        recipe: what to export.
        networks: its modules.
        sets: `calibration`, `validation`, `training`.
    """
    told, sets = recipe.told, sets or {}
    outputs: tuple[AnyOutput, ...] = (
        Beats(name="beats", labels=LABELS if told.beats else ("Q",)),
        *((Episodes(name="rhythm", labels=RHYTHMS),) if told.rhythm else ()),
    )
    factories = [part.factory for part in told.networks.values()]
    return Manifest(
        schema_version=1,
        name=told.name,
        version=told.version,
        task="ecg",
        title=told.title,
        intended_use=told.intended_use.strip(),
        licence=told.licence,
        inputs=(
            WaveformInput(
                name="ecg", rate_hz=told.input.rate_hz, unit="mV", leads=told.input.leads,
                max_leads=told.input.max_leads, prepare=told.input.prepare,
            ),
        ),
        outputs=outputs,
        eligibility=Eligibility(),
        variants=(),
        golden=(),
        provenance=Provenance(
            factory=", ".join(dict.fromkeys(factories)),
            weights_sha256=hashlib.sha256("".join(networks.digests.values()).encode()).hexdigest(),
            recipe_sha256=recipe.sha256,
            tools=tool_versions(),
            calibration=sets.get("calibration"),
            validation=sets.get("validation"),
            training=sets.get("training"),
        ),
        budget=Budget(total_mb=told.limits.total_mb),
        members={},
        stream=_stream(recipe, networks.steps("onnx")),
    )  # fmt: skip


def _stream(recipe: Recipe, steps: Mapping[NetworkName, Step]) -> Stream:
    told = recipe.told
    detector = steps["detector"]
    assert isinstance(detector, DetectorStep), "the maker of the steps sees to it"
    # A device that sends the rows' own rate, its power line unknown.
    plain = [step for step in told.input.prepare if not isinstance(step, Notch)]
    path = SignalPath(plain, rate_hz=told.input.rate_hz, leads=told.input.leads[:1])
    return Stream(
        timings=path.timings,
        detector=PeakNetwork(
            hop_rows=detector.hop, stride_rows=detector.stride, delay_rows=detector.delay_rows,
            receptive_field_rows=detector.receptive_field_rows, states=detector.pairs,
        ),
        beats=tuple(
            BeatNetwork(
                answer=part.answer,
                window=Window(
                    channels=("beat", "template"), samples=beats.WINDOW,
                    rate_hz=_ROWS_HZ // 2, peak_at=shapes.PEAK,
                ),
                features=Facts(names=beats.FEATURES),
                after_rows=beats.AFTER,
                states=steps[part.answer].pairs,
            )
            for part in told.beats
        ),
        rhythm=RhythmNetwork(features=Facts(names=rhythm.FEATURES), states=steps["rhythm"].pairs)
        if told.rhythm
        else None,
    )  # fmt: skip
