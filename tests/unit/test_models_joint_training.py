"""Training of the joint network on drawn people; the loop around it has tests of its own.

A tiny trunk stands in for MobileNetV2.
"""

# N images, H and W pixels

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import metrics.calibration
import models.nets.joint_net
import models.training.joint_training
from drawn.dataset import draw_dataset
from images.preprocessing import JOINT, SEED, Pixels
from models.checkpoint import BadCheckpoint, Header, content_hash, read_header
from models.nets.fusion import fit_fusion
from models.nets.joint_net import JointNet
from models.nets.load import load, save
from models.nets.seed_nets import SeedNet
from models.training.augment import Augmentation
from models.training.data import BadTrainingData, LabelledImages, load_training_folder
from models.training.finish import finish
from models.training.joint_training import JointTraining
from models.training.loop import Loop
from models.training.recipe import BadRecipe, JointRecipe, read_joint_recipe
from models.training.start import start_from_checkpoint
from tests.tiny_joint import RECIPE, TinyTrunk

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.nets.joint_net, "MobileNetV2", TinyTrunk)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=0)
    return load_training_folder(folder, JOINT)


def task(images: LabelledImages, recipe: JointRecipe = RECIPE, **options: Any) -> JointTraining:
    return JointTraining(images, recipe, CPU, **options)


def trained(run: JointTraining, folder: Path) -> list[float]:
    """The losses of all epochs."""
    losses: list[float] = []
    Loop(run, folder).run(lambda report: losses.append(report.loss))
    return losses


# It learns


def test_the_loss_falls(images: LabelledImages, tmp_path: Path) -> None:
    plain = Augmentation(flip=0, pad=0, erase=0, light=0)
    losses = trained(task(images, RECIPE.with_changes(epochs=12, augmentation=plain)), tmp_path)
    assert max(losses[-3:]) < 0.7 * losses[0]


def test_people_held_out_are_never_trained_on_and_measured(
    images: LabelledImages, tmp_path: Path
) -> None:
    run = task(images)
    assert len(run.held_out.pids) == 2
    assert set(run.held_out.pids) & set(run.pids) == set()
    loop = Loop(run, tmp_path)
    report = loop.run_epoch()
    assert report.figures == run.validate().figures
    assert 0 < report.figures["chance_mAP"] < 1
    assert {"mAP", "rank1", "accuracy", "majority_accuracy"} <= set(report.figures)
    assert set(report.losses) == {"identity", "triplet", "attributes", "quality"}
    assert loop.best == loop.history[0]


def test_trained_on_all_nobody_is_left_to_be_measured(
    images: LabelledImages, tmp_path: Path
) -> None:
    """A figure over people who were trained on would flatter."""
    run = task(images, on_all=True)
    assert run.pids == images.pids
    assert run.held_out.names == ()
    assert Loop(run, tmp_path).run_epoch().figures == {}


def test_the_rate_warms_up_and_falls_as_a_cosine(images: LabelledImages) -> None:
    run = task(images, RECIPE.with_changes(epochs=6, warmup_epochs=2, rate=1.0))
    rates = [run.rate_at(epoch) for epoch in (0, 1, 2, 4, 6)]
    assert rates == pytest.approx([0.01, 0.505, 1, 0.5, 0])


def test_killed_and_resumed_is_not_killed(images: LabelledImages, tmp_path: Path) -> None:
    losses = trained(task(images), tmp_path / "whole")
    killed = task(images)
    first = Loop(killed, tmp_path / "killed").run_epoch().loss
    killed.losses(killed.batches(1)[0], np.random.default_rng(0))  # killed in the second
    torch.manual_seed(99)
    resumed = Loop(task(images), tmp_path / "killed")
    assert resumed.epoch == 1
    assert [first, resumed.run_epoch().loss] == losses


def test_start_weights_are_loaded_before_the_optimiser_sees_them(images: LabelledImages) -> None:
    def start(net: JointNet) -> None:
        nn.init.constant_(net.embedding.weight, 0.125)

    run = task(images, start=start)
    assert float(run.net.embedding.weight.detach().mean()) == 0.125
    found = {id(p) for group in run.optimiser.param_groups for p in group["params"]}
    assert {id(p) for p in run.net.parameters()} <= found


