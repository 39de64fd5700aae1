"""Where engines are kept, and when one is built again; on the fake of the library."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_dx import device
from edge_dx.backends.tensorrt import backend as room
from edge_dx.backends.tensorrt import cache
from edge_dx.backends.tensorrt.engine_from_onnx import Built, Options
from tests import tiny
from tests.backends.tensorrt.opening import Install, Parts, films, opened


def test_an_engine_is_kept_and_found_again(install: Install, bundle: Parts, tmp_path: Path) -> None:
    fault, _ = install()
    digests = {opened(bundle).built for _ in range(3)}
    assert fault.builds == 1
    assert len(digests) == 1
    directory = tmp_path / "state" / "edge-dx" / "engines"
    (sidecar,) = directory.glob("*.json")
    told = json.loads(sidecar.read_bytes())
    assert told["gpu"] == "Orin (fake)"
    assert told["library"] == "tensorrt 10.3.0"
    assert told["compute_capability"] == "8.7"
    assert {told["engine_sha256"]} == digests
    assert [p.name for p in directory.glob(".*")] == [".lock"]  # nothing half written
    assert float(told["build_s"]) >= 0
    assert told["built_at"].endswith("Z")
    assert len(sidecar.stem) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda install, bundle: (install("10.13.2"), bundle),
        lambda install, bundle: (install(name="Thor (fake)"), bundle),
        lambda install, bundle: (install(), (*bundle[:2], tiny.network(seed=1))),
    ],
    ids=["version", "GPU", "file"],
)
def test_whatever_changes_builds_anew(install: Install, bundle: Parts, change: Any) -> None:
    install()
    before = opened(bundle).built
    (fault, _), other = change(install, bundle)
    assert opened(other).built != before
    assert fault.builds == 1


def test_other_flags_build_anew(
    install: Install, bundle: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, _ = install()
    opened(bundle)
    monkeypatch.setattr(room, "MAX_BATCH", 4)
    opened(bundle)
    assert fault.builds == 2


@pytest.mark.parametrize("damage", ["plan", "sidecar", "no sidecar", "empty sidecar"])
def test_a_damaged_engine_is_never_trusted(
    install: Install, bundle: Parts, tmp_path: Path, damage: str
) -> None:
    fault, _ = install()
    opened(bundle)
    directory = tmp_path / "state" / "edge-dx" / "engines"
    (plan,), (sidecar,) = directory.glob("*.plan"), directory.glob("*.json")
    if damage == "plan":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif damage == "sidecar":
        sidecar.write_text("[1")
    elif damage == "empty sidecar":
        sidecar.write_text("[]")
    else:
        sidecar.unlink()
    assert opened(bundle).run({"image": films(1)})["logits"].shape == (1, 1)
    assert fault.builds == 2
    opened(bundle)
    assert fault.builds == 2


def test_where_nothing_can_be_written_each_start_builds(
    install: Install, bundle: Parts, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    fault, _ = install()
    opened(bundle)
    opened(bundle)
    assert fault.builds == 2
    told = capsys.readouterr()
    assert "each start builds anew" in told.err
    assert told.out == ""


def test_the_timing_cache_is_handed_on(install: Install, bundle: Parts) -> None:
    fault, _ = install()
    opened(bundle)
    opened((*bundle[:2], tiny.network(seed=1)))
    assert fault.timing_caches == [b"", b"measured"]


def test_a_timing_cache_of_elsewhere_is_dropped(
    install: Install, bundle: Parts, tmp_path: Path
) -> None:
    fault, _ = install()
    opened(bundle)
    (kept,) = (tmp_path / "state" / "edge-dx" / "engines").glob("*.cache")
    kept.write_bytes(b"of another device")
    opened((*bundle[:2], tiny.network(seed=1)))
    assert fault.timing_caches[1:] == [b"of another device", b""]


def test_pruning_leaves_what_is_not_ours(install: Install, bundle: Parts, tmp_path: Path) -> None:
    install()
    opened(bundle)
    install("10.13.2")
    opened(bundle)
    directory = cache.here()
    sidecars = [json.loads(path.read_bytes()) for path in directory.glob("*.json")]
    last = next(told for told in sidecars if told["library"] == "tensorrt 10.13.2")
    facts = {name: last[name] for name in
             ("gpu", "compute_capability", "library", "flags", "file_sha256")}  # fmt: skip
    (directory / "notes.json").write_text("[]")
    (directory / "broken.json").write_text("{")
    assert len(list(directory.glob("*.plan"))) == 2
    assert cache.prune(directory, facts) == 1
    assert cache.prune(directory, facts) == 0
    assert (directory / "notes.json").exists()
    opened(bundle)
    assert len(list(directory.glob("*.plan"))) == 1


def test_a_pair_that_was_renamed_is_not_trusted(
    install: Install, bundle: Parts, tmp_path: Path
) -> None:
    """It would load, and answer with another model."""
    fault, _ = install()
    opened(bundle, tiny.network(seed=1))
    directory = tmp_path / "state" / "edge-dx" / "engines"
    foreign = {path.suffix: path.read_bytes() for path in directory.glob("*.[pj]*")}
    for path in directory.glob("*.[pj]*"):
        path.unlink()
    opened(bundle)
    for path in directory.glob("*.[pj]*"):
        path.write_bytes(foreign[path.suffix])
    found = opened(bundle).run({"image": films(2)})
    assert found["logits"] == pytest.approx(tiny.computed(films(2))["logits"], abs=2e-5)
    assert fault.builds == 3


def test_a_plan_of_somebody_else_is_not_trusted(
    install: Install, bundle: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, _ = install()
    opened(bundle)
    (plan,) = (tmp_path / "state" / "edge-dx" / "engines").glob("*.plan")
    assert plan.stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        os.chown(plan, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    opened(bundle)
    assert fault.builds == 2


def test_an_engine_that_does_not_load_any_more_is_built_again(
    install: Install, bundle: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    _, gpu = install()
    before = opened(bundle).built
    fault, gpu = install(driver="560")  # no fact tells of it
    backend = opened(bundle)
    assert backend.built != before
    assert fault.builds == 1
    assert "does not load (Serialization assertion" in capsys.readouterr().err
    assert backend.run({"image": films(2)})["logits"].shape == (2, 1)
    backend.close()
    assert (gpu.held, gpu.streams) == ({}, set())
    assert opened(bundle).built == backend.built
    assert fault.builds == 1


def test_two_that_build_at_once_end_with_one_engine(tmp_path: Path) -> None:
    facts = {"gpu": "g", "file_sha256": "0" * 64}
    both = threading.Barrier(2, timeout=20)
    found: list[cache.Engine] = []

    def start(plan: bytes) -> None:
        def build(timing: bytes | None) -> Built:
            both.wait()  # neither has written yet
            return Built(plan, b"measured")

        # A thread begins with an empty context, as a process does.
        with cache.beside(tmp_path):
            found.append(cache.engine(facts, build, print))

    threads = [threading.Thread(target=start, args=(plan,)) for plan in (b"one", b"other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({engine.digest for engine in found}) == 1
    assert sorted(engine.was_kept for engine in found) == [False, True]


def test_it_is_beside_the_bundle_or_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chest.edx"
    own = device.state_directory() / "engines"
    assert cache.here() == own
    assert cache.directory_for(path) == own  # no such bundle
    path.write_bytes(b"")
    assert cache.directory_for(path) == tmp_path / "chest.edx.engines"
    with cache.beside(path):
        assert cache.here() == tmp_path / "chest.edx.engines"
    assert cache.here() == own
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    assert cache.directory_for(path) == own


def test_the_same_facts_have_the_same_key_and_any_other_has_another() -> None:
    facts = {"gpu": "Orin", "library": "tensorrt 10.3.0", "flags": str(Options())}
    assert cache.key_of(facts) == cache.key_of(dict(reversed(facts.items())))
    others = [{**facts, name: value + "x"} for name, value in facts.items()]
    others += [{**facts, "flags": str(Options(max_batch=4))}]
    others += [{**facts, "flags": str(Options(opt_batch=2))}]
    others += [{**facts, "flags": str(Options(workspace_bytes=1))}]
    assert len({cache.key_of(one) for one in (facts, *others)}) == 7
