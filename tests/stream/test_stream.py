"""Streams: an answer per frame, stale pictures told, nothing left running."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_dx import stream as streams
from edge_dx.errors import Overrun, TensorMismatch, UnreadableInput
from edge_dx.model import Model
from edge_dx.result import Reason, Status
from edge_dx.sources import Study
from edge_dx.sources.frames import Cine
from edge_dx.sources.video import Clip
from edge_dx.stream import Answer, Drop, Stream
from edge_dx.trust import TrustStore
from tests.sources import clips
from tests.stream.scripted import FILMS, Script, frame, model_of, score_of

ROOMY: dict[str, Any] = {"room": 1000}  # so that a script faster than the model loses nothing


def standing() -> int:
    """A clock that stands still, so that no frame of a script grows old."""
    return 0


def reasons(answer: Answer) -> list[Reason]:
    return [why.code for why in answer.result.reasons]


def grabbing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "edge_dx-grab"]


# --- an answer per frame ---


def test_a_clip_gets_one_answer_per_frame_in_order(model: Model, tmp_path: Path) -> None:
    films = [film[:, :36] for film in FILMS]
    path = clips.write(tmp_path / "clip.avi", films, "FFV1")
    with Stream(model, Clip(path), room=1) as stream:
        answers = list(stream)
    assert [answer.frame.number for answer in answers if answer.frame] == list(range(12))
    for answer, film in zip(answers, films, strict=True):
        assert answer.result.score == pytest.approx(score_of(model, film), abs=1e-6)
        assert answer.result.file == str(path)
        assert answer.latency_ms is not None
        assert answer.latency_ms > 0
    told = stream.counters
    assert (told.received, told.processed, told.dropped, told.waiting) == (12, 12, 0, 0)
    assert stream.latencies.count == 12
    assert not grabbing()


def test_a_cine_goes_the_same_way_with_what_its_header_says(model: Model) -> None:
    study = Study(path=None, digest="d", shape=(40, 40), decode=FILMS.__getitem__, modality="US",
                  frames=12)  # fmt: skip
    answers = list(Stream(model, Cine(study)))
    assert [reasons(answer) for answer in answers] == [[Reason.MODALITY]] * 12  # it knows CR and DX


def test_only_every_nth_is_judged(model: Model) -> None:
    stream = Stream(model, Script([frame(n) for n in range(10)], live=False), every=4)
    assert [answer.frame.number for answer in stream if answer.frame] == [0, 4, 8]
    assert (stream.counters.received, stream.counters.skipped) == (10, 7)


def test_a_model_of_single_images_is_shown_none(tmp_path: Path, trust: TrustStore) -> None:
    source = Script([frame(0)])
    source.expected = 104
    with model_of(tmp_path, trust, "single") as single:
        (answer,) = Stream(single, source)
    assert answer.result.status is Status.NOT_ANALYSED
    assert reasons(answer) == [Reason.FRAMES]
    assert answer.result.reasons[0].detail == "104 frames; this model judges single images"
    assert source.closed.is_set()


# --- stale pictures ---


def test_a_frozen_picture_is_never_judged_again_until_it_moves(model: Model) -> None:
    # Alive for a second, frozen for three, alive again; ten frames a second.
    films = [*range(10), *[9] * 30, *range(10)]
    source = Script([frame(n, n / 10, film) for n, film in enumerate(films)])
    answers = list(Stream(model, source, stale_s=1.0, clock_ns=standing, **ROOMY))
    stale = [answer.frame.number for answer in answers
             if answer.frame and Reason.STALE_FRAME in reasons(answer)]  # fmt: skip
    assert stale == list(range(20, 40))  # still since frame 9, for more than a second from 20 on
    for answer in answers:
        if answer.frame and answer.frame.number in stale:
            assert answer.result.status is Status.NOT_ANALYSED
            assert answer.result.score is None
            assert answer.latency_ms is None
        else:
            assert answer.result.status.analysed
    assert "has not changed for 1.1 s; check probe" in answers[20].result.reasons[0].detail


def test_a_recorded_freeze_counts_in_the_time_of_the_recording(model: Model) -> None:
    films = [0, 1, *[2] * 5, 3]
    source = Script([frame(n, n, film, host_ns=0) for n, film in enumerate(films)], live=False)
    answers = list(Stream(model, source, stale_s=2.0))
    stale = [Reason.STALE_FRAME in reasons(answer) for answer in answers]
    assert stale == [False] * 5 + [True] * 2 + [False]


def test_silence_is_told_again_and_again_and_ends_when_frames_come(model: Model) -> None:
    go_on = threading.Event()
    stream = Stream(model, Script([frame(0), go_on, frame(1)], stamped=True), stale_s=0.05)
    told: list[Answer] = []
    silent: list[Answer] = []
    for answer in stream:
        told.append(answer)
        silent += [answer] if answer.frame is None else []
        if len(silent) == 3:
            go_on.set()
    assert all(reasons(answer) == [Reason.STALE_FRAME] for answer in silent)
    assert all(answer.result.score is None for answer in silent)
    since = [float(answer.result.reasons[0].detail.split()[4]) for answer in silent]
    assert since == sorted(since)
    assert [answer.frame.number for answer in told if answer.frame] == [0, 1]
    assert stream.counters.processed == 2


def test_a_source_that_never_begins_is_silent_too(model: Model) -> None:
    go_on = threading.Event()
    for answer in Stream(model, Script([go_on]), stale_s=0.05):
        assert reasons(answer) == [Reason.STALE_FRAME]
        go_on.set()


def test_a_file_that_takes_its_time_is_not_stale(model: Model) -> None:
    go_on = threading.Event()
    threading.Timer(0.2, go_on.set).start()
    source = Script([frame(0), go_on, frame(1)], live=False)
    answers = list(Stream(model, source, stale_s=0.05))
    assert [answer.result.status.analysed for answer in answers] == [True, True]


def test_a_frame_that_waited_too_long_is_not_taken_for_the_present(model: Model) -> None:
    source = Script([frame(0, 0.0), frame(1, 4.0)])
    old, fresh = Stream(model, source, stale_s=2.0, clock_ns=lambda: 5 * 10**9)
    assert reasons(old) == [Reason.STALE_FRAME]
    assert "the frame waited 5.0 s to be judged" in old.result.reasons[0].detail
    assert fresh.result.status.analysed
    assert fresh.latency_ms == 1000.0


def test_where_the_source_falters_it_goes_on(model: Model) -> None:
    answers = list(Stream(model, Script([frame(0), None, frame(1)]), stale_s=60, **ROOMY))
    assert [answer.frame.number for answer in answers if answer.frame] == [0, 1]


# --- too fast ---


class Slow:
    """The tiny model behind a gate that a test opens."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.gate = threading.Event()
        self.asked = threading.Event()

    def __call__(self, study: Study) -> Any:
        self.asked.set()
        assert self.gate.wait(10), "nobody opened the gate"
        return self.model(study)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@pytest.mark.parametrize(("drop", "judged"), [("oldest", [0, 8, 9]), ("newest", [0, 1, 2])])
