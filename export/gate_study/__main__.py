"""`python -m export.gate_study BUNDLE --data DIR [--recipe FILE] [--variants A,B] [-o FILE]`.

Prints the gate's figures of a bundle on the sets that its recipe names, with intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_dx import load
from edge_dx.errors import EdgeDxError
from edge_dx.shelf import find
from export.datasets import rows_of
from export.errors import DataError
from export.gate_study.study import study
from export.gate_study.table import section
from export.recipe import read_recipe

ZOO = Path(__file__).parents[1] / "zoo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.gate_study", description="What a bundle's gate refuses."
    )
    parser.add_argument("bundle", help="an .edx file, or the name of a shipped bundle")
    parser.add_argument("--data", type=Path, required=True, help="directory of the data sets")
    parser.add_argument(
        "--recipe", type=Path, help="names the sets; that of the zoo's model of this name without"
    )
    parser.add_argument("--variants", default="onnx-fp32,onnx-int8", metavar="A,B")
    parser.add_argument("-o", "--output", type=Path, help="write Markdown there too")
    options = parser.parse_args(arguments)
    try:
        lines = figures(options.bundle, options.data, options.recipe, options.variants.split(","))
    except EdgeDxError as error:
        print(f"gate_study: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", "utf-8")
    return 0


def figures(bundle: str, data: Path, recipe: Path | None, variants: Sequence[str]) -> list[str]:
    """The page.

    Raises:
        EdgeDxError: the bundle, the recipe or a set cannot be used.
    """
    path = recipe or ZOO / find(bundle).stem.replace("-", "_") / "recipe.toml"
    told = read_recipe(path).told
    rows = rows_of(told.data.validation, data)
    if rows is None:
        raise DataError(f"{data / told.data.validation.csv}: the validation set is not here")
    studies = []
    name = ""
    for variant in variants:
        with load(bundle, variant=variant, allow_unsigned=True) as model:
            name = f"{model.bundle.manifest.name} {model.bundle.manifest.version}"
            studies.append(study(model, told.data, data, rows, _on_stderr))
    command = f"`python -m export.gate_study {bundle} --data {data}`"
    return [f"# The gate of {name}", "", f"Printed by {command}.", "", *section(studies)]


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
