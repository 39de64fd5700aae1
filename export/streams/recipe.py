"""The recipe of a stream bundle: TOML, closed vocabulary, `kind = "stream"`.

Where a recipe for images names sets of studies, this one names records of a WFDB directory. Paths
of weights and training records are relative to the recipe, those of data to `--data`.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_dx.manifest import Name, Part, Text
from edge_dx.manifest.stream import Answer, NetworkName
from edge_dx.signal import AnySignalStep
from export.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VariantName = Literal["onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"]
Method = Annotated[str, Meta(pattern=r"^(minmax|entropy|percentile [0-9.]+)$")]


class NetworkPart(Part, frozen=True, kw_only=True):
    """One network.

    Attributes:
        factory: `package.module:function`, gives the module without weights.
        weights: a safetensors file, relative to the recipe.
        training: what the makers of the weights wrote down, JSON, relative to the recipe.
        folds: the same network fitted without some patients: stems of a `.safetensors` and a
            `.json` file each, the latter with the patients in `held_out`. Thresholds are fitted to
            what these networks say of those patients.
    """

    factory: Annotated[str, Meta(pattern=r"^[^:]+:[A-Za-z_]\w*$")]
    weights: str
    training: str | None = None
    folds: tuple[str, ...] = ()


class BeatPart(NetworkPart, frozen=True, kw_only=True):
    """A beat network and when it answers."""

    answer: Answer


class InputPart(Part, frozen=True, kw_only=True):
    """The waveform; see `edge_dx.manifest.WaveformInput`."""

    rate_hz: Annotated[int, Meta(ge=20, le=2000)]
    leads: Annotated[tuple[Text, ...], Meta(min_length=1)]
    max_leads: Annotated[int, Meta(ge=1, le=12)] = 2
    prepare: Annotated[tuple[AnySignalStep, ...], Meta(min_length=1)]


class RecordsPart(Part, frozen=True, kw_only=True):
    """WFDB records with their annotations.

    Attributes:
        name: of the set, for people.
        root: directory of the records, relative to the data root.
        patients: patient → that patient's records.
        mapping: which EC57 mapping of symbols to classes counts.
        from_s: where the test period begins; EC57 asks for 5 minutes of learning.
    """

    name: Text
    root: str
    patients: Annotated[dict[Name, tuple[str, ...]], Meta(min_length=1)]
    mapping: Literal["ej-normal", "bxb-S"] = "ej-normal"
    from_s: Annotated[float, Meta(ge=0)] = 300.0

    @property
    def records(self) -> tuple[str, ...]:
        """Of all patients."""
        return tuple(record for own in self.patients.values() for record in own)


class CalibrationPart(Part, frozen=True, kw_only=True):
    """How activation ranges are chosen, from the records of `data.records`.

    Attributes:
        methods: the one whose answers lie nearest to float is taken.
        seconds: of each record, rolled out from its beginning so that memory is what it becomes.
        every: so many calls apart are observed.
        reduce_range: 7 bits for the weights of ONNX files, so that x86 without VNNI does not
            saturate; without it those files are refused there.
    """

    methods: Annotated[tuple[Method, ...], Meta(min_length=1)] = ("minmax", "percentile 99.99")
    seconds: Annotated[float, Meta(gt=10)] = 300.0
    every: Annotated[int, Meta(ge=1)] = 30
    reduce_range: bool = False


class DataPart(Part, frozen=True, kw_only=True):
    """Which records for what.

    Attributes:
        records: calibration, thresholds and figures; all of them may have been trained on.
        rollout: one of them: all variants follow it hop by hop, beside torch, to its end.
    """

    records: RecordsPart
    rollout: str


class GoldenPart(Part, frozen=True, kw_only=True):
    """A made-up signal that every device is proved with.

    Attributes:
        seconds: how long.
        rate_hz: of the pretended device.
        leads: that it has.
        answer: which beat network is asked; the first one where None.
        premature_every: every so many beats one is ventricular; 0 for none.
        bpm: mean heart rate.
        gap_s: from, to: seconds in which nothing comes; None for no gap.
        noise_mv: of white noise.
        seed: of everything random.
    """

    name: Name
    what: Text
    seconds: Annotated[float, Meta(gt=5, le=120)]
    rate_hz: Annotated[int, Meta(ge=50, le=1000)] = 250
    leads: Annotated[tuple[Literal["II", "V1"], ...], Meta(min_length=1)] = ("II",)
    answer: Answer | None = None
    bpm: Annotated[float, Meta(ge=30, le=200)] = 75.0
    premature_every: Annotated[int, Meta(ge=0)] = 0
    gap_s: tuple[float, float] | None = None
    noise_mv: Annotated[float, Meta(ge=0)] = 0.02
    seed: int = 0


class LimitsPart(Part, frozen=True, kw_only=True):
    """What a file must keep to; one that does not is not packed.

    Attributes:
        parity: largest difference of a float32 file's answers from torch's, over a rollout;
            relative where the answer is above 1.
        changed_beats: share of beats that a variant may answer otherwise than the float file.
        changed_rhythm: share of beats that may lie within an episode by one and not by the other;
            where chances hover between the two thresholds, one beat moves a whole episode.
        int8_kb: of each network file of an int8 variant.
        total_mb: of the whole bundle.
    """

    parity: Annotated[float, Meta(gt=0)] = 1e-5
    changed_beats: Annotated[float, Meta(ge=0, le=1)] = 0.01
    changed_rhythm: Annotated[float, Meta(ge=0, le=1)] = 0.03
    int8_kb: Annotated[float, Meta(gt=0)] = 100.0
    total_mb: Annotated[float, Meta(gt=0)] = 1.0


class CardPart(Part, frozen=True, kw_only=True):
    """Texts of the model card."""

    description: Text
    data: Text
    limits: Text
    attribution: Text


class StreamRecipe(Part, frozen=True, kw_only=True):
    """The file."""

    kind: Literal["stream"]
    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    title: Text
    intended_use: Text
    licence: Text
    variants: Annotated[tuple[VariantName, ...], Meta(min_length=1)]
    input: InputPart
    detector: NetworkPart
    beats: tuple[BeatPart, ...] = ()
    rhythm: NetworkPart | None = None
    data: DataPart
    calibration: CalibrationPart = CalibrationPart()
    golden: Annotated[tuple[GoldenPart, ...], Meta(min_length=1)]
    limits: LimitsPart = LimitsPart()
    card: CardPart
    evidence: str = "evidence.json"

    @property
    def networks(self) -> dict[NetworkName, NetworkPart]:
        """All networks by the manifest's names, the detector first."""
        found: dict[NetworkName, NetworkPart] = {"detector": self.detector}
        found.update({part.answer: part for part in self.beats})
        return found | ({"rhythm": self.rhythm} if self.rhythm else {})


