"""docs/signal-path.md says what is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_dx.signal import Bandpass, Highpass, Notch
from edge_dx.sources.samples import open_samples
from tests.signal.feeding import STEPS, path
from tests.sources.samples.test_edf import edf

DOCUMENT = (Path(__file__).parents[2] / "docs" / "signal-path.md").read_text("utf-8")


def rows(first: str) -> list[list[str]]:
    """The table whose first heading this is."""
    _, _, rest = DOCUMENT.partition(f"| {first} |")
    lines = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_delays_in_the_table_are_measured() -> None:
    told = rows("device rate")
    assert len(told) == 8
    for rates, samples, delays, warm in told:
        delays_ms = [float(word) for word in re.findall(r"[\d.]+", delays)]
        for rate, delay_ms in zip(
            re.findall(r"\d+", rates), delays_ms * (4 - len(delays_ms)), strict=False
        ):
            signal_path = path(int(rate), STEPS)
            assert signal_path.clock.delay_s * 1000 == pytest.approx(delay_ms, abs=0.501)
            assert round(signal_path.clock.receptive_field / 250, 1) == float(warm.split()[0])
            if rate != "250":
                assert signal_path.timings[0].delay_samples == int(samples.split()[0])


@pytest.mark.parametrize(
    ("step", "delay_ms", "field_s"),
    [
        (Highpass(cutoff_hz=0.5), 0, "2.1"), (Highpass(cutoff_hz=0.05), 0, "20.6"),
        (Bandpass(low_hz=0.5, high_hz=40.0), 8, "2.2"), (Notch(), 0, "0.9"),
    ],
)  # fmt: skip
def test_the_steps_in_the_table_are_measured(step: object, delay_ms: int, field_s: str) -> None:
    timing = path(250, [step]).timings[0]
    assert timing.delay_samples * 4 == delay_ms
    assert f"{timing.receptive_field_samples / 250:.1f}" == field_s
    assert f"{field_s} s" in DOCUMENT


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    records = [[rng.normal(0, 300, 256).astype(np.int16)] for _ in range(10)]
    Path("night.edf").write_bytes(edf(records))
    example, together = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "docs/signal-path.md", "exec"), names)
    with np.load("state.npz") as saved:
        assert names["path"].resume(saved).arrays["next"] == 2560  # type: ignore[attr-defined]
    names["arrivals"] = [np.zeros((36, 1))] * 64
    exec(compile(together, "docs/signal-path.md", "exec"), names)
    assert len(names["states"]) == 64  # type: ignore[arg-type]


def test_the_arrays_in_the_table_are_those_of_a_state() -> None:
    told = {
        name for row in rows("array") for name in re.findall(r"`(?:<n>\.)?(\w+)`", row[0])
    }  # fmt: skip
    assert told == {name.rpartition(".")[2] for name in path(360, STEPS).start().arrays}


def test_the_header_of_a_pipe_is_one() -> None:
    import io

    from edge_dx.sources.samples import Pipe

    (line,) = re.findall(r"```\n(\{.*?\})\n```", DOCUMENT)
    assert Pipe(io.BytesIO(line.encode() + b"\n")).leads == ("I", "II")
    assert open_samples.__doc__
