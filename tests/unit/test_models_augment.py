"""Augmentation: a copy that follows its seed, and each change of another camera by itself."""

# N images, H and W pixels

from typing import Any

import numpy as np
import pytest

from drawn.dataset import draw_dataset
from images.preprocessing import JOINT
from models.training.augment import Augmentation
from models.training.data import LabelledImages, load_training_folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> LabelledImages:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=3, test_people=1, images_per_person=2, distractors=0)
    return load_training_folder(folder, JOINT)


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


_NOTHING: dict[str, Any] = {"flip": 0, "pad": 0, "erase": 0, "light": 0}
_OTHER_CAMERAS = ("cast", "gamma", "grey", "blur", "low_resolution", "jpeg", "cut", "partial")


@pytest.mark.parametrize("name", _OTHER_CAMERAS)
def test_each_change_of_another_camera_changes_every_image(
    images: LabelledImages, name: str
) -> None:
    pixels_NHWC = images.pixels_NHWC[:4]
    changed = Augmentation(**{**_NOTHING, name: 1.0})(pixels_NHWC, np.random.default_rng(1))
    assert changed.shape == pixels_NHWC.shape
    for before, after in zip(pixels_NHWC, changed, strict=True):
        assert (before != after).any()
        # still that picture, and not noise or a grey field
        assert np.abs(before.astype(int) - after).mean() < 90


def test_a_cast_is_one_factor_a_channel() -> None:
    grey = np.full((1, 128, 64, 3), 100, np.uint8)
    found = Augmentation(**{**_NOTHING, "cast": 1.0})(grey, np.random.default_rng(4))[0]
    assert all(len(np.unique(found[..., channel])) == 1 for channel in range(3))
    assert len(set(found[0, 0].tolist())) == 3


def test_grey_has_no_colour(images: LabelledImages) -> None:
    found = Augmentation(**{**_NOTHING, "grey": 1.0})(
        images.pixels_NHWC[:2], np.random.default_rng(4)
    )
    assert (found == found[..., :1]).all()
