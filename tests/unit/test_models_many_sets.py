"""Training on several data sets: whose people are held out, and what people with one image teach.

A tiny trunk stands in for MobileNetV2.
"""

# N images, H and W pixels

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import models.nets.joint_net
from drawn.dataset import draw_dataset
from images.preprocessing import JOINT
from models.training.data import SET_STRIDE, LabelledImages, load_training_folder
from models.training.joint_training import JointTraining
from models.training.recipe import JointRecipe
from tests.tiny_joint import RECIPE, TinyTrunk


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.nets.joint_net, "MobileNetV2", TinyTrunk)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=0)
    return load_training_folder(folder, JOINT)


def task(images: LabelledImages, recipe: JointRecipe = RECIPE, **options: Any) -> JointTraining:
    return JointTraining(images, recipe, torch.device("cpu"), **options)


def with_singles(images: LabelledImages) -> LabelledImages:
    """The drawn people, and as another folder's the first image of each, as people of their own."""
    first = np.unique(images.pids_N, return_index=True)[1]
    return LabelledImages(
        (*images.names, *(images.names[i] for i in first)),
        np.concatenate([images.pixels_NHWC, images.pixels_NHWC[first]]),
        np.concatenate([images.pids_N, images.pids_N[first] + SET_STRIDE]),
        np.concatenate([images.camids_N, np.full(len(first), -1)]),
        np.concatenate([images.values_NC, images.values_NC[first]]),
    )


def test_singles_teach_attributes_and_quality_only(images: LabelledImages) -> None:
    recipe = RECIPE.with_changes(singles=3)
    training = task(with_singles(images), recipe)
    assert training.num_people == 6  # of 8, two are held out; the singles are nobody's class
    assert len(training.singles_S) == 8
    batches = training.batches(0)
    assert not set(np.concatenate(batches).tolist()) & set(training.singles_S.tolist())
    losses = training.losses(batches[0], np.random.default_rng(0))
    assert all(math.isfinite(loss.item()) for loss in losses.values())
    assert [pid for pid in training.pids if pid >= SET_STRIDE] == [
        pid + SET_STRIDE for pid in images.pids
    ]


def test_only_people_of_the_first_folder_are_held_out(images: LabelledImages) -> None:
    n = len(images.names)
    both = LabelledImages(
        images.names * 2,
        np.concatenate([images.pixels_NHWC] * 2),
        np.concatenate([images.pids_N, images.pids_N + SET_STRIDE]),
        np.concatenate([images.camids_N, images.camids_N + SET_STRIDE]),
        np.concatenate([images.values_NC] * 2),
    )
    training, alone = task(both), task(images)
    assert training.held_out.names == alone.held_out.names
    assert set(training.pids) == {*alone.pids, *(pid + SET_STRIDE for pid in images.pids)}
    assert n < len(training.trained.names) < 2 * n


def test_the_first_epochs_see_fewer_pixels(
    images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = task(images, RECIPE.with_changes(small_epochs=1))
    seen: list[tuple[int, ...]] = []
    trunk = training.trunk_step

    def look(images_NCHW: Tensor) -> Tensor:
        seen.append(tuple(images_NCHW.shape[2:]))
        return trunk(images_NCHW)

    monkeypatch.setattr(training, "trunk_step", look)
    for epoch in (0, 1):
        training.losses(training.batches(epoch)[0], np.random.default_rng(0))
    assert seen == [(85, 42), (128, 64)]
