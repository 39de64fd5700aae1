"""The R-peak detector: its network hop by hop, what it is trained on, and the shipped weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edge_dx import wfdb
from edge_dx.ec57 import DS1, DS2
from export.networks.ecg import HOP_ROWS, STRIDE_ROWS, Detector, build
from export.training.ecg.detector import (
    CROP,
    Plan,
    batch_of,
    cut,
    lead_of,
    loss_of,
    targets,
    train,
)
from export.training.ecg.evaluation import compared, counts_of, frames_of, gross, samples_found
from export.training.ecg.noise import NOISY_DB, disturbed, taller
from export.training.ecg.records import read_record, through
from export.training.ecg.sets import CPSC2019, FRONT, Recording, folds, read_snippet

ZOO = Path(__file__).parents[2] / "export" / "zoo" / "ecg"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "ecg_mitbih").exists(),
                                reason="needs MIT-BIH's DS1 beside the checkout")  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def beating(n: int = 9000, every: int = 200, leads: int = 2, patient: str = "one") -> Recording:
    """Sharp complexes at known rows, in leads of different sign and size."""
    beats = np.arange(150.0, n - 50, every)
    t = np.arange(n)[:, None]
    bells = np.exp(-0.5 * ((t - beats) / 2.5) ** 2).sum(axis=1)
    noise = np.random.default_rng(3).normal(size=(n, leads)) * 0.02
    rows = bells[:, None] * np.array([1.0, -0.6, 0.3])[:leads] + noise
    known = np.ones(n, np.bool_)
    return Recording(patient, "r", ("a", "b", "c")[:leads], rows.astype(np.float32), beats, known)


def test_hops_one_after_another_are_the_whole() -> None:
    torch.manual_seed(0)
    network = build().eval()
    signal = torch.randn(3, 1, 40 * HOP_ROWS)
    with torch.inference_mode():
        whole, *last = network(signal, *network.start(3))
        states, parts = network.start(3), []
        for hop in signal.split(HOP_ROWS, dim=2):
            frames, *states = network(hop, *states)
            assert frames.shape == (3, HOP_ROWS // STRIDE_ROWS, 3)
            assert [s.shape[1:] for s in states] == [torch.Size(s) for s in network.state_shapes]
            parts.append(frames)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)
    for one, other in zip(states, last, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_frame_rests_on_the_published_receptive_field_and_on_nothing_later() -> None:
    torch.manual_seed(0)
    network = build().eval()
    for block in network.blocks:  # all paths open: no zero hides one
        torch.nn.init.constant_(block.weight, 0.01)
    field, frame = network.receptive_field_rows, 150
    signal = torch.rand(1, 1, 900, requires_grad=True)
    network(signal, *network.start(1))[0][0, frame].sum().backward()
    assert signal.grad is not None
    touched = torch.nonzero(signal.grad[0, 0])[:, 0]
    end = (frame + 1) * STRIDE_ROWS
    assert int(touched.max()) == end - 1
    assert int(touched.min()) == end - field


def test_the_network_keeps_its_size_budget() -> None:
    network = build()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 40_000
    assert sum(int(np.prod(shape)) for shape in network.state_shapes) * 4 <= 20_000


def test_targets_stand_where_the_peak_is_and_say_how_far() -> None:
    beats = np.array([100.0, 214.5])
    label, place = targets(beats, 100)
    late = beats + Detector.delay_rows
    for when in late:
        near = [f for f in range(100) if abs(f * STRIDE_ROWS + 2 - when) <= STRIDE_ROWS]
        best = max(near, key=lambda f: label[f])
        assert label[best] > 0.75
        for frame in near:
            assert frame * STRIDE_ROWS + 2 + place[frame] == pytest.approx(when)
    # On the border of two frames both are as likely.
    border = int((late[1] - 2) // STRIDE_ROWS)
    assert label[border] == pytest.approx(label[border + 1])
    assert (label > 0.5).sum() == 4


def test_disturbances_follow_their_seed_and_leave_the_original() -> None:
    recording = beating()
    rows, known = recording.rows[:CROP, 0], recording.known[:CROP]
    kept = rows.copy(), known.copy(), recording.beats.copy()
    beats = recording.beats[recording.beats < CROP]
    for seed in range(20):
        one, other = (disturbed(np.random.default_rng(seed), rows, beats, known) for _ in "ab")
        np.testing.assert_array_equal(one.rows, other.rows)
        assert np.isfinite(one.rows).all()
        assert set(one.beats) <= set(beats)
        assert ((one.noisy >= 0) & (one.noisy <= 1)).all()
        lost = sorted(set(beats) - set(one.beats))
        if lost:  # nobody beats while the electrode says nothing
            assert (one.noisy[np.array(lost, int)] > 0.99).mean() > 0.5
            assert not one.known.all()
    for now, before in zip((rows, known, recording.beats), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_the_noise_label_is_the_ratio_that_it_says() -> None:
    recording = beating()
    rows = recording.rows[:CROP, 0]
    clean = [disturbed(np.random.default_rng(s), rows, np.zeros(0), recording.known[:CROP]).noisy
             for s in range(60)]  # fmt: skip
    # Both kinds come: crops that are clean all through, and stretches below the limit.
    assert any((noisy < 0.05).all() for noisy in clean)
    assert any((noisy > 0.95).sum() > 250 for noisy in clean)
    assert NOISY_DB == 6.0


def test_taller_waves_stand_beside_the_beats_and_not_on_them() -> None:
    beats, x = np.array([500.0, 900.0]), np.zeros(1500)
    for seed in range(40):
        found = taller(np.random.default_rng(seed), x, beats, 1.0)
        assert np.abs(found[[500, 900]]).max() < 0.15
        assert np.abs(found[:380]).max() < 1e-3


def test_mixed_leads_keep_the_complexes() -> None:
    rows = beating().rows[:2000]
    for seed in range(40):
        mixed = lead_of(np.random.default_rng(seed), rows)
        assert mixed.shape == (2000,)
        assert np.abs(mixed[[150, 350, 550]]).min() > 0.2


def test_a_short_recording_is_filled_up_in_front_and_not_learned_from_there() -> None:
    crop = cut(np.random.default_rng(0), beating(n=1500))
    assert crop.rows.shape == (CROP,)
    assert not crop.known[: CROP - 2000].any()


def test_the_loss_ignores_what_nobody_knows() -> None:
    rows, *told = batch_of(np.random.default_rng(1), [beating()] * 4)
    network = build()
    frames = network(rows, *network.start(4))[0].detach()
    mask = told[-1]
    wild = torch.where(mask[..., None] > 0, frames, frames + 100)
    assert (mask == 0).any()
    torch.testing.assert_close(loss_of(frames, *told), loss_of(wild, *told))


def test_training_follows_its_seed_and_learns() -> None:
    found = [beating(patient=f"{n}", every=170 + 20 * n) for n in range(3)]
    plan = Plan(epochs=4, batches=20, batch=8, rate=8e-3, average=0.8)
    network = train(found, plan)
    rows = beating(n=9000, every=185, leads=1)
    told = frames_of(network, rows.rows)[0, :, 0]
    late = ((rows.beats[5:-1] + Detector.delay_rows) // STRIDE_ROWS).astype(int)
    between = late[:-1] + 18
    assert np.median(told[late]) > np.median(told[between]) + 2
    again = train(found, Plan(epochs=1, batches=2, batch=4))
    once = train(found, Plan(epochs=1, batches=2, batch=4))
    for one, other in zip(again.parameters(), once.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_folds_share_no_patient_and_none_is_of_ds2() -> None:
    apart = folds()
    everyone = [patient for fold in apart for patient in fold]
    assert len(everyone) == len(set(everyone))
    mitbih = {patient[3:] for patient in everyone if patient.startswith("mit")}
    assert mitbih == set(DS1)
    assert not mitbih & set(DS2)
    assert len([p for p in everyone if p.startswith("cpsc2019")]) == len(CPSC2019)


def written(folder: Path, n: int = 7200) -> Path:
    """A record of two leads at 360 Hz with a complex each second, in WFDB's format 16."""
    beats = np.arange(400, n - 100, 360)
    t = np.arange(n)
    mv = np.exp(-0.5 * ((t[:, None] - beats) / 6) ** 2).sum(axis=1)
    digital = np.round(np.stack([-mv, mv], axis=1) * 200).astype("<i2")
    (folder / "x.dat").write_bytes(digital.tobytes())
    head = f"x 2 360 {n}\n"
    for column, name in enumerate(("V5", "MLII")):
        checksum = int(digital[:, column].sum(dtype="<i2"))
        head += f"x.dat 16 200 16 0 {digital[0, column]} {checksum} 0 {name}\n"
    (folder / "x.hea").write_text(head)
    marks = [wfdb.Annotation(10, "+", note="(AFIB")]
    marks += [wfdb.Annotation(int(b), "V" if b == beats[3] else "N") for b in beats]
    marks += [wfdb.Annotation(6100, "["), wfdb.Annotation(6400, "]")]
    wfdb.write_annotations(folder / "x.atr", sorted(marks, key=lambda mark: mark.sample))
    return folder / "x.hea"


