"""The whole way from a stream recipe to a bundle, with the recordings here or without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import torch

from edge_dx import proof
from edge_dx.bundle import Bundle, describe_members, write_bundle
from edge_dx.errors import ProofFailed
from edge_dx.manifest import Manifest, OperatingPoint, Stream
from edge_dx.signal_model import SignalModel
from export.errors import DataMissing, GateFailed, RecipeError
from export.golden import npz
from export.pack import open_written, tool_versions
from export.pipeline import Options
from export.streams import recordings as reading
from export.streams.card import card_json, card_markdown
from export.streams.contract import manifest_of
from export.streams.evidence import (
    Evidence,
    Measured,
    check_same,
    contract_digest,
    read_evidence,
    write_evidence,
)
from export.streams.files import Files, Maker
from export.streams.golden import golden_of
from export.streams.modules import Networks, read_networks
from export.streams.recipe import Recipe, VariantName
from export.streams.study import Study

Say = Callable[[str], None]


def export(recipe: Recipe, path: Path, options: Options | None = None) -> Bundle:
    """Exports a stream recipe to a bundle.

    Args:
        recipe: what to export.
        path: the `.edx` file to write.
        options: as for images; variants that fail a gate are never dropped.

    Returns:
        The bundle, opened again from the file and proved.

    Raises:
        EdgeDxError: one of its kinds; the message says what to do.
    """
    options = options or Options()
    if options.drop_failed or options.report is not None:
        raise RecipeError(
            f"{recipe.path}: --drop-failed and --report are for recipes of images; a stream's "
            "bundle holds its own record, evidence.json"
        )
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums keep their order
    try:
        return _exported(recipe, path, options)
    finally:
        torch.set_num_threads(before)


def _exported(recipe: Recipe, path: Path, options: Options) -> Bundle:
    names = _chosen(recipe, options)
    networks = read_networks(recipe)
    manifest = manifest_of(recipe, networks)
    root = options.data_root or recipe.path.parent
    stored = None if options.keep_evidence else read_evidence(recipe)
    if stored is None:
        files, evidence = _measured(recipe, networks, manifest, root, options)
    else:
        files = _made_again(recipe, networks, stored, names, options.say)
        evidence = stored
    sets = {"calibration": evidence.records, "validation": evidence.records}
    manifest = manifest_of(recipe, networks, sets)
    entries = tuple(_entry(files[name], evidence.variants[name]) for name in names)
    manifest = msgspec.structs.replace(manifest, variants=entries)
    bundle = _pack(recipe, manifest, files, evidence, path, options)
    if options.keep_evidence:  # only now that the bundle was proved
        options.say(f"evidence written to {write_evidence(recipe, evidence)}")
    return bundle


def _chosen(recipe: Recipe, options: Options) -> tuple[VariantName, ...]:
    all_names = recipe.told.variants
    if options.variants is None:
        return all_names
    unknown = [name for name in options.variants if name not in all_names]
    if unknown or not options.variants:
        raise RecipeError(
            f"{recipe.path}: has no variant {', '.join(unknown) or '(none given)'}; it has: "
            f"{', '.join(all_names)}"
        )
    if options.keep_evidence:
        raise RecipeError("--write-evidence measures all variants; leave --variants out")
    return tuple(name for name in all_names if name in options.variants)


def _made_again(
    recipe: Recipe, networks: Networks, stored: Evidence, names: tuple[VariantName, ...], say: Say
) -> dict[str, Files]:
    """The files with the stored ranges, if they are those that were measured."""
    maker = Maker(networks, reduce_range=recipe.told.calibration.reduce_range)
    files: dict[str, Files] = {}
    for name in names:
        say(f"exporting {name}")
        own = stored.variants.get(name)
        files[name] = maker.files(name, own.ranges if own is not None else {})
    check_same(recipe, stored, files)
    say(
        "thresholds and figures: the stored ones; they were measured on files that are byte for "
        "byte those just exported"
    )
    return files


def _measured(
    recipe: Recipe, networks: Networks, manifest: Manifest, root: Path, options: Options
) -> tuple[dict[str, Files], Evidence]:
    part = recipe.told.data.records
    found = reading.read_recordings(manifest, part, root)
    if found is None:
        file = recipe.beside(recipe.told.evidence)
        raise DataMissing(
            f"data.records ({part.name}): {root / part.root} is not there, and {file} is not "
            "either; give the directory that holds the set with --data DIR"
        )
    options.say(f"records: {part.name}, {len(found)} of {len(part.patients)} patients")
    study = Study(recipe, networks, manifest, found, options.say)
    files, variants = study.run()
    evidence = Evidence(
        name=f"{recipe.told.name} {recipe.told.version}",
        contract_sha256=contract_digest(recipe),
        weights_sha256=dict(networks.digests),
        records=reading.told(part, root),
        unseen=study.unseen,
        variants=variants,
        drift=tuple(study.drift),
        gates=tuple(study.gates),
        tools=tool_versions(),
    )
    return files, evidence


def _entry(files: Files, measured: Measured) -> object:
    points: tuple[OperatingPoint, ...] = measured.operating_points
    return msgspec.structs.replace(
        files.entry, tolerance=measured.tolerance, operating_points=points,
        fidelity=measured.fidelity,
    )  # fmt: skip


def _pack(
    recipe: Recipe, manifest: Manifest, files: Mapping[str, Files], evidence: Evidence,
    path: Path, options: Options,
) -> Bundle:  # fmt: skip
    told = recipe.told
    golden = golden_of(manifest, told.golden, files)
    stream = manifest.stream
    assert isinstance(stream, Stream), "the exporter of streams made it"
    manifest = msgspec.structs.replace(
        manifest, stream=msgspec.structs.replace(stream, golden=golden.cases)
    )
    members = {name: raw for own in files.values() for name, raw in own.members.items()}
    sizes = {name: len(raw) for name, raw in members.items()}
    members["golden.npz"] = npz(golden.arrays)
    members["evidence.json"] = msgspec.json.encode(evidence)
    members["card.json"] = card_json(recipe, manifest, sizes, evidence)
    members["card.md"] = card_markdown(recipe, manifest, sizes, evidence)
    manifest = msgspec.structs.replace(manifest, members=describe_members(members))
    _check_sizes(recipe, files, members)
    write_bundle(path, manifest, members, options.private_key_pem)
    size = path.stat().st_size
    if size > told.limits.total_mb * 1e6:
        path.unlink()
        raise GateFailed(
            f"{path}: the bundle has {size / 1e6:.3f} MB, {recipe.path} allows "
            f"{told.limits.total_mb:g} (limits.total_mb); leave a variant or a golden signal out",
            "all", "size",
        )  # fmt: skip
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    options.say(f"{size} bytes, SHA-256 {digest[:16]}…")
    return _reopened(path, options)


def _check_sizes(recipe: Recipe, files: Mapping[str, Files], members: Mapping[str, bytes]) -> None:
    limit = recipe.told.limits.int8_kb
    for name, own in files.items():
        for network in own.networks:
            size = len(members[own.member(network)]) / 1e3
            if name.endswith("int8") and size > limit:
                raise GateFailed(
                    f"{name}: {network} has {size:.1f} kB, {recipe.path} allows {limit:g} "
                    "(limits.int8_kb); make the network smaller",
                    name, "size",
                )  # fmt: skip


def _reopened(path: Path, options: Options) -> Bundle:
    """Opened the way a device does; every variant proved with its golden signals.

    Raises:
        ProofFailed: a variant does not give its golden outputs.
    """
    bundle = open_written(path, options.private_key_pem)
    for variant in bundle.manifest.variants:
        with SignalModel.opened(bundle, variant, variant.engines[0], threads=1) as model:
            proved = proof.verify(model)
        if not proved.passed:
            raise ProofFailed(f"{path}: variant {variant.name}: {proved.problem}")
    return bundle
