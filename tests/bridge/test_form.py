"""The form of firmware_bridge: light imports, arrows, the error tree, public names."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import firmware_bridge
from firmware_bridge import errors

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "firmware_bridge").rglob("*.py"))


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("edge_dx", {"serve.py"}),
        ("export", set()),
        ("serial", {"port.py"}),
        ("cbor2", {"cbor.py"}),
        ("cobs", {"native.py"}),
        ("tests", set()),
    ],
)
def test_packages_are_imported_in_their_rooms_alone(package: str, allowed: set[str]) -> None:
    assert {path.name for path in SOURCES if package in imported(path)} <= allowed


def test_importing_it_brings_in_neither_pyserial_nor_edge_dx() -> None:
    code = "import firmware_bridge.__main__, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          timeout=60, cwd=ROOT)  # fmt: skip
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"serial", "edge_dx", "onnxruntime", "scipy", "cv2"}


@pytest.mark.parametrize("package", ["cobs", "cbor2"])
def test_without_the_extra_the_error_says_how_to_get_it(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import firmware_bridge"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          check=False, cwd=ROOT)  # fmt: skip
    assert done.returncode == 1
    assert "pip install 'edge-dx[bridge]'" in done.stderr.splitlines()[-1]


def test_the_public_names_are_these() -> None:
    assert firmware_bridge.__all__ == [
        "Block", "BridgeError", "Gap", "Link", "LinkLost", "Moment", "Picture", "Simulator",
        "State", "connect",
    ]  # fmt: skip


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


def test_every_error_is_raised_somewhere_or_is_a_base() -> None:
    code = "\n".join(p.read_text("utf-8") for p in SOURCES if p.name != "errors.py")
    for name, value in vars(errors).items():
        if inspect.isclass(value) and not value.__subclasses__():
            assert re.search(rf"\b{name}\(", code), f"{name} is never raised"


def test_the_limits_in_the_documents_are_those_of_the_code() -> None:
    from firmware_bridge import cbor, messages, smp
    from firmware_bridge.frames import MAX_FRAME

    wire = (ROOT / "docs" / "wire.md").read_text("utf-8")
    for told in (
        f"{MAX_FRAME:,} bytes at most", f"more than {cbor.MAX_ITEMS:,} items",
        f"more than {cbor.MAX_DEPTH} containers", f"at most {messages.MAX_LEADS} leads",
        f"≤ {messages.MAX_EVENT_BYTES} |", f"0x{smp.Group.EDGE_DX:x} | 0 hello",
    ):  # fmt: skip
        assert told in wire, told
    assert messages.MAX_PIXELS == 2**24


def test_the_version_of_the_page_is_that_of_the_code() -> None:
    from firmware_bridge.capabilities import PROTOCOL

    wire = (ROOT / "docs" / "wire.md").read_text("utf-8")
    assert wire.startswith(f"# The wire, version {PROTOCOL[0]}.{PROTOCOL[1]}\n")
    assert f"of this page: [{PROTOCOL[0]}, {PROTOCOL[1]}]" in wire
