"""Rounds of an adaptation: groups become people, a stopped run goes on, nothing is lost."""

# N images, H and W pixels

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.nets.joint_net
import models.training.adapt
from drawn.dataset import draw_dataset
from images.preprocessing import JOINT
from models.checkpoint import Header, read_header
from models.nets.joint_net import JointNet
from models.nets.load import save
from models.training.adapt import (
    Adaptation,
    NothingToAdapt,
    RoundListener,
    RoundReport,
    Unlabelled,
    adapt,
)
from models.training.data import SET_STRIDE, LabelledImages, load_training_folder
from models.training.joint_training import JointTraining
from models.training.loop import StepReport
from people.adapt import carried_over, nearer_share
from tests.tiny_joint import RECIPE, TinyTrunk

CPU = torch.device("cpu")
HOW = Adaptation(rounds=2, density=0.6, least=2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.nets.joint_net, "MobileNetV2", TinyTrunk)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=0)
    return load_training_folder(folder, JOINT)


@pytest.fixture
def unlabelled(drawn: LabelledImages, monkeypatch: pytest.MonkeyPatch) -> Unlabelled:
    """The drawn people without their numbers; an untrained network finds no groups, so the true
    ones stand in for what `group` would find."""
    people_N = np.unique(drawn.pids_N, return_inverse=True)[1]
    monkeypatch.setattr(models.training.adapt, "group", lambda *_: people_N.copy())
    return Unlabelled(drawn.names, drawn.pixels_NHWC, drawn.camids_N)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    net = JointNet()
    path = tmp_path / "start.safetensors"
    save(path, net, Header(net.architecture, JOINT), half=True)
    return path


def run(
    unlabelled: Unlabelled, start: Path, out: Path, how: Adaptation = HOW, **more: Any
) -> tuple[Path, list[RoundReport]]:
    recipe = RECIPE.with_changes(epochs=1, held_out=0.0)
    return adapt(unlabelled, more.pop("labelled", None), recipe, how, start, out, CPU, **more)


def test_each_round_begins_where_the_one_before_ended(
    unlabelled: Unlabelled, start: Path, tmp_path: Path
) -> None:
    steps: list[StepReport] = []
    told: list[RoundReport] = []
    listener = RoundListener(step=steps.append, round=told.append)
    last, reports = run(unlabelled, start, tmp_path / "out", listener=listener)
    assert last == tmp_path / "out" / "round-2" / "model.safetensors"
    assert told == reports
    assert [report.round for report in reports] == [1, 2]
    assert [report.agreement for report in reports] == [None, 1.0]
    for report in reports:
        assert (report.groups, report.grouped, report.images) == (8, 48, 48)
        assert report.halves_before is not None
        assert report.halves_after is not None
        assert 0 <= report.halves_after <= 1
    assert len(steps) > 2
    origins = [
        read_header(tmp_path / "out" / f"round-{number}" / "model.safetensors").recipe["origin"]
        for number in (1, 2)
    ]
    assert origins[0] != origins[1]


def test_a_stopped_run_goes_on_and_is_the_one_that_was_not(
    unlabelled: Unlabelled, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected = run(unlabelled, start, tmp_path / "whole")
    once = Adaptation(rounds=1, density=0.6, least=2)
    run(unlabelled, start, tmp_path / "out", once)
    kept = (tmp_path / "out" / "round-1" / "round.json").stat().st_mtime_ns
    found, reports = run(unlabelled, start, tmp_path / "out")
    assert reports == expected
    assert found.read_bytes() == whole.read_bytes()
    assert (tmp_path / "out" / "round-1" / "round.json").stat().st_mtime_ns == kept
    # all rounds done: nothing is trained again
    monkeypatch.setattr(JointTraining, "losses", lambda *_: pytest.fail("trained again"))
    assert run(unlabelled, start, tmp_path / "out")[1] == expected


def test_labelled_people_are_trained_on_beside(
    unlabelled: Unlabelled,
    drawn: LabelledImages,
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[LabelledImages] = []
    real = JointTraining.__init__

    def look(self: JointTraining, images: LabelledImages, *more: Any, **named: Any) -> None:
        seen.append(images)
        real(self, images, *more, **named)

    monkeypatch.setattr(JointTraining, "__init__", look)
    once = Adaptation(rounds=1, density=0.6, least=2)
    run(unlabelled, start, tmp_path / "out", once, labelled=drawn)
    groups = sorted(pid for pid in seen[0].pids if pid >= SET_STRIDE)
    assert groups == [SET_STRIDE + number for number in range(1, 9)]
    assert [pid for pid in seen[0].pids if pid < SET_STRIDE] == drawn.pids
    # what the start says of a group is kept, so that attributes are not forgotten
    assert (seen[0].values_NC > 0).all()


def test_too_few_groups_say_so_and_leave_nothing(
    drawn: LabelledImages, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_N = np.full(len(drawn.names), -1)
    nobody_N[:2] = 0
    monkeypatch.setattr(models.training.adapt, "group", lambda *_: nobody_N)
    images = Unlabelled(drawn.names, drawn.pixels_NHWC, drawn.camids_N)
    with pytest.raises(NothingToAdapt) as caught:
        run(images, start, tmp_path / "out")
    assert str(caught.value) == (
        "48 images give 1 groups that may be people, and a batch holds 4; bring more images, or "
        "lower `people` in the recipe"
    )
    assert not (tmp_path / "out" / "round-1").exists()


def test_reports_are_kept_as_they_were_told(
    unlabelled: Unlabelled, start: Path, tmp_path: Path
) -> None:
    _, reports = run(unlabelled, start, tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "round-2" / "round.json").read_text())
    assert RoundReport(**kept) == reports[1]


def test_a_limit_is_carried_over_by_the_share_of_pairs_within_it() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 512)).astype(np.float32)
    before = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert carried_over(before, before, 1.41) == pytest.approx(1.41, abs=1e-3)
    nearer = rows + 10  # everybody lies closer together
    after = nearer / np.linalg.norm(nearer, axis=1, keepdims=True)
    carried = carried_over(before, after, 1.41)
    assert carried < 0.5
    assert carried_over(after, before, carried) == pytest.approx(1.41, abs=1e-3)


def test_verdicts_count_who_is_nearer() -> None:
    rows = np.eye(4, 512, dtype=np.float32)
    rows[1] = rows[0]
    assert nearer_share(rows, [(0, 1), (0, 2)], np.array([True, False])) == 1
    assert nearer_share(rows, [(0, 1), (0, 2)], np.array([False, True])) == 0
    assert nearer_share(rows, [(0, 3), (0, 2)], np.array([True, False])) == 0.5
    assert nearer_share(rows, [(0, 1)], np.array([True])) is None
    assert nearer_share(rows, [], np.array([], bool)) is None
