"""`reid train compare`: one row for each trunk with each optimiser, beside what guessing gets."""

# N images, H and W pixels

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import models.nets.seed_nets
from tests.acceptance.conftest import Reid

RECIPE = """
epochs = 1
trunk = "alexnet"
optimiser = "adam"
rate = 1e-3
beta1 = 0.5
beta2 = 0.999
momentum = 0.9
batch = 8
held_out = 0.5
seed = 7
"""


class Colours(nn.Module):
    """Images (N, 3, H, W) to the colours of an 8 x 4 grid, 96 features."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.pool = nn.AdaptiveAvgPool2d((8, 4))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features: Tensor = self.pool(images_NCHW).flatten(1) * self.scale
        return features


def build(_: str, *, weights: str | None = None) -> tuple[nn.Module, int]:
    assert weights is None
    return Colours(), 96


def test_each_trunk_with_each_optimiser_is_a_row(
    reid: Reid, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.nets.seed_nets, "build_trunk", build)
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE)
    command = (
        "train", "compare", "--data", people, "--trunk", "alexnet", "--trunk", "resnet34",
        "--optimiser", "sgd", "--optimiser", "adagrad", "--pair-epochs", 1, "--recipe", recipe,
        "--start", "none", "--device", "cpu", "--out", tmp_path / "out", "--format", "json",
    )  # fmt: skip
    result = reid(*command)
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    combined = [(row["trunk"], row["optimiser"]) for row in rows]
    assert combined == [
        ("alexnet", "sgd"), ("alexnet", "adagrad"), ("resnet34", "sgd"), ("resnet34", "adagrad"),
    ]  # fmt: skip
    for row in rows:
        assert (row["epochs"], row["pair_epochs"]) == (1, 1)
        assert row["parameters"] > 2 * 96 * 1024
        assert row["images_per_second"] > 0
        for name in ("accuracy", "majority_accuracy", "mAP", "chance_mAP", "rank1"):
            assert 0 <= row[name] <= 1
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert table.count("\n") == 2 + len(rows)
    assert f"({rows[0]['majority_accuracy']:.4f})" in table
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == rows
    again = json.loads(reid(*command).out)
    assert [row["mAP"] for row in again] == [row["mAP"] for row in rows], "nothing is trained again"
