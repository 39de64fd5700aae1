"""`edge-dx look FILE...`: what the readers see in a file, without any model.

What was read, in which units, and what had to be assumed: the first thing to ask when a model says
something odd about a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_dx import sources
from edge_dx.commands.lines import show
from edge_dx.commands.run import expand
from edge_dx.errors import EdgeDxError, InputError
from edge_dx.sources import Study, fan
from edge_dx.sources.series import Series, read_series


def act(options: argparse.Namespace) -> int:
    """Prints one paragraph (or JSON line) per file, and one per series of slices."""
    out = Path(options.out) if options.out else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"edge-dx: --out {out}: {error.strerror}", file=sys.stderr)
            return 2
    all_read = True
    slices: dict[str, list[Path]] = defaultdict(list)
    for number, file in enumerate(expand(options.files), start=1):
        try:
            study = sources.read(file)
            pixels = study.pixels
            facts = {**facts_of(study), "dtype": str(pixels.dtype),
                     "levels": [float(pixels.min()), float(pixels.max())]}  # fmt: skip
            if study.place is not None and study.frames == 1:
                slices[study.place.series].append(file)
            if out is not None:
                _draw(out / f"{number:04d}_{file.stem[:80]}.png", study)
        except EdgeDxError as error:
            all_read = False
            reason = error.reason if isinstance(error, InputError) else "failed"
            facts = {"file": str(file), "reason": reason, "detail": str(error)}
        except OSError as error:  # the disk of --out is full
            print(f"edge-dx: --out {out}: {error.strerror}", file=sys.stderr)
            return 2
        for line in [json.dumps(facts)] if options.json else _told(facts):
            show(line)
    for uid, files in slices.items():
        if len(files) > 1:
            facts = series_facts(uid, files)
            show(json.dumps(facts) if options.json else _told_series(facts))
    return 0 if all_read else 3


def facts_of(study: Study) -> dict[str, Any]:
    """What is known of a study, as JSON takes it; lengths in mm, times in ms."""
    starts = study.frame_starts_ms
    return {
        "file": str(study.path) if study.path else None,
        "sha256": study.digest,
        "height_px": study.shape[0],
        "width_px": study.shape[1],
        "frames": study.frames,
        "last_frame_starts_ms": starts[-1] if starts else None,
        "modality": study.modality,
        "body_part": study.body_part,
        "view": study.view,
        "orientation": study.orientation,
        "age_years": study.age_years,
        "presentation": study.presentation,
        "mm_per_px": study.mm_per_px,
        "spacing_from": study.spacing_from,
        "regions": [asdict(region) for region in study.regions],
        "burned_in_text": study.burned_in,
        "assumed": study.assumed,
    }


def series_facts(uid: str, files: Sequence[Path]) -> dict[str, Any]:
    """What slices make together, or why they make nothing."""
    try:
        found: Series = read_series(files)
    except EdgeDxError as error:
        return {"series": uid, "slices": len(files), "reason": "format", "detail": str(error)}
    return {
        "series": uid,
        "slices": len(found.slices),
        "spacing_mm": found.spacing_mm,
        "regular": found.regular,
        "gaps": [asdict(gap) for gap in found.gaps],
        "aside": found.aside,
        "tilt_deg": round(found.tilt_deg, 2),
    }


def _told(facts: dict[str, Any]) -> list[str]:
    if "reason" in facts:
        return [f"{facts['file']}: not read: {facts['reason']}: {facts['detail']}"]
    words = [facts["modality"] or "modality not stated",
             f"{facts['width_px']} × {facts['height_px']} px"]  # fmt: skip
    words += [facts[name] for name in ("body_part", "view", "presentation") if facts[name]]
    if facts["frames"] > 1:
        last = facts["last_frame_starts_ms"]
        when = "" if last is None else f", the last at {last / 1000:.2f} s"
        words.append(f"{facts['frames']} frames{when}")
    if facts["mm_per_px"]:
        rows, columns = facts["mm_per_px"]
        words.append(f"{rows:.4g} × {columns:.4g} mm per pixel ({facts['spacing_from']})")
    else:
        words.append("no distance, so nothing may be measured")
    low, high = facts["levels"]
    words.append(f"{facts['dtype']} {low:g} to {high:g}")
    lines = [f"{facts['file']}: {'; '.join(str(word) for word in words)}"]
    lines += [f"  region {region['width']} × {region['height']} px at "
              f"({region['left']}, {region['top']})" for region in facts["regions"]]  # fmt: skip
    return lines + [f"  assumed: {told}" for told in facts["assumed"]]


def _told_series(facts: dict[str, Any]) -> str:
    if "reason" in facts:
        return f"series {facts['series']}: {facts['slices']} slices: {facts['detail']}"
    words = [f"{facts['slices']} slices {facts['spacing_mm'][0]:.4g} mm apart"]
    words += [f"gap of {gap['mm']:.4g} mm after slice {gap['after'] + 1}" for gap in facts["gaps"]]
    if facts["aside"]:
        words.append(f"{len(facts['aside'])} slices lie beside the line of the others")
    if facts["tilt_deg"] >= 0.5:
        words.append(f"gantry tilted by {facts['tilt_deg']:g} degrees")
    return f"series {facts['series']}: {'; '.join(words)}"


def _draw(path: Path, study: Study) -> None:
    """The first frame as a screen shows it, with the scanned field where there is one."""
    import cv2

    from edge_dx.overlay import display

    shown = display(study.pixels)
    picture = (
        cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR) if shown.ndim == 2 else shown[..., ::-1].copy()
    )
    regions = study.regions
    if not regions and study.modality == "US":
        seen = fan.find(study.pixels)
        regions = (seen,) if seen else ()
    scale = shown.shape[0] / study.shape[0]
    for region in regions:
        colour = (90, 220, 90) if region.found_by == "header" else (60, 170, 255)
        corners = [(round(x * scale), round(y * scale)) for x, y in (
            (region.left, region.top),
            (region.left + region.width - 1, region.top + region.height - 1))]  # fmt: skip
        cv2.rectangle(picture, corners[0], corners[1], colour, 2)
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise InputError(f"{path}: the picture could not be encoded", "internal")
    path.write_bytes(data.tobytes())
