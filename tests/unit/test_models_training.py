"""Training of the joint network on drawn people: it learns, resumes to the number, stops in time.

A tiny trunk stands in for MobileNetV2: what is tested is the loop around it.
"""

# N images, H and W pixels

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import models.joint_net
import models.training
from drawn.dataset import draw_dataset
from models.augment import Augmentation
from models.checkpoint import read_header
from models.data import BadTrainingData, LabelledImages, load_training_folder
from models.finish import finish
from models.joint_net import JointNet
from models.recipe import BadRecipe, JointRecipe, read_joint_recipe
from models.training import JointTraining, TrainingFailed
from models.transforms import JOINT

CPU = torch.device("cpu")
RECIPE = JointRecipe(
    epochs=2, people=4, images=2, rate=3e-3, weight_decay=5e-4, warmup_epochs=1,
    label_smoothing=0.1, triplet_weight=1.0, attribute_weight=1.0, rare_power=0.5, held_out=0.25,
    seed=7, augmentation=Augmentation(),
)  # fmt: skip


class TinyTrunk(nn.Module):
    """Images (N, 3, H, W) to maps (N, 16, H/16, W/16)."""

    num_features = 16

    def __init__(self, last_stride: int = 1) -> None:
        super().__init__()
        assert last_stride == 1
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 4, 1),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features: Tensor = self.features(images_NCHW)
        return features


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.joint_net, "MobileNetV2", TinyTrunk)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=0)
    return load_training_folder(folder, JOINT)


def training(
    images: LabelledImages, folder: Path, recipe: JointRecipe = RECIPE, **options: Any
) -> JointTraining:
    return JointTraining(images, recipe, folder, CPU, **options)


def epochs(run: JointTraining, number: int) -> list[float]:
    return [run.run_epoch(validate=False, show=False).loss for _ in range(number)]


def state(run: JointTraining) -> dict[str, Tensor]:
    return {**run.net.state_dict(), **run.classifier.state_dict()}


def spoil(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(models.training, "batch_hard_triplet", lambda *_: torch.tensor(value))


# It learns


def test_the_loss_falls(images: LabelledImages, tmp_path: Path) -> None:
    plain = Augmentation(flip=0, pad=0, erase=0, light=0)
    recipe = RECIPE.with_changes(epochs=12, augmentation=plain)
    losses = epochs(training(images, tmp_path, recipe), 12)
    assert max(losses[-3:]) < 0.7 * losses[0]


def test_people_held_out_are_never_trained_on_and_measured(
    images: LabelledImages, tmp_path: Path
) -> None:
    run = training(images, tmp_path)
    assert len(run.held_out.pids) == 2
    assert set(run.held_out.pids) & set(run.trained.pids) == set()
    report = run.run_epoch(validate=True, show=False)
    assert report.reid is not None
    assert report.reid == run.validate()
    assert report.reid.num_valid_queries > 0
    assert run.history == [
        {"epoch": 1, "loss": report.loss, "mAP": report.reid.mAP, "rank1": report.reid.rank1}
    ]


def test_trained_on_all_nobody_is_left_to_be_measured(
    images: LabelledImages, tmp_path: Path
) -> None:
    """A figure over people who were trained on would flatter."""
    run = training(images, tmp_path, train_on_all=True)
    assert run.trained.pids == images.pids
    assert run.held_out.names == ()
    assert run.run_epoch(validate=True, show=False).reid is None


def test_the_rate_warms_up_and_falls_as_a_cosine(images: LabelledImages, tmp_path: Path) -> None:
    recipe = RECIPE.with_changes(epochs=6, warmup_epochs=2, rate=1.0)
    rates = [training(images, tmp_path, recipe)._rate_at(epoch) for epoch in (0, 1, 2, 4, 6)]
    assert rates == pytest.approx([0.01, 0.505, 1, 0.5, 0])


def test_start_weights_are_loaded_before_the_optimiser_sees_them(
    images: LabelledImages, tmp_path: Path
) -> None:
    def start(net: JointNet) -> None:
        nn.init.constant_(net.embedding.weight, 0.125)

    run = training(images, tmp_path, start_weights=start)
    assert float(run.net.embedding.weight.detach().mean()) == 0.125
    trained = {id(p) for group in run.optimiser.param_groups for p in group["params"]}
    assert {id(p) for p in run.net.parameters()} <= trained


def test_scores_and_embeddings_of_the_images(images: LabelledImages, tmp_path: Path) -> None:
    scores_NA, embeddings_ND = training(images, tmp_path).embed(images)
    assert scores_NA.shape == (len(images.names), 56)
    np.testing.assert_allclose(np.linalg.norm(embeddings_ND, axis=1), 1, atol=1e-6)


# A killed run


def test_killed_and_resumed_is_not_killed(images: LabelledImages, tmp_path: Path) -> None:
    whole = training(images, tmp_path / "whole")
    losses = epochs(whole, 2)

    killed = training(images, tmp_path / "killed")
    first = epochs(killed, 1)
    killed._step(next(killed._batches(1)), np.random.default_rng(0))  # killed in the second
    del killed
    torch.manual_seed(99)
    resumed = training(images, tmp_path / "killed")
    assert resumed.epoch == 1
    assert [*first, *epochs(resumed, 1)] == losses
    assert resumed.history == whole.history
    wanted = state(whole)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state(resumed).items())