def test_scores_and_embeddings_of_the_images(images: LabelledImages) -> None:
    scores_NA, embeddings_ND, quality_N = task(images).embed(images)
    assert quality_N is not None
    assert ((quality_N >= 0) & (quality_N <= 1)).all()
    assert scores_NA.shape == (len(images.names), 56)
    np.testing.assert_allclose(np.linalg.norm(embeddings_ND, axis=1), 1, atol=1e-6)


def test_imprinted_identities_know_the_people_that_the_start_tells_apart(
    images: LabelledImages, tmp_path: Path
) -> None:
    """With the start's own embeddings, most images are nearest to the mean of their person."""
    path = tmp_path / "start.safetensors"
    first = task(images, RECIPE.with_changes(epochs=6))
    trained(first, tmp_path / "first")
    finish(first, path, "default")
    run = task(images, start=start_from_checkpoint(path), imprint=True)
    embeddings_ND = torch.from_numpy(run.embed(run.trained).embeddings_ND)
    nearest_N = run.identities.whole(embeddings_ND, torch.zeros_like(run.people_N)).argmax(1)
    means = [embeddings_ND[run.people_N == k].mean(0) for k in range(len(run.pids))]
    wanted_KD = nn.functional.normalize(torch.stack(means))
    torch.testing.assert_close(run.identities.whole.weight.detach(), wanted_KD)
    assert float((nearest_N == run.people_N).float().mean()) > 0.5


