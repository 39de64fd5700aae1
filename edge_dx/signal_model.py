"""The model of a bundle that judges a waveform: it makes streams, and judges no pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from edge_dx import sources
from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle
from edge_dx.ecg.networks import Network
from edge_dx.ecg.stream import SignalStream
from edge_dx.errors import UnsupportedInput
from edge_dx.manifest import Stream, Variant, WaveformInput, as_model
from edge_dx.model import Model, engines_beside
from edge_dx.result import Result
from edge_dx.signal import Mains, Rate
from edge_dx.tensors import Array


class SignalModel(Model):
    """A variant of a stream bundle on an engine.

    Attributes:
        bundle: the verified bundle.
        variant: the variant that runs.
        engine: the engine's name.
        choice: why this variant and engine, in words.
        wave: the bundle's input.
        networks: all graphs of the variant, opened.
    """

    def __init__(  # a signal has no Intake, which the parent's constructor makes
        self, bundle: Bundle, variant: Variant, networks: dict[str, Network], engine: str,
        choice: str = "",
    ) -> None:  # fmt: skip
        self.bundle, self.variant, self.engine, self.choice = bundle, variant, engine, choice
        self.networks, self.reader = networks, None
        self.wave = next(i for i in bundle.manifest.inputs if isinstance(i, WaveformInput))

    @classmethod
    def opened(
        cls, bundle: Bundle, variant: Variant, engine: str, choice: str = "",
        threads: int | None = None,
    ) -> SignalModel:  # fmt: skip
        """Opens all files of a variant.

        Raises what `edge_dx.backends.open_backend` raises.
        """
        told = bundle.manifest.stream
        assert isinstance(told, Stream), "the caller has asked"
        networks: dict[str, Network] = {}
        try:
            for name in told.names:
                manifest, seen = as_model(bundle.manifest, variant, name)
                with engines_beside(bundle.path, engine):
                    backend = open_backend(
                        engine, manifest, seen, bundle.members[seen.file], threads
                    )
                networks[name] = Network(
                    bundle.manifest, name, backend, one_by_one=variant.batch == "one"
                )
        except BaseException:
            for network in networks.values():
                network.close()
            raise
        return cls(bundle, variant, networks, engine, choice)

    def stream(
        self,
        *,
        rate_hz: Rate,
        leads: Sequence[str],
        mains_hz: Mains | None = None,
        answer: str | None = None,
        full_scale_mv: float | None = None,
    ) -> SignalStream:
        """A stream for one device's samples; see `edge_dx.ecg.stream.SignalStream`."""
        return SignalStream(
            self.bundle.manifest, self.variant, self.networks, rate_hz=rate_hz, leads=leads,
            mains_hz=mains_hz, answer=answer, full_scale_mv=full_scale_mv,
            bundle_digest=self.bundle.digest, engine=self.engine,
        )  # fmt: skip

    @property
    def built(self) -> str | None:
        """What the engine compiled for this device; see `Backend.built`."""
        told = [network.built for network in self.networks.values()]
        return " ".join(digest for digest in told if digest) or None

    def close(self) -> None:
        """Lets go of the engine. Streams of this model end with it."""
        for network in self.networks.values():
            network.close()

    def __call__(self, source: Any) -> Result:
        """Refuses: a signal has no single answer.

        Raises:
            UnsupportedInput: always.
        """
        self.refuse()

    def batch(self, studies: Iterable[Any], size: int = 8) -> Iterator[Result]:
        """Refuses, as a call does."""
        self.refuse()

    def run_case(self, source: Any) -> tuple[Result, dict[str, Array] | None]:
        """Refuses, as a call does."""
        self.refuse()

    def feeds_of(self, source: Any) -> dict[str, Array]:
        """Refuses, as a call does."""
        self.refuse()

    def read(self, source: Any) -> sources.Study:
        """Refuses, as a call does."""
        self.refuse()

    def refuse(self) -> NoReturn:
        """Says what this model is for.

        Raises:
            UnsupportedInput: always.
        """
        name = self.bundle.manifest.name
        raise UnsupportedInput(
            f"{name} judges a signal, not single pictures or cases: use model.stream(…), or "
            f"edge-dx stream {name} FILE", "format"
        )  # fmt: skip