def test_validation_changes_nothing_in_training(images: LabelledImages, tmp_path: Path) -> None:
    run = training(images, tmp_path / "measured")
    losses = [run.run_epoch(validate=True, show=False).loss for _ in range(2)]
    assert losses == epochs(training(images, tmp_path / "not"), 2)


def test_another_seed_is_another_run(images: LabelledImages, tmp_path: Path) -> None:
    other = training(images, tmp_path / "8", RECIPE.with_changes(seed=8))
    assert epochs(other, 1) != epochs(training(images, tmp_path / "7"), 1)


# A run that cannot go on


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    run = training(images, tmp_path)
    epochs(run, 1)
    kept = (tmp_path / "last.pt").read_bytes()
    with monkeypatch.context() as patched, pytest.raises(TrainingFailed) as caught:
        spoil(patched, value)
        epochs(run, 1)
    assert str(caught.value) == (
        f"the loss became {value} in epoch 2; the checkpoint of the epoch before is in "
        f"{tmp_path}; try again with a lower rate"
    )
    assert caught.value.exit_code == 1
    assert (tmp_path / "last.pt").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    resumed = training(images, tmp_path)
    assert resumed.epoch == 1
    assert all(math.isfinite(loss) for loss in epochs(resumed, 1))


def test_a_loss_that_is_no_number_in_the_first_epoch(
    images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(images, tmp_path)
    spoil(monkeypatch, math.nan)
    with pytest.raises(TrainingFailed) as caught:
        epochs(run, 1)
    assert str(caught.value) == (
        "the loss became nan in epoch 1; nothing was saved yet; try again with a lower rate"
    )
    assert not (tmp_path / "last.pt").exists()


def refusal(images: LabelledImages, folder: Path, recipe: JointRecipe, **options: Any) -> str:
    before = (folder / "last.pt").read_bytes()
    with pytest.raises(TrainingFailed) as caught:
        training(images, folder, recipe, **options)
    assert (folder / "last.pt").read_bytes() == before
    return str(caught.value)


def test_a_folder_with_another_run(images: LabelledImages, tmp_path: Path) -> None:
    epochs(training(images, tmp_path), 1)
    path = tmp_path / "last.pt"
    way_out = "name another folder with --out or remove it"
    for other in (RECIPE.with_changes(rate=1e-4), RECIPE.with_changes(seed=8)):
        assert refusal(images, tmp_path, other) == f"{path} belongs to another recipe; {way_out}"
    wanted = f"{path} belongs to other people; {way_out}"
    assert refusal(images, tmp_path, RECIPE, train_on_all=True) == wanted
    renumbered = LabelledImages(
        images.names, images.pixels_NHWC, images.pids_N + 100, images.camids_N, images.values_NC
    )
    assert refusal(renumbered, tmp_path, RECIPE) == wanted


def test_a_run_of_before_people_were_kept_is_resumed(
    images: LabelledImages, tmp_path: Path
) -> None:
    epochs(training(images, tmp_path), 1)
    path = tmp_path / "last.pt"
    older = torch.load(path, weights_only=True)
    del older["pids"]
    torch.save(older, path)
    assert training(images, tmp_path).epoch == 1
    wanted = "belongs to other people"
    assert wanted in refusal(images, tmp_path, RECIPE, train_on_all=True)


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_last_checkpoint(images: LabelledImages, tmp_path: Path, kept: int) -> None:
    epochs(training(images, tmp_path), 1)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(images, tmp_path, RECIPE) == f"{path} is damaged; remove it to start again"


def test_fewer_people_than_a_batch_holds(images: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData) as caught:
        training(images, tmp_path, RECIPE.with_changes(people=7))
    assert str(caught.value) == (
        "a batch of this recipe holds 7 people, but there are only 6 to train on; "
        "bring more, or lower `people` in the recipe"
    )


def test_people_with_one_image_each_can_be_trained_on(
    images: LabelledImages, tmp_path: Path
) -> None:
    first = np.unique(images.pids_N, return_index=True)[1]
    single = LabelledImages(
        tuple(images.names[i] for i in first),
        images.pixels_NHWC[first],
        images.pids_N[first],
        images.camids_N[first],
        images.values_NC[first],
    )
    report = training(single, tmp_path).run_epoch(validate=True, show=False)
    assert math.isfinite(report.loss)
    assert report.reid is not None
    assert report.reid.num_valid_queries == 0


# Recipes and augmentation


def test_the_shipped_recipe_reads_and_another_is_told_what_is_wrong(tmp_path: Path) -> None:
    recipe = read_joint_recipe()
    assert (recipe.people, recipe.images, recipe.held_out, recipe.seed) == (16, 4, 0.2, 7)
    assert recipe.with_changes(epochs=None) == recipe
    path = tmp_path / "mine.toml"
    with pytest.raises(BadRecipe, match=rf"^no recipe {path}; the shipped ones are in "):
        read_joint_recipe(path)
    for text in ("epochs = ", "epochs = 3", "[augmentation]\nspin = 1", "speed = 1"):
        path.write_text(text)
        with pytest.raises(BadRecipe, match=rf"^{path} is no joint recipe: "):
            read_joint_recipe(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('people = "16"', "people is '16', expected a whole number from 2 to 2147483647"),
        ("people = 1", "people is 1, expected a whole number from 2 to"),
        ("images = 1", "images is 1, expected a whole number from 2 to"),
        ("epochs = 0", "epochs is 0, expected a whole number from 1 to"),
        ("epochs = true", "epochs is True, expected a whole number from 1 to"),
        ("rate = 0", "rate is 0, expected a number above 0"),
        ("rate = inf", "rate is inf, expected a number above 0"),
        ("held_out = 1.0", "held_out is 1.0, expected a number from 0 to below 1"),
        ("[augmentation]\nflip = 1.5", "augmentation.flip is 1.5, expected a number from 0 to 1"),
        ("[augmentation]\nflipp = 1", "unknown key augmentation.flipp; did you mean 'flip'?"),
        ("augmentation = 3", "augmentation is 3, expected a table"),
        ("epoch = 3", "unknown key epoch; did you mean 'epochs'?"),
        ("# caf\xe9", "it is no UTF-8 text"),
    ],
)
def test_a_recipe_with_a_value_that_cannot_be(tmp_path: Path, text: str, why: str) -> None:
    kept = {**RECIPE.to_json(), text.split(" = ")[0]: None, "augmentation": None}
    lines = [f"{key} = {value}" for key, value in kept.items() if value is not None]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join([*lines, text]), encoding="latin-1")
    with pytest.raises(BadRecipe) as caught:
        read_joint_recipe(path)
    assert str(caught.value).startswith(f"{path} is no joint recipe: {why}")


