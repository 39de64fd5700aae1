"""What the README tells a new user to type works as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from edge_dx import ec57, phantom, wfdb
from edge_dx.__main__ import main
from edge_dx.bundle import open_bundle
from edge_dx.manifest import Estimate
from edge_dx.shelf import names
from edge_dx.sources.samples import Synthetic

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SHELL = [
    shlex.split(line, comments=True)
    for kind, text in BLOCKS
    if kind == "sh"
    for line in text.splitlines()
    if line.strip()
]


@pytest.fixture
def user_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the film, the ECG and the annotations that the README speaks of."""
    if not {"chest-tb", "ecg-beats", "ecg-af"} <= set(names()):
        pytest.skip("a shipped bundle is not there; make it with `make zoo`")
    pytest.importorskip("scipy", reason="the extra ecg (scipy) is not installed")
    phantom.write_png(phantom.draw(seed=1), tmp_path / "film.png")
    write_record(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_record(directory: Path) -> None:
    """`record.hea` with its signal, `record.atr`, and `results/record.edge`: a made-up heart."""
    source = Synthetic(rate_hz=250, seconds=330)
    mv = np.concatenate([block.mv[:, 0] for block in source.blocks()])
    stored = np.round(mv * 200).astype("<i2")
    (directory / "record.dat").write_bytes(stored.tobytes())
    checksum = int(stored.sum(dtype=np.int64)) & 0xFFFF
    signal = f"record.dat 16 200/mV 16 0 {stored[0]} {checksum} 0 II"
    (directory / "record.hea").write_text(f"record 1 250 {len(mv)}\n{signal}\n")
    beats = ec57.annotated([(beat.index, "N") for beat in source.beats()], rate_hz=250)
    (directory / "results").mkdir()
    for path in ("record.atr", "results/record.edge"):
        wfdb.write_annotations(directory / path, beats)


@pytest.mark.parametrize(
    "command", [c for c in SHELL if c[0] == "edge-dx"], ids=lambda c: " ".join(c)
)
def test_edge_dx_commands(
    command: list[str], user_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command[1:]) == 0
    assert capsys.readouterr().out


PYTHON = [text for kind, text in BLOCKS if kind == "python"]


@pytest.mark.parametrize("code", [code for code in PYTHON if "firmware_bridge" in code])
def test_python_with_a_device(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("serial", reason="the extra bridge is not installed")
    from firmware_bridge import Simulator
    from firmware_bridge.simulator import SimulatedDevice
    from firmware_bridge.simulator.streams import made_up_heart, record_of

    device = SimulatedDevice([record_of("ecg", 250, ["II"], made_up_heart(250))])
    with Simulator(device) as simulator:
        assert "/dev/ttyACM0" in code
        exec(compile(code.replace("/dev/ttyACM0", simulator.tcp()), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("(25, 1) uV 0 Moment(")


@pytest.mark.parametrize("code", [code for code in PYTHON if "firmware_bridge" not in code])
def test_python(code: str, user_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    exec(compile(code, "README.md", "exec"), {})
    told = capsys.readouterr().out
    assert told.count("Beat(") > 300 if "stream" in code else "tuberculosis" in told


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {command[1] for command in SHELL if command[0] == "make"}
    assert {"demo", "test"} <= named
    assert named <= targets


def test_extras_exist() -> None:
    metadata = (ROOT / "pyproject.toml").read_text()
    for extra in set(re.findall(r"\[(dicom|export|dev|[a-z]+)\]'", README)):
        assert re.search(rf"^{extra} = \[", metadata, re.MULTILINE), extra


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_figures_are_those_of_the_shipped_bundle() -> None:
    if "chest-tb" not in names():
        pytest.skip("the shipped bundle is not there; make it with `make zoo`")
    manifest = open_bundle(names()["chest-tb"]).manifest
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
            for line in README.splitlines() if len(cells := line.split("|")) == 8}  # fmt: skip

    def told(estimate: Estimate | None) -> str:
        assert estimate is not None
        return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"

    for variant in manifest.variants:
        (point,) = variant.operating_points
        figures = variant.fidelity
        assert figures is not None
        assert rows[f"`{variant.name}`"] == [
            f"{manifest.members[variant.file].bytes / 1e6:.2f} MB",
            told(figures.auc),
            told(point.sensitivity),
            told(point.specificity),
            f"{figures.decision_flips} of {figures.n}",
        ]
    figures = manifest.variant("onnx-int8").fidelity
    assert figures is not None
    for group in figures.groups:
        films = group.positives + group.negatives
        assert f"{told(group.auc)} on {films}" in README.replace("\n", " "), group.name


@pytest.mark.parametrize("bundle", ["ecg-beats", "ecg-af"])
def test_figures_of_streams_are_those_of_the_shipped_bundles(bundle: str) -> None:
    if bundle not in names():
        pytest.skip("the shipped bundle is not there; make it with `make zoo`")
    manifest = open_bundle(names()[bundle]).manifest
    told = {f"{100 * f.value.value:.2f} [{100 * f.value.low:.1f}, {100 * f.value.high:.1f}]"
            for v in manifest.variants if v.fidelity and v.fidelity.figures
            for f in v.fidelity.figures}  # fmt: skip
    head = "| | " + " | ".join(f"`{variant.name}`" for variant in manifest.variants) + " |"
    for document in ("README.md", "docs/ecg.md"):
        lines = (ROOT / document).read_text("utf-8").splitlines()
        rows = lines[lines.index(head) + 2 :]
        table = rows[: rows.index("")]
        assert len(table) >= 4
        for row in table:
            assert {cell.strip() for cell in row.split("|")[2:-1]} <= told, row
