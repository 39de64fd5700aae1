"""The gate: is this a study that the model may judge?

Four looks, cheapest first: the header before any pixel is decoded (`header`), the pixels before
they are prepared (`quality`), the prepared image before it is inferred (`likeness`), and the pooled
features that the graph gives beside its answer (`familiarity`). Each returns the reasons for
declining; an empty tuple lets the study pass. Limits come from the manifest, and each look that it
does not ask for costs nothing.
"""

from edge_dx.gate.familiarity import Familiar, familiar_of
from edge_dx.gate.header import check_header
from edge_dx.gate.likeness import check_prepared, correlation, template_of
from edge_dx.gate.quality import check_pixels

__all__ = [
    "Familiar", "check_header", "check_pixels", "check_prepared", "correlation", "familiar_of",
    "template_of",
]  # fmt: skip