def test_who_is_judged_when_frames_come_too_fast(
    model: Model, drop: Drop, judged: list[int]
) -> None:
    slow = Slow(model)
    steps = [frame(0), slow.asked, *(frame(n) for n in range(1, 10))]
    source = Script(steps)
    stream = Stream(slow, source, drop=drop, stale_s=60, clock_ns=standing)  # type: ignore[arg-type]
    threading.Thread(target=lambda: source.closed.wait(10) and slow.gate.set()).start()
    assert [answer.frame.number for answer in stream if answer.frame] == judged
    told = stream.counters
    assert (told.received, told.processed, told.dropped, told.waiting) == (10, 3, 7, 0)
    assert told.refused == (7 if drop == "newest" else 0)


def test_fault_ends_the_stream_with_an_error(model: Model) -> None:
    slow = Slow(model)
    steps = [frame(0), slow.asked, *(frame(n) for n in range(1, 10))]
    source = Script(steps)
    stream = Stream(slow, source, drop="fault", stale_s=60, clock_ns=standing)  # type: ignore[arg-type]
    threading.Thread(target=lambda: source.closed.wait(10) and slow.gate.set()).start()
    answers = iter(stream)
    first = next(answers)
    assert first.frame is not None
    assert first.frame.number == 0
    with pytest.raises(Overrun, match="frame 3 found no room"):
        next(answers)
    assert stream.counters.waiting == 2
    assert not grabbing()


