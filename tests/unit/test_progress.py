"""Progress: a bar on a terminal, JSON lines elsewhere, at most one every five seconds."""

import json
from datetime import datetime
from typing import Any

import pytest

from commands.progress import Images, Phases, Steps
from ingest.worker import Progress
from models.training.loop import StepReport


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_lines_come_every_five_seconds_and_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Images("ingest", clock) as images:
        for second in range(1, 13):
            clock.now += 1
            images.show(Progress(stored=9 * second, failed=second), 200)
    told = lines(capsys)
    assert [event["stored"] for event in told] == [45, 90, 108]
    moment = datetime.fromisoformat(told[-1].pop("time"))
    assert moment.utcoffset() is not None
    assert told[-1] == {
        "event": "progress",
        "stored": 108,
        "known": 0,
        "failed": 12,
        "total": 200,
        "images_per_second": 10,
        "seconds_left": 8,
    }


def test_the_end_is_not_told_twice(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Images("ingest", clock) as images:
        clock.now += 6
        images.show(Progress(stored=7), 7)
    assert [event["stored"] for event in lines(capsys)] == [7]


def test_the_rate_is_that_of_the_last_half_minute(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Images("ingest", clock) as images:
        for stored in (*range(100, 1100, 100), *range(1001, 1061)):
            clock.now += 1
            images.show(Progress(stored=stored), 1120)
    last = lines(capsys)[-1]
    assert (last["images_per_second"], last["seconds_left"]) == (1, 60)


def test_another_run_begins_anew(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Images("ingest", clock) as images:
        for stored in (1000, 10, 20):
            clock.now += 1
            images.show(Progress(stored=stored), 30)
    (last,) = lines(capsys)
    assert (last["images_per_second"], last["seconds_left"]) == (10, 1)


def test_a_total_that_takes_a_query_is_asked_for_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[float] = []

    def total() -> int:
        asked.append(clock.now)
        return 50

    with Images("worker", clock) as images:
        for stored in range(12):
            images.show(Progress(stored=5 * stored), total)
            clock.now += 1
    assert asked == [100, 105, 110]
    assert [event["total"] for event in lines(capsys)] == [50, 50, 55]


def test_nothing_is_said_of_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Images("ingest", clock):
        clock.now += 60
    assert lines(capsys) == []


def test_the_end_is_told_of_what_was_broken_off(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), Images("ingest", clock) as images:
        images.show(Progress(stored=5), 9)
        raise KeyboardInterrupt
    (event,) = lines(capsys)
    assert (event["stored"], event["images_per_second"], event["seconds_left"]) == (5, 0, None)


def test_a_terminal_has_a_bar(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.progress.on_terminal", lambda: True)
    with Images("ingest", clock) as images:
        for stored in (10, 60):
            clock.now += 10
            images.show(Progress(stored=stored, failed=2), 80)
    with Phases("index") as phases:
        phases.show("loading", 0.5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "62/80" in captured.err
    assert "failed=2" in captured.err
    assert "index: loading  50%" in captured.err
    assert "{" not in captured.err


def test_phases_are_named_once_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with Phases("index") as phases:
        for phase, share in (("loading", 0.1), ("loading", 0.9), ("measuring", 0)):
            phases.show(phase, share)
    assert capsys.readouterr().err.splitlines() == ["index: loading", "index: measuring"]


def test_a_training_is_told_from_its_first_step_on(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = Steps(clock)
    for step in range(1, 13):
        clock.now += 1
        steps.show(StepReport(2, 3, step, 20, 64 * step, 1.5, 1e-3))
    told = lines(capsys)
    assert [event["step"] for event in told] == [1, 6, 11]
    # the first step compiles: it says nothing about the rate
    assert (told[0]["images_per_second"], told[0]["seconds_left"]) == (None, None)
    assert told[1]["event"] == "training"
    assert (told[1]["epoch"], told[1]["epochs"], told[1]["steps"]) == (2, 3, 20)
    assert told[1]["images_per_second"] == 64
    assert told[1]["seconds_left"] == 14 + 20
    assert (told[1]["loss"], told[1]["rate"]) == (1.5, 1e-3)


def test_a_training_on_a_terminal_has_a_bar_of_its_own(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.progress.on_terminal", lambda: True)
    Steps(clock).show(StepReport(1, 1, 1, 2, 64, 1.5, 1e-3))
    assert capsys.readouterr().err == ""
