"""The model card of a packed bundle: what the maker says, and that nothing was measured here."""

from __future__ import annotations

from edge_dx.manifest import Manifest, Variant
from export.packing.plan import Plan


def card_markdown(plan: Plan, manifest: Manifest, sizes: dict[str, int]) -> bytes:
    """The card for people."""
    card = plan.told.card
    parts = [f"# {manifest.title}", "", f"{manifest.name} {manifest.version}, {manifest.task}."]
    for title, text in (
        ("Intended use", manifest.intended_use),
        ("Description", card.description),
        ("Data", card.data),
        ("Limits", card.limits),
    ):
        if text.strip():
            parts += ["", f"## {title}", "", text.strip()]
    parts += [
        "", "## Quality", "",
        "Packed from finished files: **nothing was measured here.** Thresholds are the maker's, "
        "and no sensitivity, specificity or fidelity of these files stands in this bundle. The "
        "golden outputs show that a device computes what the packing workstation computed, not "
        "that the model is right.",
        "", "## Variants",
    ]  # fmt: skip
    for variant in manifest.variants:
        parts += ["", *_variant(variant, sizes[variant.name])]
    parts += ["", "## Licence", "", manifest.licence]
    if card.attribution.strip():
        parts += ["", card.attribution.strip()]
    return ("\n".join(parts) + "\n").encode()


def _variant(variant: Variant, size: int) -> list[str]:
    lines = [f"### {variant.name}", "",
             f"- {variant.format}, {variant.precision}, {size / 1e6:.2f} MB; "
             f"engines {', '.join(variant.engines)}"]  # fmt: skip
    if variant.runs_on:
        lines.append(f"- for processors with {' or '.join(variant.runs_on)}")
    if variant.undelegated:
        lines.append(f"- {variant.undelegated} operators run outside the fast kernels")
    lines += [f"- {key}: {text}" for key, text in variant.quantization.items()]
    for point in variant.operating_points:
        lines.append(
            f"- operating point `{point.name}` ({point.label}): threshold {point.threshold:g}, "
            f"{point.criterion}"
        )
    return lines
