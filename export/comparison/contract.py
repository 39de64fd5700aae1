"""What two manifests say differently, in words; measured figures aside."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_dx.manifest import Manifest


def contract_changes(a: Manifest, b: Manifest) -> list[str]:
    """What the manifests say differently, in words; figures aside."""
    told = []
    for name in ("name", "version", "task", "title", "intended_use", "licence"):
        first, second = getattr(a, name), getattr(b, name)
        if first != second:
            told.append(f"{name}: {first!r} → {second!r}")
    for name, what in (
        ("inputs", "inputs or their preparation"),
        ("outputs", "outputs"),
        ("eligibility", "what is eligible"),
        ("golden", "golden cases"),
        ("budget", "budget"),
    ):
        if getattr(a, name) != getattr(b, name):
            told.append(f"{what} changed{_fields(getattr(a, name), getattr(b, name))}")
    before, after = ({v.name: v for v in m.variants} for m in (a, b))
    told += [f"variant {name} is gone" for name in before if name not in after]
    told += [f"variant {name} is new" for name in after if name not in before]
    for name in (name for name in before if name in after):
        for key in ("engines", "runs_on", "batch", "tolerance", "quantization", "max_distance"):
            first, second = getattr(before[name], key), getattr(after[name], key)
            if first != second:
                told.append(f"{name}: {key} {_spelt(first)} → {_spelt(second)}")
    for key in ("weights_sha256", "factory"):
        first, second = getattr(a.provenance, key), getattr(b.provenance, key)
        if first != second:
            told.append(f"{key}: {str(first)[:16]} → {str(second)[:16]}")
    for key in ("training", "calibration", "validation"):
        first, second = getattr(a.provenance, key), getattr(b.provenance, key)
        if first != second:
            told.append(f"{key} set: {_set(first)} → {_set(second)}")
    return told


def _fields(first: Any, second: Any) -> str:
    """The names of a part's fields that differ, where it is one."""
    if not isinstance(first, msgspec.Struct):
        return ""
    keys = [k for k in first.__struct_fields__ if getattr(first, k) != getattr(second, k)]
    return f" ({', '.join(keys)})"


def _spelt(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "nothing"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _set(told: Any) -> str:
    return f"{told.name} ({told.n}, {told.sha256[:12]})" if told is not None else "none"
