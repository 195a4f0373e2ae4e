"""Augmentation on a device: the same changes as on the CPU, and a training that uses them."""

# N images, H and W pixels

from typing import Any

import numpy as np
import pytest
import torch

import models.nets.joint_net
from drawn.dataset import draw_dataset
from images.preprocessing import JOINT, Pixels
from models.training.augment import Augmentation
from models.training.data import LabelledImages, load_training_folder
from models.training.device_augment import augment_batch
from models.training.joint_training import JointTraining
from tests.tiny_joint import RECIPE, TinyTrunk

NOTHING: dict[str, Any] = {"flip": 0, "pad": 0, "erase": 0, "light": 0}
CHANGES = (
    "erase", "light", "cast", "gamma", "grey", "blur", "low_resolution", "jpeg", "cut", "partial",
)  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=6, test_people=1, images_per_person=4, distractors=0)
    return load_training_folder(folder, JOINT)


def changed(pixels_NHWC: Pixels, seed: int = 1, **changes: Any) -> Pixels:
    augmentation = Augmentation(**{**NOTHING, **changes})
    rng = np.random.default_rng(seed)
    return augment_batch(torch.from_numpy(pixels_NHWC), augmentation, rng).numpy()


def test_without_a_change_the_bytes_stay(images: LabelledImages) -> None:
    np.testing.assert_array_equal(changed(images.pixels_NHWC), images.pixels_NHWC)


def test_a_flip_is_a_mirror_image(images: LabelledImages) -> None:
    found = changed(images.pixels_NHWC, flip=1).astype(int)
    assert np.abs(found - images.pixels_NHWC[:, :, ::-1]).max() <= 1  # of a sampling's rounding


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_changes_every_image_about_as_on_the_cpu(
    images: LabelledImages, name: str
) -> None:
    pixels_NHWC = np.tile(images.pixels_NHWC, (8, 1, 1, 1))
    only: dict[str, Any] = {name: 1.0}
    here = changed(pixels_NHWC, **only)
    there = Augmentation(**{**NOTHING, **only})(pixels_NHWC, np.random.default_rng(2))
    # a light of hardly any strength may change nothing
    assert np.mean([(a != b).any() for a, b in zip(here, pixels_NHWC, strict=True)]) > 0.95
    moved = [np.abs(x.astype(int) - pixels_NHWC).mean() for x in (here, there)]
    assert 0.5 < moved[0] / moved[1] < 2, moved


def test_jpeg_keeps_an_even_field() -> None:
    grey = np.full((2, 20, 12, 3), 100, np.uint8)  # no multiple of eight
    assert np.abs(changed(grey, jpeg=1).astype(int) - 100).max() <= 8


def test_a_seed_gives_the_same_batch(images: LabelledImages) -> None:
    all_changes = dict.fromkeys((*CHANGES, "flip"), 0.5)
    first, again, other = (changed(images.pixels_NHWC, seed, **all_changes) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_training_augments_where_its_images_lie(
    images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.nets.joint_net, "MobileNetV2", TinyTrunk)
    training = JointTraining(images, RECIPE, torch.device("cpu"), on_device=True)
    monkeypatch.setattr(Augmentation, "__call__", lambda *_: pytest.fail("augmented on the CPU"))
    losses = training.losses(training.batches(0)[0], np.random.default_rng(0))
    assert all(np.isfinite(loss.item()) for loss in losses.values())
