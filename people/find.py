"""Finding people: images of collections grouped, with their numbers, and kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, text

from db.audit import actor, record
from errors import UsageError
from gallery.collections import CollectionRow, collections_named, lock_collections
from gallery.model_rows import ModelRow
from gallery.models import chosen
from metrics.groups import DENSITY, LEAST, NOBODY, dense_groups, jaccard_pairs
from people import rows
from people.grouping import confidences, kept_apart, living_on
from people.rows import Ints, NothingFound
from vocabulary import QUALITY_LIMIT

Told = Callable[[str, float], object]


class BadDensity(UsageError):
    """A density or a least number of images makes no sense."""


@dataclass(frozen=True)
class How:
    """A group needs an image with `least` images within the Jaccard distance `density`, itself
    among them; images of less crop `quality` are nobody."""

    density: float = DENSITY
    least: int = LEAST
    quality: float = QUALITY_LIMIT

    def __post_init__(self) -> None:
        if not 0 < self.density < 1:
            raise BadDensity(f"--density is {self.density}; expected between 0 and 1")
        if self.least < 2:
            raise BadDensity(f"--least is {self.least}; expected 2 or more images")


@dataclass(frozen=True)
class PeopleFound:
    """What a grouping found. `nobody` counts images in no group, low quality among them; `kept`
    people have the number of the grouping before, `new` have one that nobody had."""

    collections: tuple[str, ...]
    model: str
    people: int
    images: int
    nobody: int
    kept: int
    new: int
    confirmed: int
    rejected: int
    density: float
    least: int
    quality: float


def find(
    engine: Engine,
    names: Sequence[str],
    how: How | None = None,
    model: str | None = None,
    told: Told = lambda *_: None,
) -> PeopleFound:
    """Groups the images of some collections into people and keeps them, in one transaction.

    The same images and verdicts give the same people. A person who lives on keeps the number: see
    `people.grouping.living_on`. Raises UnknownCollection, NothingFound, ContradictingVerdicts.
    """
    row = chosen(engine, model)
    with engine.begin() as connection:
        return _find(
            connection, row, collections_named(connection, tuple(names)), how or How(), told
        )


def _find(
    connection: Connection,
    model: ModelRow,
    collections: Sequence[CollectionRow],
    how: How,
    told: Told,
) -> PeopleFound:
    ids = [row.id for row in collections]
    lock_collections(
        connection, ids, exclusive=False
    )  # nobody erases what is read here before it is kept
    names = tuple(row.name for row in collections)
    collections = collections_named(connection, names)
    images = rows.images_of(connection, model, collections, how.quality)
    if not len(images):
        raise NothingFound(
            f"nothing in {', '.join(row.name for row in collections)} is stored by model "
            f"{model.name!r}; run `reid ingest` first"
        )
    said = rows.said_of(connection, images.ids_N)
    pairs = jaccard_pairs(images.embeddings_ND, how.density, told)
    groups_N = dense_groups(pairs, how.density, how.least)
    groups_N = kept_apart(groups_N, images.embeddings_ND, said, images.ids_N.tolist())
    persons_N, kept = _numbered(connection, groups_N, images.persons_N)
    rows.outside(connection, ids)
    rows.keep(connection, images.ids_N, persons_N, confidences(groups_N, pairs, said.confirmed))
    people = len(np.unique(persons_N[persons_N != NOBODY]))
    summary = PeopleFound(
        collections=tuple(row.name for row in collections),
        model=model.name,
        people=people,
        images=int((persons_N != NOBODY).sum()),
        nobody=_stored(connection, model, ids) - int((persons_N != NOBODY).sum()),
        kept=kept,
        new=people - kept,
        confirmed=len(said.confirmed),
        rejected=len(said.rejected),
        density=how.density,
        least=how.least,
        quality=how.quality,
    )
    _note(connection, model, collections, how)
    record(connection, "people find", asdict(summary))
    return summary


def _numbered(connection: Connection, groups_N: Ints, before_N: Ints) -> tuple[Ints, int]:
    """(the person of each image, how many people have the number of before)."""
    known = living_on(groups_N, before_N)
    groups = [group for group in np.unique(groups_N).tolist() if group != NOBODY]
    fresh = [group for group in groups if group not in known]
    numbers = {**known, **dict(zip(fresh, rows.new_persons(connection, len(fresh)), strict=True))}
    persons_N = np.array([numbers.get(group, NOBODY) for group in groups_N.tolist()], np.int64)
    return persons_N, len(known)


def _stored(connection: Connection, model: ModelRow, ids: Sequence[int]) -> int:
    stmt = text(
        "SELECT count(*) FROM feature WHERE model_id = :model AND collection_id = ANY(:ids)"
    )
    count: int = connection.execute(stmt, {"model": model.id, "ids": list(ids)}).scalar_one()
    return count


def _note(
    connection: Connection, model: ModelRow, collections: Sequence[CollectionRow], how: How
) -> None:
    """What the people of these collections were made of; groupings that share one are replaced."""
    ids = sorted(row.id for row in collections)
    connection.execute(
        text("DELETE FROM person_grouping WHERE collection_ids && CAST(:ids AS bigint[])"),
        {"ids": ids},
    )
    connection.execute(
        text(
            "INSERT INTO person_grouping (collection_ids, model_id, centring, settings, revisions,"
            " actor) VALUES (CAST(:ids AS bigint[]), :model, :centring, CAST(:how AS jsonb),"
            " CAST(:revisions AS jsonb), :actor)"
        ),
        {
            "ids": ids,
            "model": model.id,
            "centring": model.centring,
            "how": json.dumps(asdict(how)),
            "revisions": json.dumps({str(row.id): row.revision for row in collections}),
            "actor": actor(),
        },
    )


def groupings(connection: Connection) -> list[dict[str, Any]]:
    """`{"collections", "model", "settings", "found_at", "stale"}` of each grouping; stale where a
    collection has changed since, another model is active, or it was centred anew."""
    found = connection.execute(
        text(
            "SELECT array(SELECT c.name FROM collection c WHERE c.id = ANY(g.collection_ids)"
            " ORDER BY c.name) AS collections, m.name AS model, g.settings, g.found_at,"
            " NOT m.active OR m.centring <> g.centring OR EXISTS"
            " (SELECT 1 FROM jsonb_each_text(g.revisions) r"
            " LEFT JOIN collection c ON c.id = r.key::bigint"
            " WHERE c.revision IS DISTINCT FROM r.value::bigint) AS stale"
            " FROM person_grouping g JOIN model m ON m.id = g.model_id ORDER BY g.id"
        )
    )
    return [dict(row._mapping) for row in found]


def update(
    engine: Engine, names: Sequence[str] = (), told: Told = lambda *_: None
) -> list[PeopleFound]:
    """Finds people again where their collections have changed since, with the settings that they
    were found by; of some collections alone where `names` are given. Numbers live on.

    Raises UnknownCollection, NothingFound.
    """
    with engine.connect() as connection:
        if names:
            collections_named(connection, tuple(names))
        known = groupings(connection)
    wanted = [one for one in known if not names or set(names) & set(one["collections"])]
    if not wanted:
        raise NothingFound("no people were found there yet; see `reid people find`")
    return [
        find(engine, one["collections"], How(**one["settings"]), one["model"], told)
        for one in wanted
        if one["stale"]
    ]


def people(engine: Engine, names: Sequence[str]) -> tuple[list[dict[str, Any]], bool]:
    """(the people of some collections, the largest first; whether they are stale).

    Raises UnknownCollection, NothingFound.
    """
    with engine.connect() as connection:
        ids = [row.id for row in collections_named(connection, tuple(names))]
        known = [one for one in groupings(connection) if set(names) & set(one["collections"])]
        if not known:
            raise NothingFound(
                f"no people were found in {', '.join(names)} yet; run `reid people find`"
            )
        return rows.listed(connection, ids), any(one["stale"] for one in known)
