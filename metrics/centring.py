"""Each camera's own mean, subtracted: what a camera adds to every embedding is left out.

A camera adds its own cast to the embedding of everybody who passes it: strangers before one camera
look more alike than one person before two. With r an image's embedding of length 1 as the network
gives it, S the sum of r over a collection's n images and s that of a camera's m of them:

    mean of the collection      = S / (n + WEIGHT)
    mean of a camera            = (s + WEIGHT * mean of the collection) / (m + WEIGHT)
    what is stored and compared = (r - mean) / |r - mean|

so that nothing needs a least number of images: a camera with few leans on its collection, a
collection with few is left nearly as it is. Without that, a camera that has seen one person only
would lose him: 8 images each, rank-1 .45 -> .10; with it .44 (`benchmarks/centring.py`). An image
of an unknown camera goes by the collection's mean.

Since r has length 1 and a mean is shorter, r follows from what is stored and the mean again.
"""

# N images, D=512 embedding numbers

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metrics.distances import FloatRows

WEIGHT = 100  # images that a camera needs for its own mean to count as much as the collection's
ANY = -1  # stands for the camera where none is known: the mean of the whole collection
_MOVED = 0.05  # of the share that a camera's own images have in its mean
_TIMES = 2  # so many times more images, or fewer

Mean = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Sum = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Means:
    """The means of one collection by camera, `ANY` that of all; float32, as they are stored. Where
    there are none, nothing is subtracted."""

    of_camera: Mapping[int, Mean] = field(default_factory=dict)

    def of(self, camid: int | None) -> Mean | None:
        """The mean that an image of this camera goes by; None for nothing to subtract."""
        own = None if camid is None else self.of_camera.get(camid)
        return self.of_camera.get(ANY) if own is None else own

    def _rows(self, camids_N: Ints) -> Sum | float:
        """The mean of each row; 0 where there is none."""
        if not self.of_camera:
            return 0.0
        cameras, inverse_N = np.unique(camids_N, return_inverse=True)
        means = np.stack([self._or_zero(int(camera)) for camera in cameras])
        rows_ND: Sum = means[inverse_N]
        return rows_ND

    def _or_zero(self, camid: int) -> Sum:
        mean = self.of(None if camid == ANY else camid)
        return np.zeros(1) if mean is None else mean.astype(np.float64)

    def centred(self, raw_ND: FloatRows, camids_N: Ints) -> FloatRows:
        """What is stored for the network's embeddings; a camera of `ANY` is an unknown one."""
        if not self.of_camera:
            return raw_ND
        return _unit(raw_ND.astype(np.float64) - self._rows(camids_N))

    def raw(self, stored_ND: FloatRows, camids_N: Ints) -> FloatRows:
        """The network's embeddings of what is stored, but for the last bits."""
        if not self.of_camera:
            return stored_ND
        means_ND, stored = self._rows(camids_N), stored_ND.astype(np.float64)
        along_N = np.einsum("nd,nd->n", np.broadcast_to(means_ND, stored.shape), stored)
        short_N = np.einsum("nd,nd->n", *[np.broadcast_to(means_ND, stored.shape)] * 2)
        length_N = np.sqrt(np.maximum(along_N**2 - short_N + 1, 0)) - along_N
        return _unit(means_ND + length_N[:, None] * stored)


def _unit(rows_ND: Sum) -> FloatRows:
    lengths_N = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    unit_ND: FloatRows = (rows_ND / np.maximum(lengths_N, 1e-12)).astype(np.float32)
    return unit_ND


@dataclass
class Sums:
    """Sums of embeddings by camera, taken in a block at a time."""

    of_camera: dict[int, Sum] = field(default_factory=dict)
    images: dict[int, int] = field(default_factory=dict)

    def add(self, raw_ND: FloatRows, camids_N: Ints) -> None:
        for camera in np.unique(camids_N).tolist():
            own_ND = raw_ND[camids_N == camera].astype(np.float64)
            self.of_camera[camera] = self.of_camera.get(camera, 0.0) + own_ND.sum(axis=0)
            self.images[camera] = self.images.get(camera, 0) + len(own_ND)

    def means(self) -> Means:
        """The means by the formulas above; none of no images."""
        if not self.images:
            return Means()
        total = sum(self.images.values())
        whole: Sum = np.sum(list(self.of_camera.values()), axis=0) / (total + WEIGHT)
        found = {ANY: whole.astype(np.float32)}
        for camera, own in self.of_camera.items():
            if camera != ANY:
                mean = (own + WEIGHT * whole) / (self.images[camera] + WEIGHT)
                found[camera] = mean.astype(np.float32)
        return Means(found)


def centred(raw_ND: FloatRows, camids_N: Ints) -> FloatRows:
    """The embeddings of one whole collection less its own means; a camera of `ANY` is unknown."""
    sums = Sums()
    if len(raw_ND):
        sums.add(raw_ND, camids_N)
    return sums.means().centred(raw_ND, camids_N)


def due(known: Mapping[int, int], now: Mapping[int, int]) -> bool:
    """Whether means that were made of `known` images by camera are to be made anew of `now`: the
    share of some camera's own images in its mean moves, or it has twice as many, or half."""
    for camera in known.keys() | now.keys():
        before, after = known.get(camera, 0), now.get(camera, 0)
        if abs(before / (before + WEIGHT) - after / (after + WEIGHT)) > _MOVED:
            return True
        if min(before, after) * _TIMES <= max(before, after) and max(before, after) >= WEIGHT:
            return True
    return False
