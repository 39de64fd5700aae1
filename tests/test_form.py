"""The tests that fix the form: light imports, one-way arrows, closed lists, true documents."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

import edge_dx
from edge_dx import errors, manifest
from edge_dx.result import Reason
from tests import tiny

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edge_dx"

HEAVY = {"torch", "cv2", "pydicom", "PIL", "serial", "onnxruntime", "onnx", "export",
         "firmware_bridge", "cryptography", "openvino", "ai_edge_litert", "tflite_runtime",
         "tensorrt", "tensorrt_rtx_bindings", "cuda", "scipy"}  # fmt: skip


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        cwd=ROOT,
    )  # fmt: skip
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("statement", ["import edge_dx", "import edge_dx.__main__",
                                       "from edge_dx import manifest, bundle, errors"])  # fmt: skip
def test_importing_it_brings_in_nothing_heavy(statement: str) -> None:
    assert not modules_after(statement) & HEAVY


def test_the_public_names_are_these() -> None:
    assert edge_dx.__all__ == [
        "Model", "Reason", "Result", "Status", "Study", "TrustStore", "load", "study",
    ]  # fmt: skip
    public = {
        name
        for name, value in vars(edge_dx).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(edge_dx.__all__)


# --- arrows ---

# A module imports at its top only what stands on a line above its own. A package counts as one.
RANKS = """
errors steps device
signal wfdb
manifest tensors image
result trust
bundle backends sources interpret metrics vector dicom_codes
gate shelf choice isolate ec57 ecg
intake
model
signal_model
proof stream
overlay phantom
demo report
commands
__init__ __main__
"""
RANK = {name: number for number, line in enumerate(RANKS.strip().splitlines())
        for name in line.split()}  # fmt: skip
# Below the public face, so that `__version__` can be asked for without an arrow upwards.
ANYWHERE = {"__init__"}


def sources_of(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path, *, top_only: bool) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, with their line; at its top, or anywhere."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(tree.body) if top_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def test_every_module_has_a_rank() -> None:
    found = {module_of(path) for path in sources_of(PACKAGE)}
    assert found <= set(RANK), "give the new module its line in RANKS"


def test_no_module_imports_one_of_a_higher_rank() -> None:
    wrong = []
    for path in sources_of(PACKAGE):
        own = module_of(path)
        for name, line in imported(path, top_only=True):
            parts = name.split(".")
            if parts[0] != "edge_dx" or len(parts) < 2:
                continue
            other = parts[1] if parts[1] in RANK else "__init__"
            if other in ANYWHERE or other == own:
                continue
            higher = RANK[other] > RANK[own]
            beside = RANK[other] == RANK[own] and other != own
            if higher or beside:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("edge_dx", {"torch", "export", "firmware_bridge", "onnx", "PIL", "serial", "tests"}),
        ("export", {"firmware_bridge", "tests", "serial"}),
    ],
)
def test_the_arrows_between_packages_point_one_way(package: str, forbidden: set[str]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources_of(ROOT / package)
        for name, line in imported(path, top_only=False)
        if name.split(".")[0] in forbidden and (path.relative_to(ROOT), name) not in EXCEPTED
    ]
    assert not wrong


# The extra `dicom` brings Pillow for JPEG within DICOM; pictures are OpenCV's.
EXCEPTED = {(Path("edge_dx/sources/dicom/codestream.py"), "PIL.Image")}


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources_of(PACKAGE)
        for name, line in imported(path, top_only=True)
        if name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_engines_that_report_home_are_imported_in_one_place() -> None:
    """`backends/quiet.py` silences them; an import of one's own would not."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources_of(PACKAGE)
        for name, line in imported(path, top_only=False)
        if name.split(".")[0] in {"onnxruntime", "openvino"}
    ]
    assert not wrong


# --- documents ---


def test_the_limits_in_the_documents_are_those_of_the_readers() -> None:
    """Counts as they stand, bytes in MB; each in its row of the table."""
    from edge_dx.sources import limits

    told = (ROOT / "docs" / "hostile-input.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip()
            for line in told.splitlines() if line.count("|") == 4}  # fmt: skip
    for name, value in (
        ("frames", f"{limits.MAX_FRAMES:,}"),
        ("elements of a DICOM file, those in sequences included", f"{limits.MAX_ELEMENTS:,}"),
        ("sequences within sequences", str(limits.MAX_NESTING)),
        ("scans of a progressive JPEG", str(limits.MAX_SCANS)),
        ("a picture, or a DICOM file of one frame", f"{limits.MAX_FILE_BYTES >> 20} MB"),
        ("bytes of a frame, decoded: rows × columns × samples × bytes",
         f"{limits.MAX_FRAME_BYTES >> 20} MB"),
        ("a header value that is looked at", f"{limits.MAX_HEADER_VALUE_BYTES >> 20} MB"),
    ):  # fmt: skip
        assert rows[name] == value, name


def test_the_schema_in_the_documents_is_that_of_the_types() -> None:
    written = json.loads((ROOT / "docs" / "manifest.schema.json").read_text("utf-8"))
    as_json = json.loads(json.dumps(manifest.json_schema()))  # tuples become lists
    assert written == as_json, (
        "write it again: python -m edge_dx.manifest > docs/manifest.schema.json"
    )


def test_a_manifest_fits_the_schema_and_a_spoilt_one_does_not() -> None:
    schema = manifest.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    told = json.loads(manifest.encode(tiny.parts().built()))
    validator.validate(told)
    for spoil in ({"surprise": 1}, {"version": "1"}, {"task": "x"}, {"variants": []}):
        assert not validator.is_valid({**told, **spoil})


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    open_at: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^ {4}([│├└─ ]*)([A-Z]\w+)\b", line)
        if found:
            depth, name = len(found[1]) // 4, found[2]
            open_at[depth] = name
            drawn[name] = open_at[depth - 1] if depth else "Exception"
    real = {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert drawn == real
    assert all(value.__doc__ for value in vars(errors).values() if inspect.isclass(value))


def test_every_error_is_raised_somewhere_or_is_a_base() -> None:
    code = "\n".join(p.read_text("utf-8") for p in sources_of(PACKAGE) if p.name != "errors.py")
    for name, value in vars(errors).items():
        if inspect.isclass(value) and not value.__subclasses__():
            assert re.search(rf"\b{name}\(", code), f"{name} is never raised"


def test_every_reason_is_used_and_documented() -> None:
    code = "\n".join(p.read_text("utf-8") for p in sources_of(PACKAGE) if p.name != "result.py")
    document = (ROOT / "docs" / "errors-and-reasons.md").read_text("utf-8")
    for reason in Reason:
        used = f"Reason.{reason.name}" in code or re.search(rf'"{reason.value}"\s*\)', code)
        assert used or f'"{reason.value}"' in code, f"{reason.name} is never given"
        assert f"| `{reason.value}` |" in document, f"docs/errors-and-reasons.md lacks {reason}"
    listed = re.findall(r"^\| `([a-z_0-9]+)` \|", document, re.MULTILINE)
    assert set(listed) == {reason.value for reason in Reason}


def test_every_error_is_documented() -> None:
    document = (ROOT / "docs" / "errors-and-reasons.md").read_text("utf-8")
    for name, value in vars(errors).items():
        if inspect.isclass(value):
            assert f"`{name}`" in document, f"docs/errors-and-reasons.md lacks {name}"