def test_a_start_without_bands_gives_its_rows_to_the_whole_and_the_bands(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    plain = JointNet(parts=0)
    save(path, plain, Header(plain.architecture, JOINT))
    net = JointNet()
    start_from_checkpoint(path)(net)
    rows_DF = torch.cat([layer.weight for layer in net.pieces])
    assert torch.equal(rows_DF, plain.embedding.weight)
    assert torch.equal(net.neck.weight, plain.neck.weight)
    for mine, theirs in zip(net.trunk.parameters(), plain.trunk.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_what_is_saved_has_the_recipes_last_layer_fitted_on_who_was_trained_on(
    images: LabelledImages, tmp_path: Path
) -> None:
    run = task(images, RECIPE.with_changes(whitening=0.1, score_weight=0.2))
    path = tmp_path / "model.safetensors"
    assert finish(run, path, "default").architecture == "joint-mobilenet_v2-parts-fused"
    net, fitted = load(path)[0], fit_fusion(run.embed(run.trained), 0.1, 0.2)
    assert isinstance(net, JointNet) and net.fusion is not None
    # 16 bits on disk
    np.testing.assert_allclose(
        net.fusion.weight.detach().numpy(), fitted.weight_DJ, rtol=1e-3, atol=1e-4
    )
    # who goes on from it fits a layer of his own, at the end
    goes_on = task(images, start=start_from_checkpoint(path))
    assert goes_on.net.fusion is None
    assert finish(goes_on, path, "default").architecture == "joint-mobilenet_v2-parts"


def test_another_kind_of_network_is_no_start(tmp_path: Path) -> None:
    path = tmp_path / "seed.safetensors"
    save(path, SeedNet("alexnet"), Header("seed-alexnet", SEED, normalised=False), half=True)
    with pytest.raises(BadCheckpoint) as caught:
        start_from_checkpoint(path)(JointNet())
    assert str(caught.value) == (
        f"{path} holds seed-alexnet; expected a checkpoint of `reid train joint`"
    )


def test_junk_is_told_from_people(
    images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat grey stands for junk: the tiny trunk tells no better."""

    def grey(pixels_NHWC: Pixels, count: int, _: np.random.Generator) -> Pixels:
        return np.full((count, *pixels_NHWC.shape[1:]), 128, np.uint8)

    monkeypatch.setattr(models.training.joint_training, "make_junk", grey)
    plain = Augmentation(flip=0, pad=0, erase=0, light=0)
    run = task(images, RECIPE.with_changes(epochs=12, rate=1e-2, augmentation=plain))
    trained(run, tmp_path)
    junk = replace(run.trained, pixels_NHWC=np.full_like(run.trained.pixels_NHWC, 128))
    good, bad = run.embed(run.trained).quality_N, run.embed(junk).quality_N
    assert good is not None
    assert bad is not None
    assert good.min() > bad.max()


# People that cannot be trained on


def test_fewer_people_than_a_batch_holds(images: LabelledImages) -> None:
    with pytest.raises(BadTrainingData) as caught:
        task(images, RECIPE.with_changes(people=7))
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
    report = Loop(task(single), tmp_path).run_epoch()
    assert math.isfinite(report.loss)
    assert "mAP" not in report.figures
    assert "accuracy" in report.figures


# Recipes


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
        ("# caf\xe9", "no UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_recipe_with_a_value_that_cannot_be(tmp_path: Path, text: str, why: str) -> None:
    kept = {**RECIPE.to_json(), text.split(" = ")[0]: None, "augmentation": None}
    lines = [f"{key} = {json.dumps(value)}" for key, value in kept.items() if value is not None]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join([*lines, text]), encoding="latin-1")
    with pytest.raises(BadRecipe) as caught:
        read_joint_recipe(path)
    sentence = str(caught.value).replace(f", line {len(lines) + 1}: ", " is no joint recipe: ")
    assert sentence.startswith(f"{path} is no joint recipe: {why}")


# From a network to a checkpoint


@pytest.mark.parametrize("held_out", [0.25, 0.0])
def test_too_few_people_to_calibrate_on_lose_no_model(
    images: LabelledImages, tmp_path: Path, held_out: float
) -> None:
    stranger, text = tmp_path / "stranger.png", tmp_path / "text.jpg"
    Image.new("RGB", (64, 128)).save(stranger)
    text.write_text("no picture")
    run = task(images, RECIPE.with_changes(held_out=held_out))
    path = tmp_path / "model.safetensors"
    header = finish(run, path, "default", [stranger, text, tmp_path / "none.jpg"])
    assert read_header(path) == header
    assert header.max_distance is None
    if held_out:
        assert header.notes.endswith("compared, got 2")
        assert header.calibration == {"num_strangers": 1, "num_skipped": 2}
        assert header.metrics["reid"]["num_valid_queries"] > 0
    else:
        assert header.notes.startswith("nobody was held out")
        assert header.metrics == {}


def test_a_model_of_everybody_takes_limit_and_figures_from_its_twin(
    images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics.calibration, "MIN_PEOPLE", 2)
    twin, path = tmp_path / "twin.safetensors", tmp_path / "model.safetensors"
    measured = finish(task(images), twin, "default")
    assert measured.max_distance is not None
    header = finish(task(images, on_all=True), path, "default", twin=twin)
    assert read_header(path) == header
    assert header.trained_pids == tuple(images.pids)
    assert header.max_distance == measured.max_distance
    assert header.metrics == {**measured.metrics, "of_twin": content_hash(twin)}
    assert header.notes.startswith(
        "trained on all 8 people; limit and figures are those of its twin, trained the same way "
        "without 2 of them: measured on 2 people never trained on"
    )


def test_what_is_no_twin_is_refused(images: LabelledImages, tmp_path: Path) -> None:
    twin, path = tmp_path / "twin.safetensors", tmp_path / "model.safetensors"
    everybody = task(images, on_all=True)
    finish(task(images, RECIPE.with_changes(rate=1e-4)), twin, "default")
    with pytest.raises(BadCheckpoint, match="is no twin: it was trained by another recipe"):
        finish(everybody, path, "default", twin=twin)
    finish(task(images, origin="imagenet"), twin, "default")
    with pytest.raises(BadCheckpoint, match="is no twin: it was trained by another recipe"):
        finish(everybody, path, "default", twin=twin)
    for space, run in (("other", task(images)), ("default", task(images, on_all=True))):
        finish(run, twin, space)
        with pytest.raises(BadCheckpoint, match="is no twin: it was not trained without some"):
            finish(everybody, path, "default", twin=twin)
