"""What `edge-dx run` writes: one line per answer, for a person or as JSON."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_dx.errors import EdgeDxError
from edge_dx.manifest import ImageInput
from edge_dx.model import Model
from edge_dx.result import Result
from edge_dx.sources import Study, cases
from edge_dx.stream.unseen import of_error


def line_of(file: Path, result: Result | EdgeDxError, model: Model, *, as_json: bool) -> str:
    """The line of one file."""
    if isinstance(result, Result):
        return result.to_json() if as_json else f"{file}: {told(result)}"
    found = of_error(model, result, str(file))
    if as_json:
        return found.to_json()
    return f"{file}: {found.status.value}: {found.reasons[0].code.value}: {result}"


def told(result: Result) -> str:
    """An answer in words."""
    words = [result.status.value]
    if result.score is not None and result.threshold is not None:
        words.append(f"{result.label} {result.score:.3f} (threshold {result.threshold:.3f})")
    elif result.score is not None:
        words.append(f"{result.label} {result.score:.3f}")
    words += [f"{value.name} {value.value:.4g} {value.unit}".rstrip() for value in result.values]
    words += [f"{mask.label} on {mask.share:.1%} of the image" for mask in result.masks]
    words += [f"{why.code.value}: {why.detail}" for why in result.reasons]
    if result.signer is None:
        words.append("UNSIGNED bundle")
    return "; ".join(words)


def show(line: str) -> None:
    """Prints a line, with what a terminal cannot show, for example a file name that is not UTF-8,
    spelt as an escape: one file must not end the batch, nor write a second line.
    """
    encoding = sys.stdout.encoding or "utf-8"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    print(shown.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def overlay(path: Path, source: Path | Study, result: Result, model: Model) -> None:
    """Writes a picture of the result beside the film, or says why not."""
    from edge_dx import overlay

    inputs = model.bundle.manifest.inputs
    spec = next((item for item in inputs if isinstance(item, ImageInput)), None)
    if spec is None:
        print(f"edge-dx: no overlay: {source}: the model takes no image", file=sys.stderr)
        return
    try:
        film = source
        if isinstance(source, Path) and len(inputs) > 1:
            film = cases.read(source, inputs).get(spec.name, source)
        overlay.save(path, model.read(film), result, model.preparation, spec)
    except (EdgeDxError, OSError) as error:  # nothing to draw on, or no room to write it
        print(f"edge-dx: no overlay: {error}", file=sys.stderr)


class Progress:
    """A bar on standard error, only where a person watches it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.on = sys.stderr.isatty() and total > 1

    def show(self, done: int) -> None:
        """Draws it."""
        if self.on and done < self.total:
            filled = 30 * done // self.total
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r[{bar}] {done}/{self.total}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Makes room for a line."""
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