def test_augmentation_changes_a_copy_and_follows_its_seed(images: LabelledImages) -> None:
    pixels_NHWC = images.pixels_NHWC[:6]
    before = pixels_NHWC.copy()
    augmented = [Augmentation()(pixels_NHWC, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(pixels_NHWC, before)
    np.testing.assert_array_equal(augmented[0], augmented[1])
    assert (augmented[0] != augmented[2]).any()
    assert augmented[0].shape == before.shape
    assert augmented[0].dtype == np.uint8
    unchanged = Augmentation(flip=0, pad=0, erase=0, light=0)
    np.testing.assert_array_equal(unchanged(pixels_NHWC, np.random.default_rng(1)), before)
    flipped = Augmentation(flip=1, pad=0, erase=0, light=0)
    np.testing.assert_array_equal(
        flipped(pixels_NHWC, np.random.default_rng(1)), before[:, :, ::-1]
    )


# From a network to a checkpoint


@pytest.mark.parametrize("held_out", [0.25, 0.0])
def test_too_few_people_to_calibrate_on_lose_no_model(
    images: LabelledImages, tmp_path: Path, held_out: float
) -> None:
    stranger, text = tmp_path / "stranger.png", tmp_path / "text.jpg"
    Image.new("RGB", (64, 128)).save(stranger)
    text.write_text("no picture")
    run = training(images, tmp_path, RECIPE.with_changes(held_out=held_out))
    path = tmp_path / "model.safetensors"
    header = finish(run, path, "default", [stranger, text, tmp_path / "none.jpg"])
    assert read_header(path) == header
    assert header.max_distance is None
    if held_out:
        assert header.notes.endswith("calibrated: a limit needs 20 people held out, got 2")
        assert header.calibration == {"num_strangers": 1, "num_skipped": 2}
        assert header.metrics["reid"]["num_valid_queries"] > 0
    else:
        assert header.notes.startswith("nobody was held out")
        assert header.metrics == {}