def test_a_file_in_real_time_behaves_like_a_camera(model: Model, tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.avi", FILMS, "FFV1", 200.0)
    slow = Slow(model)
    source = Watched(path)
    stream = Stream(slow, source, rate="realtime", stale_s=60)  # type: ignore[arg-type]
    threading.Thread(target=lambda: source.closed.wait(10) and slow.gate.set()).start()
    numbers = [answer.frame.number for answer in stream if answer.frame]
    assert numbers[-2:] == [10, 11]
    assert stream.counters.dropped == 12 - len(numbers) > 0


class Watched(Clip):
    """A clip that tells when it was closed."""

    def __init__(self, path: Path) -> None:
        self.closed = threading.Event()
        super().__init__(path)

    def close(self) -> None:
        super().close()
        self.closed.set()


# --- nothing is left running ---


def test_leaving_the_loop_ends_the_thread_and_closes_the_source(model: Model) -> None:
    source = Script([frame(n) for n in range(100)], live=False)
    for answer in Stream(model, source):
        assert answer.frame
        if answer.frame.number == 2:
            break
    assert source.closed.wait(5)
    assert not grabbing()


def test_a_stream_that_was_never_read_closes_its_source(model: Model) -> None:
    source = Script([])
    with Stream(model, source):
        pass
    assert source.closed.is_set()


def test_a_stream_is_read_once(model: Model) -> None:
    stream = Stream(model, Script([frame(0)], live=False))
    assert len(list(stream)) == 1
    with pytest.raises(RuntimeError, match="read once"):
        list(stream)
    stream.close()


@pytest.mark.parametrize("error", [TensorMismatch("does not fit"), KeyboardInterrupt()])
def test_an_error_of_the_model_ends_everything(model: Model, error: BaseException) -> None:
    class Broken(Slow):
        def __call__(self, study: Study) -> Any:
            raise error

    source = Script([frame(n) for n in range(100)], live=False)
    stream = Stream(Broken(model), source)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        list(stream)
    assert source.closed.is_set()
    assert not grabbing()
    assert stream.counters.processed == 0


def test_what_breaks_the_source_is_told_after_the_frames_before_it(model: Model) -> None:
    gone = UnreadableInput("camera 0: was unplugged after frame 1", "unreadable")
    source = Script([frame(0), frame(1), gone])
    answers = iter(Stream(model, source, clock_ns=standing, **ROOMY))
    assert [next(answers).result.status.analysed for _ in range(2)] == [True, True]
    with pytest.raises(UnreadableInput, match="was unplugged"):
        next(answers)
    assert source.closed.is_set()


def test_a_driver_that_does_not_return_holds_nobody_up(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_CLOSING_S", 0.05)
    stuck = threading.Event()
    source = Script([frame(0), stuck, frame(1)])
    for _ in Stream(model, source, stale_s=60, clock_ns=standing):
        break
    assert not source.closed.is_set()  # the driver still has it
    stuck.set()
    assert source.closed.wait(5)


@pytest.mark.parametrize("stale_s", [0.0, -1.0, float("nan")])
def test_a_time_that_makes_no_sense(model: Model, stale_s: float) -> None:
    with pytest.raises(ValueError, match="stale_s is more than 0"):
        Stream(model, Script([]), stale_s=stale_s)


# --- whatever comes ---

arrivals = st.lists(
    st.tuples(
        st.integers(1, 3),  # by how much the number goes on
        st.sampled_from([0.01, 0.1, 0.7]),  # seconds since the last one
        st.booleans(),  # the same picture again
    ),
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=arrivals,
    drop=st.sampled_from(["oldest", "newest", "fault"]),
    every=st.integers(1, 3),
    live=st.booleans(),
)
def test_any_script_is_answered_in_order_and_accounted_for(
    model: Model, script: list[tuple[int, float, bool]], drop: Drop, every: int, live: bool
) -> None:
    number, at_s, film, steps = -1, 0.0, 0, []
    for jump, pause_s, same in script:
        number, at_s, film = number + jump, at_s + pause_s, film if same else film + 1
        steps.append(frame(number, at_s, film))
    source = Script(steps, live)
    stream = Stream(model, source, drop=drop, every=every, stale_s=1.0, clock_ns=standing)
    answers = []
    try:
        for answer in stream:
            answers.append(answer)
    except Overrun:
        assert live
        assert drop == "fault"
    told = stream.counters
    assert told.received == told.processed + told.dropped + told.skipped + told.waiting
    numbers = [answer.frame.number for answer in answers if answer.frame]
    assert all(earlier < later for earlier, later in pairwise(numbers))
    assert told.processed == len(numbers)
    if not live:
        assert numbers == [step.number for step in steps if step.number % every == 0]
        assert told.dropped == told.waiting == 0
    since = 0.0
    still = {}
    for earlier, later in zip([None, *steps], steps, strict=False):
        same = earlier is not None and (earlier.pixels == later.pixels).all()
        since = since if same else later.host_ns / 1e9
        still[later.number] = later.host_ns / 1e9 - since
    for answer in answers:
        assert answer.frame
        if still[answer.frame.number] > 1.0 + 1e-6:
            assert reasons(answer) == [Reason.STALE_FRAME]
            assert answer.result.score is None
