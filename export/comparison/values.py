"""What a comparison of two bundles says."""

from __future__ import annotations

from edge_dx.manifest import Count, Estimate, Part, Text


class Figure(Part, frozen=True, kw_only=True):
    """One figure of both bundles.

    Attributes:
        difference: B minus A, with its paired 95 % interval over patients.
        margin: how far below zero the interval may reach.
    """

    figure: Text
    a: float
    b: float
    difference: Estimate
    margin: float

    @property
    def may_be_worse(self) -> bool:
        """Whether the update was not shown to be as good."""
        return not self.difference.low >= -self.margin


class VariantComparison(Part, frozen=True, kw_only=True):
    """One variant that both bundles have.

    Attributes:
        studies: how many both were judged on; 0 where there are none in common.
        changed: studies that B answers otherwise than A.
        lost: studies that A judged and B did not.
        told: what cannot be compared, in words.
    """

    variant: Text
    bytes_a: Count
    bytes_b: Count
    p50_ms_a: float | None
    p50_ms_b: float | None
    thresholds: dict[str, tuple[float | None, float | None]]
    studies: Count
    changed: Count
    lost: Count
    figures: tuple[Figure, ...]
    told: Text = ""


class BundleComparison(Part, frozen=True, kw_only=True):
    """Two bundles.

    Attributes:
        contract: what the manifests say differently, in words.
    """

    a: Text
    b: Text
    judged_on: Text
    contract: tuple[Text, ...]
    variants: tuple[VariantComparison, ...]

    @property
    def may_be_worse(self) -> bool:
        """Whether any figure was not shown to be as good, a study is no longer judged, or nothing
        could be compared.
        """
        figures = [figure for variant in self.variants for figure in variant.figures]
        lost = any(variant.lost for variant in self.variants)
        return lost or not figures or any(figure.may_be_worse for figure in figures)


class Margins(Part, frozen=True, kw_only=True):
    """What an update may lose."""

    auc: float = 0.02
    sensitivity: float = 0.05
    specificity: float = 0.05
