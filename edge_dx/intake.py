"""From whatever a caller holds to the tensors of the graph, through the gates.

read → header gate → decode → pixel gate → prepare → likeness gate, for the image; facts and
arrays are read and scaled. A study that is declined on the way has a status, reasons and no
tensors.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_dx import gate, sources, vector
from edge_dx.backends import input_specs
from edge_dx.errors import InputError, TensorMismatch, UnsupportedInput
from edge_dx.image import Preparation, compile_steps, to_tensor
from edge_dx.manifest import AnyInput, ArrayInput, ImageInput, Manifest, VectorInput
from edge_dx.result import Reason, Status, Why
from edge_dx.sources import arrays, cases, view
from edge_dx.tensors import Array


@dataclass
class Taken:
    """A study on its way through the model.

    Attributes:
        source: what the caller gave.
        started: when, in nanoseconds of the performance counter.
        study: the image, once it was opened.
        digest: SHA-256 of what was given, once all of it was read.
        feeds: input → (1, …); empty where the study was declined.
        status: why it was declined, or None.
        took: stage → milliseconds.
    """

    source: Any
    started: int
    study: sources.Study | None = None
    digest: str | None = None
    feeds: dict[str, Array] = field(default_factory=dict)
    status: Status | None = None
    reasons: tuple[Why, ...] = ()
    took: dict[str, float] = field(default_factory=dict)

    @property
    def path(self) -> Path | None:
        """The file that the caller named, if any."""
        if self.study is not None and self.study.path is not None:
            return self.study.path
        return Path(self.source) if isinstance(self.source, (str, Path)) else None

    def lap(self, stage: str, since: int) -> int:
        """Adds the time since then to a stage; gives now."""
        now = time.perf_counter_ns()
        self.took[stage] = self.took.get(stage, 0.0) + (now - since) / 1e6
        return now


class Intake:
    """Takes studies in for one bundle.

    Attributes:
        preparation: the compiled preparation of the image input; of nothing where there is none.
        read: opens an image, here or in a process of its own.
    """

    def __init__(
        self, manifest: Manifest, name: str, read: Callable[[Any], sources.Study] = sources.read
    ) -> None:
        self._inputs = manifest.inputs
        self._limits = manifest.eligibility
        self._name = name
        self.read = read
        self._specs = {spec.name: spec for spec in input_specs(manifest)}
        image = next((item for item in manifest.inputs if isinstance(item, ImageInput)), None)
        self.preparation: Preparation = compile_steps(image.prepare if image else ())

    def take(self, source: Any) -> Taken:
        """Reads, gates and prepares a study.

        Raises:
            NotFound: no such file.
            MissingExtra: the file's kind needs a package that is not installed.
            TensorMismatch: an array that does not fit.
        """
        taken = Taken(source, time.perf_counter_ns())
        mark = taken.started
        try:
            given = self._given(source)
            for item in self._inputs:
                if isinstance(item, ImageInput):
                    mark = self._image(taken, item, given[item.name], mark)
                    if taken.reasons:
                        break
                else:
                    taken.feeds[item.name] = _plain(item, given[item.name])
                    mark = taken.lap("read", mark)
            if taken.reasons:
                taken.feeds = {}
                taken.status = Status.NOT_ANALYSED
            elif taken.digest is None:
                taken.digest = self._digest(taken)
        except InputError as error:
            reason = Reason(error.reason)
            broken = reason is Reason.UNREADABLE
            taken.feeds = {}
            taken.status = Status.FAILED if broken else Status.NOT_ANALYSED
            taken.reasons = (Why(reason, str(error)),)
            taken.lap("read", mark)
        return taken

    def feeds(self, source: Any) -> dict[str, Array]:
        """The tensors of a study, without asking the gates.

        Raises:
            EdgeDxError: it cannot be read or does not fit.
        """
        given = self._given(source)
        return {
            item.name: to_tensor(self.preparation(self._seen(item, given[item.name]).pixels))
            if isinstance(item, ImageInput)
            else _plain(item, given[item.name])
            for item in self._inputs
        }

    def _seen(self, item: ImageInput, source: Any) -> sources.Study:
        """The part of a study that the model looks at."""
        return view.of(self.read(source), item.view)

    def _given(self, source: Any) -> Mapping[str, Any]:
        """Input → source, of what a caller gave."""
        several = len(self._inputs) > 1
        takes_cases = several or not isinstance(self._inputs[0], ImageInput)
        is_file = isinstance(source, (str, Path))
        if takes_cases and is_file and str(source).lower().endswith(".json"):
            source = cases.read(Path(source), self._inputs)
        if not several and not _names(source, self._inputs[0]):
            return {self._inputs[0].name: source}
        if not isinstance(source, Mapping):
            names = ", ".join(item.name for item in self._inputs)
            raise TensorMismatch(
                f"{self._name} takes {names}: give a dict from each to its source, or a case file "
                "(.json)"
            )
        if unknown := sorted(str(name) for name in source if name not in self._specs):
            raise UnsupportedInput(
                f"{', '.join(unknown)} is no input; the model takes {', '.join(self._specs)}",
                "unknown_input",
            )
        for item in self._inputs:
            if source.get(item.name) is None:
                raise UnsupportedInput(
                    f"{item.name} is missing; the model takes {', '.join(self._specs)}",
                    "missing_input",
                )
        return source

    def _digest(self, taken: Taken) -> str:
        """Names the whole input, where it is more than one picture."""
        found = hashlib.sha256()
        for item in self._inputs:
            if isinstance(item, ImageInput) and taken.study is not None:
                own = taken.study.digest
            else:
                tensor = taken.feeds[item.name]
                told = f"{tensor.dtype}{tensor.shape}".encode()
                own = hashlib.sha256(told + tensor.tobytes()).hexdigest()
            found.update(f"{item.name}\0{own}\n".encode())
        return found.hexdigest()

    def _image(self, taken: Taken, item: ImageInput, source: Any, mark: int) -> int:
        """Reads, gates and prepares the image; sets the reasons where a gate declines it."""
        study = self.read(source)
        taken.study = study
        if len(self._inputs) == 1:
            taken.digest = study.digest
        taken.reasons = gate.check_header(study, self._limits)
        if taken.reasons:
            return taken.lap("read", mark)
        study = view.of(study, item.view)
        taken.study = study
        pixels = study.pixels
        mark = taken.lap("read", mark)
        taken.reasons = gate.check_pixels(pixels, self._limits)
        if not taken.reasons:
            tensor = to_tensor(self.preparation(pixels))
            problem = self._specs[item.name].problem(tensor)
            if problem:  # before a batch is put together of tensors that do not fit
                raise TensorMismatch(f"{self._name}: the prepared image {problem}")
            taken.reasons = gate.check_prepared(tensor, self._limits)
            if not taken.reasons:
                taken.feeds[item.name] = tensor
        return taken.lap("prepare", mark)


def _names(source: Any, item: AnyInput) -> bool:
    """Whether a dict names the only input, and is not itself the facts that it takes."""
    if not isinstance(source, Mapping) or set(source) != {item.name}:
        return False
    return not isinstance(item, VectorInput) or isinstance(source[item.name], Mapping)


def _plain(item: AnyInput, source: Any) -> Array:
    """The tensor of an input that is no image."""
    if isinstance(item, VectorInput):
        if not isinstance(source, Mapping):
            raise TensorMismatch(f"{item.name} takes a dict from each field to its value")
        return vector.to_tensor(item, source)
    assert isinstance(item, ArrayInput), "images go another way"
    return arrays.read(item, source)
