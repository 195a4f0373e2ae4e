"""Several processes train one network: shares of a batch, two real processes on the CPU."""

import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.extractor import UnknownDevice
from models.training.distributed import ALONE, Ranks, TooManyProcesses, joined
from tests.tiny_task import PIDS, RECIPE, TinyTask, curves, same_weights

ROOT = Path(__file__).resolve().parents[2]


def test_shares_of_a_batch_are_whole_people_and_all_of_one_size() -> None:
    batch = TinyTask().batches(0)[0]
    shares = [Ranks(rank, 2).share(batch, 2) for rank in range(2)]
    assert [*shares[0], *shares[1]] == batch.tolist()
    assert all(PIDS[share[0]] == PIDS[share[1]] for share in shares)
    odd = [Ranks(rank, 2).share(batch[:7], 1) for rank in range(2)]
    assert [len(share) for share in odd] == [3, 3]
    assert ALONE.share(batch, 2) is batch


def test_a_batch_for_fewer_processes() -> None:
    with pytest.raises(TooManyProcesses) as caught:
        Ranks(0, 3).share(TinyTask().batches(0)[0], 2)
    assert str(caught.value) == (
        "a batch of 8 cannot be shared among 3 processes; start fewer with torchrun, or raise the "
        "batch in the recipe"
    )
    assert caught.value.exit_code == 2


def test_alone_there_is_nothing_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # as a cluster's own variables may say
    with joined("cpu") as (ranks, device):
        assert ranks == ALONE
        assert device == torch.device("cpu")
    with pytest.raises(UnknownDevice), joined("abacus"):
        pass


def two_processes(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            "-m", "tests.tiny_task", str(folder), str(RECIPE.epochs),
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def parameters(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    state = torch.load(folder / f"weights{rank}.pt", weights_only=True)
    # the running statistics are each process's own; the first one's are saved
    return {name: tensor for name, tensor in state.items() if "running" not in name}


def check_two(folder: Path) -> dict[str, Any]:
    assert same_weights(parameters(folder, 0), parameters(folder, 1))
    last: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    assert [entry["epoch"] for entry in last["history"]] == list(range(1, RECIPE.epochs + 1))
    assert all(math.isfinite(entry["loss"]) for entry in last["history"])
    assert last["history"][-1]["rank1"] > 2 / 8
    return last


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    process = two_processes(tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    last = check_two(tmp_path)
    assert out.count("step") == 2 * last["steps"]
    assert [e.step for e in curves(tmp_path).Scalars("loss/total")] == list(range(last["steps"]))


@pytest.mark.long
def test_two_processes_killed_and_resumed_are_those_that_were_not(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = two_processes(whole)
    assert process.communicate(timeout=300) and process.returncode == 0
    process = two_processes(killed)
    assert process.stdout is not None
    for _ in range(2 * (check_two(whole)["history"][0]["steps"] + 2)):
        assert process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGTERM)  # torchrun hands it on and waits for its processes
    process.communicate(timeout=300)
    assert torch.load(killed / "last.pt", weights_only=True)["epoch"] < RECIPE.epochs
    process = two_processes(killed)
    assert process.communicate(timeout=300) and process.returncode == 0
    first, second = check_two(whole), check_two(killed)
    assert first["history"] == second["history"]
    assert same_weights(parameters(whole, 0), parameters(killed, 0))
    assert same_weights(first["net"], second["net"])
