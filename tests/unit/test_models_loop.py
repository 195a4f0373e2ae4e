"""The loop that every recipe shares: resume to the number, the best epoch, curves, refusals."""

# H and W pixels

import math
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models.extractor import OutOfDeviceMemory
from models.training.augment import Augmentation
from models.training.loop import EpochReport, Loop
from models.training.training_log import MISSING
from models.training.training_state import TrainingFailed, write_state
from tests.tiny_task import RECIPE, TinyTask, curves, same_weights, weights

ROOT = Path(__file__).resolve().parents[2]
WAY_OUT = "name another folder with --out or remove it"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(folder: Path, task: TinyTask | None = None, **options: Any) -> Loop:
    loop = Loop(task or TinyTask(), folder, **options)
    loop.run()
    return loop


def task_of(loop: Loop) -> TinyTask:
    assert isinstance(loop.task, TinyTask)
    return loop.task


# A run


def test_it_learns_and_reports_every_epoch(tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    loop = Loop(TinyTask(RECIPE.with_changes(epochs=8)), tmp_path)
    loop.run(reports.append)
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert reports[-1].figures["rank1"] > 2 * reports[-1].figures["chance_rank1"]
    assert reports[2].rate == pytest.approx(0.02 / 3)
    assert reports[0].loss == pytest.approx(sum(reports[0].losses.values()))
    assert loop.history == [report.to_json() for report in reports]
    assert loop.steps == sum(len(task_of(loop).batches(epoch)) for epoch in range(8))
    assert loop.finished


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    other = trained(tmp_path / "8", TinyTask(RECIPE.with_changes(seed=8)))
    assert other.history != trained(tmp_path / "7").history


def test_the_bar_counts_the_steps_of_the_whole_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loop = trained(tmp_path / "shown", show=True)
    shown = capfd.readouterr().err
    assert "epoch 4/4: 100%" in shown
    assert f"{loop.steps}/{loop.steps}" in shown
    trained(tmp_path / "not")
    assert capfd.readouterr().err == ""


# A killed run


def test_killed_by_the_system_and_resumed_is_the_run_that_was_not(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tiny_task", str(killed), str(RECIPE.epochs)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    steps_of_two_epochs = whole.history[1]["steps"]
    for _ in range(steps_of_two_epochs + 2):  # two steps into the third epoch
        assert process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    torch.manual_seed(99)
    resumed = Loop(TinyTask(), killed)
    assert resumed.epoch == 2
    resumed.run()
    assert resumed.history == whole.history
    assert same_weights(weights(task_of(resumed)), weights(task_of(whole)))
    best = [torch.load(f / "best.pt", weights_only=True) for f in (killed, tmp_path / "whole")]
    assert same_weights(best[0]["net"], best[1]["net"])


def test_killed_between_best_and_last_repeats_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole")
    written: list[Path] = []

    def killed_before_the_fourth(path: Path, state: dict[str, Any]) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_state(path, state)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("models.training.loop.write_state", killed_before_the_fourth)
        trained(tmp_path / "killed")
    assert [path.name for path in written] == ["best.pt", "last.pt", "best.pt"]
    assert trained(tmp_path / "killed").history == whole.history


def test_what_is_finished_is_not_trained_again(tmp_path: Path) -> None:
    first = trained(tmp_path)
    again = TinyTask()
    again.before_step = lambda _: pytest.fail("a step was taken")
    assert trained(tmp_path, again).history == first.history
    assert same_weights(weights(again), weights(task_of(first)))


# The best epoch, and patience


def scored(*scores: float, epochs: int = 6) -> TinyTask:
    task = TinyTask(RECIPE.with_changes(epochs=epochs))
    task.scores = list(scores)
    return task


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    loop = Loop(scored(0.2, 0.6, 0.6, 0.3, epochs=4), tmp_path)
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def keep(report: EpochReport) -> None:
        kept[report.epoch] = {n: t.clone() for n, t in weights(task_of(loop)).items()}

    loop.run(keep)
    assert not same_weights(kept[2], kept[4])
    assert same_weights(weights(task_of(loop)), kept[4])
    assert loop.load_best() == 2, "of equals the earlier one"
    assert same_weights(weights(task_of(loop)), kept[2])


def test_patience_ends_a_run_early_and_resumed_too(tmp_path: Path) -> None:
    told: list[str] = []
    loop = trained(tmp_path, scored(0.2, 0.6, 0.5, 0.6, 0.9), patience=2, tell=told.append)
    assert loop.epoch == 4
    assert told == ["ended early: 2 epochs without a better rank1"]
    assert Loop(scored(), tmp_path, patience=2).finished
    assert not Loop(scored(), tmp_path, patience=3).finished
    assert not Loop(scored(), tmp_path).finished


# Curves


def test_curves_of_losses_rate_and_figures_beside_guessing(tmp_path: Path) -> None:
    loop = trained(tmp_path)
    found = curves(tmp_path)
    ends = [entry["steps"] - 1 for entry in loop.history]
    for name, wanted in (
        ("loss/total", range(loop.steps)),
        ("loss/identity", range(loop.steps)),
        ("loss/size", range(loop.steps)),
        ("training/rate", range(loop.steps)),
        ("validation/rank1", ends),
        ("validation/chance_rank1", ends),
    ):
        assert [event.step for event in found.Scalars(name)] == list(wanted), name
    ranks = [event.value for event in found.Scalars("validation/rank1")]
    assert ranks == pytest.approx([entry["rank1"] for entry in loop.history])
    picture = found.Images("matches")[-1]
    assert (picture.width, picture.height) == (8, 4)


def test_curves_of_a_resumed_run_have_no_step_twice(tmp_path: Path) -> None:
    killed = TinyTask()
    taken = Counter[str]()

    def until_the_ninth(_: int) -> None:
        taken["step"] += 1
        if taken["step"] == 9:
            raise KeyboardInterrupt

    killed.before_step = until_the_ninth
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, killed)
    loop = trained(tmp_path)
    found = curves(tmp_path)
    assert [e.step for e in found.Scalars("loss/total")] == list(range(loop.steps))
    assert len(found.Scalars("validation/rank1")) == loop.epoch


def test_without_tensorboard_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    told: list[str] = []
    loop = trained(tmp_path, tell=told.append)
    assert told == [MISSING]
    assert loop.finished
    assert not (tmp_path / "tensorboard").exists()


# A run that cannot go on


def nan_after(steps: int) -> Callable[[TinyTask], None]:
    def spoil(task: TinyTask) -> None:
        taken = Counter[str]()

        def step(_: int) -> None:
            taken["step"] += 1
            if taken["step"] > steps:
                task.images_NI = torch.full_like(task.images_NI, math.nan)

        task.before_step = step

    return spoil


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    task = TinyTask()
    first_epoch = len(task.batches(0))
    nan_after(first_epoch)(task)
    with pytest.raises(TrainingFailed) as caught:
        trained(tmp_path, task)
    assert str(caught.value) == (
        f"the loss became nan in epoch 2; the checkpoint of the epoch before is in {tmp_path}; "
        "try again with a lower rate"
    )
    assert caught.value.exit_code == 1
    assert trained(tmp_path).epoch == 4


def test_a_loss_that_is_no_number_in_the_first_epoch(tmp_path: Path) -> None:
    task = TinyTask()
    nan_after(1)(task)
    with pytest.raises(TrainingFailed) as caught:
        trained(tmp_path, task)
    assert str(caught.value) == (
        "the loss became nan in epoch 1; nothing was saved yet; try again with a lower rate"
    )
    assert not (tmp_path / "last.pt").exists()


def test_a_last_step_that_spoils_the_weights_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loss was computed before it, and is finite."""
    task = TinyTask()
    last, taken, step = len(task.batches(0)), Counter[str](), task.optimiser.step

    def spoiling() -> None:
        step()
        taken["step"] += 1
        if taken["step"] == last:
            task.optimiser.param_groups[0]["params"][0].data[0] = math.inf

    monkeypatch.setattr(task.optimiser, "step", spoiling)
    with pytest.raises(TrainingFailed, match=r"^the weights became infinite in epoch 1; nothing"):
        trained(tmp_path, task)
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize(("fitting", "wanted"), [(4, 4), (7, 4), (3, 0), (0, 0)])
def test_too_little_memory_names_the_batch_that_fits(
    tmp_path: Path, fitting: int, wanted: int
) -> None:
    task = TinyTask()

    def limited(images: int) -> None:
        if images > fitting:
            raise torch.OutOfMemoryError

    task.before_step = limited
    with pytest.raises(OutOfDeviceMemory) as caught:
        trained(tmp_path, task)
    advice = "use a smaller trunk, or --device cpu"
    if wanted:
        advice = f"{wanted} would fit: set people = {wanted // 2} in the recipe"
    assert str(caught.value) == f"cpu has too little memory for a batch of 8; {advice}"


# A folder with another run


def refusal(folder: Path, task: TinyTask) -> str:
    before = (folder / "last.pt").read_bytes()
    with pytest.raises(TrainingFailed) as caught:
        Loop(task, folder)
    assert (folder / "last.pt").read_bytes() == before
    return str(caught.value)


def test_a_folder_with_another_run(tmp_path: Path) -> None:
    trained(tmp_path)
    path = tmp_path / "last.pt"
    for recipe in (
        RECIPE.with_changes(rate=0.1),
        RECIPE.with_changes(seed=8),
        RECIPE.with_changes(augmentation=Augmentation(flip=0)),
    ):
        assert refusal(tmp_path, TinyTask(recipe)) == f"{path} belongs to another recipe; {WAY_OUT}"
    started = TinyTask(origin="imagenet")
    assert refusal(tmp_path, started) == f"{path} belongs to another start; {WAY_OUT}"
    people = TinyTask()
    people.pids = [*people.pids, 99]
    assert refusal(tmp_path, people) == f"{path} belongs to other people; {WAY_OUT}"


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_last_checkpoint(tmp_path: Path, kept: int) -> None:
    trained(tmp_path)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(tmp_path, TinyTask()) == f"{path} is damaged; remove it to start again"


@pytest.mark.parametrize("lost", ["net", "optimiser", "history", "recipe"])
def test_a_last_checkpoint_that_lacks_something(tmp_path: Path, lost: str) -> None:
    trained(tmp_path)
    path = tmp_path / "last.pt"
    state = torch.load(path, weights_only=True)
    del state[lost]
    torch.save(state, path)
    assert refusal(tmp_path, TinyTask()) == f"{path} is damaged; remove it to start again"
    torch.save([1, 2], path)
    assert refusal(tmp_path, TinyTask()) == f"{path} is damaged; remove it to start again"


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"net": Code()}, tmp_path / "last.pt")
    assert "is damaged" in refusal(tmp_path, TinyTask())
    assert not (tmp_path / "ran").exists()
