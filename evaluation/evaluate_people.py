"""How far people that are found are people, where these are known: several densities at once."""

# N images

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine

from evaluation.evaluate_reid import CannotEvaluate
from gallery.collections import collections_named
from gallery.models import chosen
from metrics.clusters import GroupQuality, quality_of, trivial
from metrics.groups import LEAST, dense_groups, jaccard_pairs
from people.rows import images_of
from vocabulary import QUALITY_LIMIT

DENSITIES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


@dataclass(frozen=True)
class PeopleReport:
    """The figures of each density, in ascending order, and of the two groupings that need no look.
    `advised` is the largest density with at least the wanted precision, None without one."""

    model: str
    images: int
    judged: int
    by_density: tuple[tuple[float, GroupQuality], ...]
    trivial: tuple[tuple[str, GroupQuality], ...]
    wanted: float | None

    @property
    def advised(self) -> float | None:
        enough = [d for d, q in self.by_density if self.wanted and q.precision >= self.wanted]
        return max(enough, default=None)

    def rows(self) -> list[dict[str, Any]]:
        """One row a grouping."""
        found = [(f"density {density:g}", quality) for density, quality in self.by_density]
        return [{"grouping": name, **asdict(quality)} for name, quality in [*found, *self.trivial]]

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "images": self.images,
            "judged": self.judged,
            "densities": [{"density": d, **asdict(quality)} for d, quality in self.by_density],
            "trivial": [{"grouping": name, **asdict(quality)} for name, quality in self.trivial],
            "wanted_precision": self.wanted,
            "advised_density": self.advised,
        }


def evaluate_people(
    engine: Engine,
    names: Sequence[str],
    densities: Sequence[float] = DENSITIES,
    model: str | None = None,
    *,
    wanted: float | None = None,
    least: int = LEAST,
    quality: float = QUALITY_LIMIT,
) -> PeopleReport:
    """Groups collections anew and keeps nothing. Judged are images with a person's number; all
    others are strangers to everybody. A number means one person within an identity space.

    Raises UnknownCollection, CannotEvaluate.
    """
    row = chosen(engine, model)
    with engine.connect() as connection:
        images = images_of(connection, row, collections_named(connection, tuple(names)), quality)
    known_N = images.pids_N > 0
    if not known_N.any():
        raise CannotEvaluate(
            f"no file of {', '.join(names)} names a person; expected names such as "
            "0474_c3_012345.jpg"
        )
    spaces = np.unique(np.array(images.identities, object), return_inverse=True)[1]
    people_N = spaces * 2**32 + images.pids_N
    wide = sorted(set(densities))
    pairs = jaccard_pairs(images.embeddings_ND, wide[-1])
    found = []
    for density in wide:
        within = pairs.copy()
        within.data[within.data >= density] = 0
        within.eliminate_zeros()
        groups_N = dense_groups(within, density, least)
        found.append((density, quality_of(groups_N, people_N, known_N)))
    simple = [(name, quality_of(g, people_N, known_N)) for name, g in trivial(len(images)).items()]
    judged = int(known_N.sum())
    return PeopleReport(row.name, len(images), judged, tuple(found), tuple(simple), wanted)
