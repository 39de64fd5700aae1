"""What ran, in words: for the head of every report."""

from __future__ import annotations

import platform

from edge_dx import __version__, device
from edge_dx.backends import engine_state
from edge_dx.bundle import Bundle
from edge_dx.model import Model
from edge_dx.trust import DEVELOPMENT


def signed(bundle: Bundle) -> str:
    """By whom."""
    if bundle.signer is None:
        return "UNSIGNED: nobody vouches for it"
    if bundle.signer == DEVELOPMENT:
        return "signed with the development key, whose private half is public"
    return f"signed by {bundle.signer}"


def of_bundle(bundle: Bundle) -> list[tuple[str, str]]:
    """Name, digest, signature, intended use."""
    manifest = bundle.manifest
    return [
        ("bundle", f"{manifest.name} {manifest.version}"),
        ("digest", f"SHA-256 {bundle.digest}"),
        ("signature", signed(bundle)),
        ("intended use", " ".join(manifest.intended_use.split())),
    ]


def of_model(model: Model) -> list[tuple[str, str]]:
    """Variant, engine, device."""
    version = engine_state(model.engine)[1]
    return [
        ("variant", f"{model.variant.name}, {model.variant.precision}"),
        ("why this one", model.choice),
        ("engine", f"{model.engine} {version}"),
        ("device", f"{device.processor()} ({platform.machine()}, {platform.system()})"),
        ("instruction sets", ", ".join(device.instruction_sets()) or "unknown"),
    ]


def of_program() -> list[tuple[str, str]]:
    """The program's own version."""
    return [("edge_dx", __version__)]
