"""`edge-dx doctor`: what is here, what is missing and how to get it."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import platform
from collections.abc import Iterator

from edge_dx import __version__, device, shelf
from edge_dx.backends import ENGINES, engine_state
from edge_dx.backends.quiet import engine_module
from edge_dx.errors import EdgeDxError
from edge_dx.trust import DEVELOPMENT, TrustStore, fingerprint, operator_directories

# package → (what it is for, how to get it)
_PACKAGES = {
    "numpy": ("arrays", "pip install edge-dx"),
    "msgspec": ("the manifest", "pip install edge-dx"),
    "cv2": ("reading and preparing images", "pip install opencv-python-headless"),
    "cryptography": ("checking signatures", "pip install edge-dx"),
    "pydicom": ("reading DICOM", "pip install 'edge-dx[dicom]'"),
}


def act(options: argparse.Namespace) -> int:
    """Prints the findings; exit code 1 where nothing could run at all."""
    del options
    usable = False
    print(f"edge-dx {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(f"processor        {device.processor()} ({platform.machine()})")
    print(f"instruction sets {', '.join(device.instruction_sets()) or 'unknown'}")
    print("int8             " + ("dot products are here: int8 variants are preferred"
          if device.has_int8_dot() else
          "no dot products: int8 may saturate; fp32 variants are preferred"))  # fmt: skip
    print("engines")
    for name in ENGINES:
        there, detail = engine_state(name)
        usable |= there and name != "pretend"
        print(f"  {'yes' if there else 'no ':<4} {name:<10} {detail}")
        if name == "onnx" and there:
            found = engine_module("onnxruntime").get_available_providers()
            print(f"       providers  {', '.join(found)}")
    print("packages")
    for line in _packages():
        print(line)
    print("trusted signers")
    for line in _trust():
        print(line)
    print("bundles")
    for name, path in shelf.names().items():
        print(f"  {name:<12} {path}")
    if not shelf.names():
        print(f"  none; put .edx files into {shelf.installed_directory()}")
    return 0 if usable else 1


def _packages() -> Iterator[str]:
    for package, (purpose, install) in _PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            yield f"  no   {package:<13} for {purpose}; {install}"
            continue
        try:
            version = getattr(importlib.import_module(package), "__version__", "version unknown")
            yield f"  yes  {package:<13} {version}"
        except Exception as error:  # whatever a broken installation raises is the finding
            yield f"  no   {package:<13} is installed but broken ({error}); {install}"


def _trust() -> Iterator[str]:
    try:
        store = TrustStore.default()
    except EdgeDxError as error:
        yield f"  {error}"
        return
    for name, key in store.keys.items():
        yield f"  {name:<12} {fingerprint(key)}  ({store.origin})"
    if not store.keys:
        yield f"  none ({store.origin}): every bundle will be refused"
    if DEVELOPMENT in store.keys:
        yield (
            "  the development key's private half is public: anybody can sign with it. Before "
            f"clinical use make {operator_directories()[0]} and put your own keys into it"
        )