def test_a_record_comes_through_the_devices_own_path(tmp_path: Path) -> None:
    header = written(tmp_path)
    record = read_record(header, leads=["MLII"], cache=tmp_path / "kept")
    again = read_record(header, leads=["MLII"], cache=tmp_path / "kept")
    np.testing.assert_array_equal(record.rows, again.rows)
    assert (record.leads, record.rows.dtype) == (("MLII",), np.float32)
    assert record.symbols[3] == "V"
    assert [name for _, name in record.rhythms] == ["(AFIB"]
    ((first, last),) = record.flutter
    assert (last - first) == pytest.approx(300 * 250 / 360, abs=1)
    for row in record.beats[2:]:  # the path's delay is taken off: the top stands at the beat
        assert abs(int(record.rows[row - 20 : row + 20, 0].argmax()) - 20) <= 2
    both = read_record(header)
    assert both.leads == ("V5", "MLII")
    np.testing.assert_array_equal(both.rows[:, [1]], record.rows)
    np.testing.assert_array_equal(both.rows[:, 1], -both.rows[:, 0])


def test_figures_count_what_was_found_and_missed() -> None:
    marks = wfdb.Annotations(tuple(wfdb.Annotation(k * 300, "N") for k in range(1, 11)), 360.0)
    samples = np.array([k * 300 + 3 for k in range(2, 11)] + [1650])
    tally = compared(marks, samples, rate_hz=360.0, length=4000, record="x", from_s=0.0)
    told = counts_of(tally)
    assert (told["found"], told["missed"], told["false"]) == (9, 1, 1)
    assert told["offset_ms"][1] == pytest.approx(3 / 0.36, abs=0.1)
    assert gross([told, told])["sensitivity"] == 0.9


