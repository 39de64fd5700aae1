"""`edge-dx-export compare A.edx B.edx`: what an update changes, before it is shipped.

Both bundles carry the record of their validation, study by study. Where they were measured on the
same studies the figures are compared in pairs, with the interval of the difference over patients;
with `--films DIR` both are run on these films instead. What the contract says differently is told
in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_dx.bundle import Bundle
from edge_dx.trust import TrustStore
from export.comparison.contract import contract_changes
from export.comparison.judging import on_films, on_records, record_of
from export.comparison.values import BundleComparison, Figure, Margins, VariantComparison
from export.comparison.words import told
from export.errors import EvidenceMismatch

__all__ = [
    "BundleComparison", "Figure", "Margins", "VariantComparison", "compare_bundles",
    "contract_changes", "told",
]  # fmt: skip


def compare_bundles(
    a: Bundle,
    b: Bundle,
    *,
    margins: Margins,
    variant: str | None = None,
    films: Path | None = None,
    trust: TrustStore | None = None,
    allow_unsigned: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> BundleComparison:
    """Compares two bundles.

    Args:
        a: what is on the devices now.
        b: the update.
        margins: what it may lose.
        variant: compare this one alone.
        films: a directory with `labels.csv` on which both are run; their own records where None.
        trust: accepted signers, for running them.
        allow_unsigned: likewise.
        say: takes progress lines.

    Raises:
        EvidenceMismatch: they have no variant in common, or a record is damaged.
        DataError: the films cannot be used.
    """
    names = [v.name for v in a.manifest.variants if v.name in {w.name for w in b.manifest.variants}]
    if variant is not None:
        names = [name for name in names if name == variant]
    if not names:
        raise EvidenceMismatch(
            f"{a.path} and {b.path} have no variant{f' {variant}' if variant else ''} in common: "
            f"{', '.join(v.name for v in a.manifest.variants)} and "
            f"{', '.join(v.name for v in b.manifest.variants)}"
        )
    if films is not None:
        judged_on = f"films of {films}"
        compared = []
        for name in names:
            say(f"running {name} of both on the films")
            compared.append(on_films(a, b, name, films, margins, trust, allow_unsigned))
    else:
        records = tuple(record_of(bundle) for bundle in (a, b))
        judged_on = "the validation studies that both records hold"
        compared = [on_records(a, b, name, records, margins) for name in names]
    return BundleComparison(
        a=_called(a), b=_called(b), judged_on=judged_on,
        contract=tuple(contract_changes(a.manifest, b.manifest)), variants=tuple(compared),
    )  # fmt: skip


def _called(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.digest[:12]})"
