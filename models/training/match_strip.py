"""Queries with their best matches as one picture, for the curves of a training run."""

# N images, Q queries, G gallery images, H and W pixels, K ranks

import numpy as np
import numpy.typing as npt

from images.preprocessing import Pixels
from metrics.reid import protocol_masks
from models.training.data import LabelledImages

_FRAME = 4
_WHITE, _GREEN, _RED, _EMPTY = (255, 255, 255), (40, 170, 70), (210, 50, 50), (30, 30, 30)
Colour = tuple[int, int, int]


def match_strip(
    images: LabelledImages,
    queries_N: npt.NDArray[np.bool_],
    distances_QG: npt.NDArray[np.floating],
    *,
    rows: int = 6,
    ranks: int = 10,
) -> Pixels | None:
    """Some queries, one a row and framed in white, each with its best matches, the best first.

    Hits are framed in green, others in red; what the protocol drops is not shown. The queries are
    spread evenly over those with a hit in the gallery; None where there is no such query.
    """
    query_places, gallery_places = np.flatnonzero(queries_N), np.flatnonzero(~queries_N)
    lines = []
    for row_G, place in zip(distances_QG, query_places, strict=True):
        same_G, dropped_G = protocol_masks(
            int(images.pids_N[place]),
            int(images.camids_N[place]),
            images.pids_N[~queries_N],
            images.camids_N[~queries_N],
        )
        if (same_G & ~dropped_G).any():
            order = np.argsort(row_G, kind="stable")
            best = order[~dropped_G[order]][:ranks]
            cells = [(gallery_places[g], _GREEN if same_G[g] else _RED) for g in best]
            lines.append([(place, _WHITE), *cells])
    if not lines:
        return None
    chosen = np.unique(np.linspace(0, len(lines) - 1, rows).round().astype(int))
    return np.concatenate([_line(images.pixels_NHWC, lines[i], 1 + ranks) for i in chosen])


def _line(pixels_NHWC: Pixels, cells: list[tuple[int, Colour]], length: int) -> Pixels:
    framed = [_framed(pixels_NHWC[place], colour) for place, colour in cells]
    empty = _framed(np.full_like(pixels_NHWC[0], _EMPTY), _EMPTY)
    return np.concatenate([*framed, *[empty] * (length - len(framed))], axis=1)


def _framed(pixels_HWC: Pixels, colour: Colour) -> Pixels:
    height, width, _ = pixels_HWC.shape
    out = np.full((height + 2 * _FRAME, width + 2 * _FRAME, 3), colour, np.uint8)
    out[_FRAME:-_FRAME, _FRAME:-_FRAME] = pixels_HWC
    return out
