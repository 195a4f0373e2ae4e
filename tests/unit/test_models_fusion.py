"""The layer after training: an embedding and the roots of its scores become one vector."""

# N images, A=56 scores, D=512 embedding numbers

import numpy as np
import pytest
import torch

from models.nets.fusion import fit_fusion, fused
from models.nets.joint_net import FUSED, JointNet
from models.outputs import FloatRows, Outputs

RNG = np.random.default_rng(3)


def found(count: int) -> Outputs:
    """Embeddings with some strong directions and some weak ones; scores of 27 columns."""
    embeddings_ND = RNG.normal(size=(count, 512)) * np.linspace(3, 0.2, 512) + RNG.normal(size=512)
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    scores_NA = RNG.dirichlet(np.full(56, 0.3), count) * 27
    return Outputs(
        embeddings_ND=embeddings_ND.astype(np.float32), scores_NA=scores_NA.astype(np.float32)
    )


def applied(outputs: Outputs, whitening: float, score_weight: float) -> FloatRows:
    weight_DJ, bias_D = fit_fusion(outputs, whitening, score_weight)
    joined_NJ = np.hstack([outputs.embeddings_ND, np.sqrt(outputs.scores_NA)])
    rows_ND: FloatRows = joined_NJ @ weight_DJ.T + bias_D
    return rows_ND


def distances(rows_ND: FloatRows) -> FloatRows:
    rows_ND = rows_ND.astype(np.float64)
    found_NN: FloatRows = np.linalg.norm(rows_ND[:, None] - rows_ND[None], axis=2)
    return found_NN


def test_without_whitening_and_scores_distances_keep_their_proportions() -> None:
    outputs = found(40)
    ratio = distances(applied(outputs, 0.0, 0.0)) / (distances(outputs.embeddings_ND) + np.eye(40))
    off = ratio[~np.eye(40, dtype=bool)]
    np.testing.assert_allclose(off, off[0], rtol=1e-4)


def test_half_a_power_makes_all_directions_count_alike() -> None:
    rows_ND = applied(found(4_000), 0.5, 0.0)
    spread_D = np.linalg.eigvalsh(np.cov(rows_ND.T))
    assert spread_D[0] > 0.9 * spread_D[-1]


def test_the_roots_of_the_scores_add_their_distance() -> None:
    """Squares of distances add up, but for what 512 numbers cannot hold of 568."""
    outputs, weight = found(300), 2.0
    joined = distances(applied(outputs, 0.0, weight)) ** 2
    alone = distances(applied(outputs, 0.0, 0.0)) ** 2
    roots = distances(np.sqrt(outputs.scores_NA)) ** 2
    np.testing.assert_allclose(joined, alone + weight**2 * roots, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_few_images_give_finite_numbers(count: int) -> None:
    weight_DJ, bias_D = fit_fusion(found(count), 0.1, 0.2)
    assert (weight_DJ.shape, bias_D.shape) == ((512, 568), (512,))
    assert np.isfinite(weight_DJ).all() and np.isfinite(bias_D).all()
    assert np.abs(weight_DJ).max() < np.finfo(np.float16).max, "the weights are kept in 16 bit"


def test_the_fused_network_applies_the_layer_to_its_own_outputs() -> None:
    torch.manual_seed(5)
    net = JointNet().eval()
    fusion = fit_fusion(found(600), 0.1, 0.2)
    whole = fused(net, fusion)
    assert whole.architecture == FUSED
    images_NCHW = torch.rand(3, 3, 64, 32)
    with torch.inference_mode():
        scores_NA, embeddings_ND, quality_N = (part.numpy() for part in net(images_NCHW))
        found_scores_NA, found_ND, found_quality_N = (part.numpy() for part in whole(images_NCHW))
    wanted_ND = np.hstack([embeddings_ND, np.sqrt(scores_NA)]) @ fusion.weight_DJ.T + fusion.bias_D
    wanted_ND /= np.linalg.norm(wanted_ND, axis=1, keepdims=True)
    np.testing.assert_allclose(found_ND, wanted_ND, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found_scores_NA, scores_NA)
    np.testing.assert_array_equal(found_quality_N, quality_N)
