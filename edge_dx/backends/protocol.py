"""The backend protocol: five members, the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge_dx.tensors import Array, TensorSpec


@runtime_checkable
class Backend(Protocol):
    """A loaded model file.

    Stateless: what a recurrent model remembers are named tensors that the caller passes in and
    takes out.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that `run` takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that `run` gives."""

    @property
    def built(self) -> str | None:
        """SHA-256 of what the engine compiled for this very device, or None where it reads the
        file as it is. Compiled engines are not reproducible, so results carry this digest.
        """

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the model once.

        Args:
            feeds: one array per input; not written to.

        Returns:
            One array per output, owned by the caller: a later run never changes it.

        Raises:
            TensorMismatch: the feeds do not fit `inputs`.
            EngineFailed: the engine itself raised.
        """

    def close(self) -> None:
        """Lets go of the engine. Running afterwards raises EngineFailed; closing twice is fine."""
