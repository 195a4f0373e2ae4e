"""Groups of images that show one person, found without any label: density in Jaccard distances.

Two images are near where they have their k-reciprocal neighbours in common (Zhong et al., 2017);
people are where such images lie dense (DBSCAN, Ester et al., 1996). Nothing is drawn at random, and
memory grows with the number of images, not with its square.
"""

# N images, D=512 embedding numbers, K nearest of each, P pairs

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from metrics.jaccard import Floats32, Ints, encoded, mutual, neighbours, shared

K1, K2 = 20, 6
DENSITY, LEAST = 0.5, 4  # measured on 19,679 images of about 750 people: docs/adapt.md
NOBODY = -1
_BLOCK = 1024
_TOUCH = 1e-9  # copies are at distance 0, which a sparse matrix would take for "not stored"

Told = Callable[[str, float], object]  # the phase, and its share done in [0, 1]


def jaccard_pairs(
    embeddings_ND: Floats32, within: float, told: Told = lambda *_: None
) -> sparse.csr_array:
    """Jaccard distances below `within` of the pairs of images that are among each other's nearest,
    (N, N), symmetric; an image has none to itself.

    Others are left out: an image that lies by itself borrows its neighbours' V, and would be near
    all of them without being near to anybody.
    """
    number, done = len(embeddings_ND), 0

    def gone_through(more: int) -> None:
        nonlocal done
        done += more
        told("neighbours", done / number)

    nearest_NK, largest_N = neighbours(embeddings_ND, max(K1 + 1, K2), gone_through)
    vectors = encoded(embeddings_ND, nearest_NK, largest_N, K1, K2)
    columns = vectors.tocsc()
    least_shared = 2 * (1 - within) / (2 - within) - 1e-12  # where Jaccard is `within`
    rows_P, columns_P, distances_P = [], [], []
    for start in range(0, number, _BLOCK):
        block = vectors[start : start + _BLOCK]
        for row, shared_N in enumerate(shared(block, columns, number), start):
            near = np.flatnonzero(shared_N > least_shared)
            near = near[near != row]
            jaccard = 1 - shared_N[near] / (2 - shared_N[near])  # each V sums to one
            kept = jaccard < within
            rows_P.append(np.full(kept.sum(), row))
            columns_P.append(near[kept])
            distances_P.append(np.maximum(jaccard[kept], _TOUCH))
        told("distances", min(1.0, (start + _BLOCK) / number))
    pairs = (np.concatenate(rows_P), np.concatenate(columns_P))
    found = sparse.csr_array((np.concatenate(distances_P), pairs), shape=(number, number))
    # rounding may keep a pair one way only
    near = mutual(nearest_NK[:, : K1 + 1])
    both: sparse.csr_array = found.maximum(found.T).multiply(near).tocsr()
    return both


def group(
    embeddings_ND: Floats32,
    density: float = DENSITY,
    least: int = LEAST,
    told: Told = lambda *_: None,
) -> Ints:
    """Each image's group (N,), numbered from 0 in the order of the images; `NOBODY` for an image
    that lies by itself. A group needs an image with `least` images, itself included, within the
    Jaccard distance `density`.

    Raises ValueError for a density outside 0 to 1 or `least` below 2.
    """
    if not 0 < density < 1 or least < 2:
        raise ValueError(f"expected a density between 0 and 1 and least >= 2: {density}, {least}")
    if len(embeddings_ND) < 2:
        return np.full(len(embeddings_ND), NOBODY)
    return dense_groups(jaccard_pairs(embeddings_ND, density, told), density, least)


def dense_groups(pairs: sparse.csr_array, density: float, least: int) -> Ints:
    """The groups of `group` in distances that `jaccard_pairs` gave within this density or more."""
    from sklearn.cluster import DBSCAN

    found = DBSCAN(eps=density, min_samples=least, metric="precomputed").fit(
        sparse.csr_matrix(pairs)
    )
    labels_N: Ints = found.labels_.astype(np.int64)
    return labels_N


def split_agreement(
    embeddings_ND: Floats32, groups_N: Ints, camids_N: npt.NDArray[np.int64]
) -> float | None:
    """How far the two halves of a group agree: the share of halves whose nearest other half, by
    mean embedding, is its own group's. A group is split by camera where several saw it, else in
    turn. None without two groups of two images."""
    halves, owners = [], []
    for number in range(int(groups_N.max(initial=NOBODY)) + 1):
        own = np.flatnonzero(groups_N == number)
        cameras = np.unique(camids_N[own])
        if len(cameras) > 1:
            first = np.isin(camids_N[own], cameras[: len(cameras) // 2])
        else:
            first = np.arange(len(own)) % 2 == 0
        if first.all() or not first.any():
            continue
        for part in (own[first], own[~first]):
            halves.append(embeddings_ND[part].mean(axis=0))
            owners.append(number)
    if len(owners) < 4:
        return None
    means_HD = np.array(halves)
    means_HD /= np.maximum(np.linalg.norm(means_HD, axis=1, keepdims=True), 1e-12)
    likeness_HH = means_HD @ means_HD.T
    np.fill_diagonal(likeness_HH, -np.inf)
    nearest_H = likeness_HH.argmax(axis=1)
    return float((np.array(owners)[nearest_H] == np.array(owners)).mean())


def agreement(first_N: Ints, second_N: Ints) -> float | None:
    """The adjusted Rand index of two groupings of the same images, over the images that both give a
    group: 1 where they are the same, about 0 by chance. None where no image has both."""
    both = (first_N != NOBODY) & (second_N != NOBODY)
    if not both.any():
        return None
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first_N[both], second_N[both]))
