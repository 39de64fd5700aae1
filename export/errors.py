"""Every error that the exporter raises on purpose; all are `EdgeDxError`s.

ExportError
├── RecipeError         the recipe breaks its vocabulary or contradicts itself
├── FactoryError        the model factory cannot be found or does not give a usable module
├── WeightsMismatch     the weights do not fit the module
├── DataMissing         a data set is needed and not there
├── DataError           a data set is there and cannot be used as the recipe says
├── PatientLeak         a patient stands in two sets that must not meet
├── GraphError          the exported graph is not what a device can run
├── ParityFailed        the exported graph computes something else than the module
├── EvidenceMismatch    stored figures belong to other bytes than those just exported
├── GateFailed          a variant is not good enough to be packed
└── PackError           a finished model file or its manifest cannot be packed
"""

from __future__ import annotations

from edge_dx.errors import EdgeDxError


class ExportError(EdgeDxError):
    """Base of all errors that the exporter raises on purpose."""


class RecipeError(ExportError):
    """The recipe breaks its vocabulary or contradicts itself."""


class FactoryError(ExportError):
    """The model factory cannot be found, or does not give a usable `torch.nn.Module`."""


class WeightsMismatch(ExportError):
    """The weights file does not fit the module that the factory builds."""


class DataMissing(ExportError):
    """A data set is needed, is not there, and nothing stored can stand in for it."""


class DataError(ExportError):
    """A data set is there but cannot be used the way the recipe says."""


class PatientLeak(ExportError):
    """A patient stands in two sets that must not meet."""


class GraphError(ExportError):
    """The exported graph is not one that the devices can run."""


class ParityFailed(ExportError):
    """The exported graph computes something else than the module it came from."""


class EvidenceMismatch(ExportError):
    """Stored figures belong to other bytes, or to another contract, than those just exported."""


class GateFailed(ExportError):
    """A variant is not good enough to be packed.

    Attributes:
        variant: its name.
        gate: which gate it failed.
    """

    def __init__(self, message: str, variant: str, gate: str) -> None:
        super().__init__(message)
        self.variant = variant
        self.gate = gate


class PackError(ExportError):
    """A finished model file, or the manifest that goes with it, cannot be packed."""