@dataclass(frozen=True)
class Recipe:
    """A recipe with where it was read from.

    Attributes:
        path: of the file.
        sha256: of its bytes.
        told: what it says.
    """

    path: Path
    sha256: str
    told: StreamRecipe

    def beside(self, name: str) -> Path:
        """A file that the recipe names."""
        return self.path.parent / name


def is_stream(path: Path) -> bool:
    """Whether a recipe file is one of these; a file that cannot be read is not."""
    try:
        return bool(tomllib.loads(path.read_text("utf-8")).get("kind") == "stream")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False


def read_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        RecipeError: it cannot be read, or says what it may not; the message names the key.
    """
    try:
        raw = path.read_bytes()
        told = msgspec.convert(tomllib.loads(raw.decode("utf-8")), StreamRecipe, strict=True)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {str(error).replace('$.', '')}") from error
    problem = _contradiction(told)
    if problem:
        raise RecipeError(f"{path}: {problem}")
    return Recipe(path, hashlib.sha256(raw).hexdigest(), told)


def _contradiction(told: StreamRecipe) -> str | None:
    if not told.beats and told.rhythm is None:
        return "beats, rhythm: give at least one beat network or the rhythm network"
    answers = [part.answer for part in told.beats]
    if len(set(answers)) != len(answers):
        return "beats: two give the same answer"
    if len(set(told.variants)) != len(told.variants):
        return "variants: one is listed twice"
    records = told.data.records.records
    if len(set(records)) != len(records):
        return "data.records.patients: a record is listed twice"
    if told.data.rollout not in records:
        return f"data.rollout: {told.data.rollout!r} is none of data.records"
    names = [part.name for part in told.golden]
    if len(set(names)) != len(names):
        return "golden: two have the same name"
    asked = {part.answer or answers[0] for part in told.golden} if answers else set()
    if asked != set(answers) or (not answers and any(part.answer for part in told.golden)):
        return "golden: each answer of a beat network needs a signal, and no other answer has one"
    for part in told.golden:
        if part.gap_s is not None and not 0 < part.gap_s[0] < part.gap_s[1] < part.seconds:
            return f"golden: the gap of {part.name!r} does not lie inside its signal"
    return None