@pytest.fixture(scope="module")
def shipped() -> Detector:
    network = build()
    network.load_state_dict(load_file(ZOO / "detector.safetensors"))
    return network.eval()


def test_the_training_record_belongs_to_the_shipped_weights() -> None:
    told = json.loads((ZOO / "detector.json").read_text("utf-8"))
    digest = hashlib.sha256((ZOO / "detector.safetensors").read_bytes()).hexdigest()
    assert told["weights_sha256"] == digest
    seen = set(told["records_seen"])
    assert {f"mit/{name}.dat" for name in DS1} <= seen
    assert not {f"mit/{name}.dat" for name in DS2} & seen
    figures = told["held_out_runs"]["gross"]
    assert figures["MIT-BIH, both leads, 150 ms"]["positive_predictivity"] > 0.997
    assert set(told["held_out_runs"]["records"]["MIT-BIH, both leads, 150 ms"]) == set(DS1)
    assert figures["MIT-BIH, both leads, 150 ms"]["sensitivity"] > 0.997


def test_the_shipped_weights_find_made_up_beats_at_any_rate(shipped: Detector) -> None:
    for rate in (130, 250, 500):
        n = rate * 40
        t = np.arange(n) / rate
        beats = np.arange(1.0, 39.0, 0.8)
        mv = sum(h * np.exp(-0.5 * ((t[:, None] - beats - at) / wide) ** 2).sum(axis=1)
                 for h, at, wide in ((0.12, -0.16, 0.02), (-0.15, -0.025, 0.008), (1.1, 0, 0.01),
                                     (-0.25, 0.03, 0.01), (0.3, 0.28, 0.05)))  # fmt: skip
        rows, _, clock = through(mv[:, None], rate, ["II"])
        found = samples_found(frames_of(shipped, rows), clock) / rate
        due = beats[(beats > 8) & (beats < 39)]
        nearest = np.abs(found[:, None] - due).argmin(axis=0)
        assert np.abs(found[nearest] - due).max() < 0.02
        assert ((found > 7.9) & (found < 39)).sum() == len(due)


def test_the_shipped_weights_find_nothing_in_silence(shipped: Detector) -> None:
    rows, _, clock = through(np.zeros((5000, 1)), 250, ["II"])
    assert len(samples_found(frames_of(shipped, rows), clock)) == 0


@needs_data
def test_the_shipped_weights_find_the_beats_of_a_record(shipped: Detector) -> None:
    header = DATA / "ecg_mitbih" / "records" / "119.hea"
    record = read_record(header)
    reference = wfdb.read_annotations(header.with_suffix(".atr"))
    samples = samples_found(frames_of(shipped, record.rows), record.clock)
    told = counts_of(compared(reference, samples, rate_hz=360.0, length=650_000, record="119"))
    assert told["missed"] + told["false"] <= 5
    assert abs(told["offset_ms"][1]) <= 10


@needs_data
def test_wearable_recordings_have_their_beats_where_the_rows_show_them() -> None:
    wearable = DATA / "wearable_sequences"
    rows, clock, peaks = read_snippet(wearable / "cpsc2019", "01660")
    assert len(rows) == (FRONT + 5000) // 2
    record = read_record(wearable / "cpsc2021" / "data_92_12.hea")
    assert record.leads == ("I", "II")
    found = [(rows[:, 0], np.array([clock.row_showing(int(peak)) for peak in peaks])),
             (record.rows[:, 1], record.beats[3:-3])]  # fmt: skip
    for lead, beats in found:
        steep = np.abs(np.gradient(lead.astype(float)))
        near = np.array([steep[beat - 12 : beat + 13].max() for beat in beats])
        assert np.median(near) > 3 * np.median(steep)
