"""Junk is made from training images: of their size, from a seed, of every kind."""

# N images, H and W pixels

import numpy as np
import pytest

from images.preprocessing import Pixels
from models.training.junk import KINDS, Maker, background, close_up, make_junk, off_centre, stacked
from models.training.junk import two_halves as halves

HEIGHT, WIDTH = 96, 48


def ramp(first: int) -> Pixels:
    """An image in which every pixel tells its row (red) and its column (green)."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([rows, columns, np.full_like(rows, first)], axis=2).astype(np.uint8)


ONE, OTHER = ramp(10), ramp(200)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_a_kind_keeps_the_size_and_its_sources(kind: Maker, seed: int) -> None:
    one, other = ONE.copy(), OTHER.copy()
    made = kind(one, other, np.random.default_rng(seed))
    assert (made.shape, made.dtype) == ((HEIGHT, WIDTH, 3), np.dtype(np.uint8))
    np.testing.assert_array_equal(one, ONE)
    np.testing.assert_array_equal(other, OTHER)
    np.testing.assert_array_equal(made, kind(one, other, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(20))
def test_what_each_kind_shows(seed: int) -> None:
    def made(kind: Maker) -> Pixels:
        return kind(ONE, OTHER, np.random.default_rng(seed)).astype(int)

    close = made(close_up)
    assert 0.2 * HEIGHT <= np.ptp(close[:, :, 0]) <= 0.5 * HEIGHT
    strip = made(background)[:, :, 1]
    assert np.ptp(strip) < 0.3 * WIDTH
    assert min(strip.min(), WIDTH - 1 - strip.max()) == 0
    beside = made(halves)
    assert (beside[0, 0, 2], beside[0, -1, 2]) == (10, 200)
    assert beside[0, 0, 1] > 0.3 * WIDTH, "the right side of the first"
    assert beside[0, -1, 1] < 0.7 * WIDTH, "the left side of the second"
    above = made(stacked)
    assert (above[0, 0, 2], above[-1, 0, 2]) == (10, 200)
    assert above[0, 0, 0] > 0.3 * HEIGHT, "the legs of the first"
    shifted = made(off_centre)[0, :, 2]
    assert 0.28 <= float((shifted == 10).mean()) <= 0.6


def test_a_batch_of_junk_follows_its_seed_and_holds_every_kind() -> None:
    images_NHWC = np.stack([ONE, OTHER, ramp(90)])
    made = [make_junk(images_NHWC, 60, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert made[0].shape == (60, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()
    assert make_junk(images_NHWC, 0, np.random.default_rng(1)).shape == (0, HEIGHT, WIDTH, 3)


def test_no_image_to_make_junk_from() -> None:
    with pytest.raises(ValueError, match=r"^expected at least one image to make junk from$"):
        make_junk(np.empty((0, HEIGHT, WIDTH, 3), np.uint8), 1, np.random.default_rng(1))
