"""What the search page shows beside an answer: counts beside the attributes, the distances of
everybody, and a question kept as a stored query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, text

from actions.models import chosen
from actions.query_images import (
    EmbeddedImage,
    Load,
    Source,
    embed_files,
    one_query,
    stored_images,
)
from actions.search import Asked
from db.audit import record
from db.limits import limited
from db.models import ModelRow
from errors import UsageError
from search.facets import Counts, facet_counts
from search.filters.tree import Filter
from search.histogram import Histogram, histogram
from search.names import exported
from search.stored import NewImage, NewQuery, add_queries


class NothingToKeep(UsageError):
    """A question without an image cannot be a stored query."""


@dataclass(frozen=True)
class Who:
    """The images of the person that is looked for: files with their names, stored ones by id."""

    files: tuple[tuple[str, Source], ...] = ()
    image_ids: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.image_ids)


@dataclass(frozen=True)
class Distances:
    """How far a gallery is from a person, the limit that was asked for, and the model's own."""

    histogram: Histogram
    limit: float | None
    calibrated: float | None


def calibrated(engine: Engine) -> float | None:
    """The active model's distance limit, None where it has none."""
    return chosen(engine, None).max_distance


def some_images(engine: Engine, collections: Sequence[str], number: int) -> list[int]:
    """Images of collections to begin with, spread over all that is stored: neighbours are often of
    one person. Collections that are not there have none."""
    stmt = text(
        "WITH c AS (SELECT id FROM collection WHERE name = ANY(:names)),"
        " ends AS (SELECT min(id) AS low, max(id) AS high FROM image)"
        " SELECT DISTINCT near.id FROM ends, generate_series(0, :number - 1) AS n,"
        " LATERAL (SELECT i.id FROM image i WHERE i.collection_id IN (SELECT id FROM c)"
        " AND i.id >= low + (high - low) * n / :number ORDER BY i.id LIMIT 1) AS near"
        " JOIN thumbnail t ON t.image_id = near.id ORDER BY near.id"
    )
    with engine.connect() as connection:
        found = connection.scalars(stmt, {"names": list(collections), "number": number})
        return list(found)


def counts(engine: Engine, collections: Sequence[str], filter: Filter | None) -> Counts:
    """How many images of the collections each attribute value would let through.

    Raises UnknownCollection, SearchTookTooLong.
    """
    model = chosen(engine, None)
    with engine.begin() as connection, limited(connection):
        scope = Asked(tuple(collections)).scope(connection, model)
        return facet_counts(connection, scope, filter)


def distances(
    engine: Engine, asked: Asked, who: Who, *, load: Load, device: str | None = None
) -> Distances:
    """How far every image that passes the filter is from the person; several images count as their
    mean. The histogram's `within` is about the model's calibrated distance.

    Raises what `actions.search.search` raises.
    """
    model = chosen(engine, asked.model)
    question = asked.question(model)
    images = _embedded(engine, model, who, load, device)
    queries = [image.as_query() for image in images]
    query = queries[0] if len(queries) == 1 else one_query(queries)
    with engine.begin() as connection, limited(connection):
        scope = asked.scope(connection, model)
        found = histogram(connection, scope, question, query, model.max_distance)
    return Distances(found, question.max_distance, model.max_distance)


def keep(
    engine: Engine,
    set_name: str,
    asked: Asked,
    who: Who,
    *,
    load: Load,
    device: str | None = None,
) -> str:
    """Stores the question in a query set, so that verdicts can stand on it; gives its name there.

    Raises NothingToKeep, and what `add_queries` raises.
    """
    if not who:
        raise NothingToKeep("a filter alone cannot be kept as a query: add an image of the person")
    model = chosen(engine, asked.model)
    question = asked.question(model)
    images = _embedded(engine, model, who, load, device)
    own = [NewImage(i.content_hash, i.thumbnail, i.embedding_D, i.image_id) for i in images]
    person = images[0].as_query()
    if len(images) > 1:
        person = replace(one_query([i.as_query() for i in images]), name=images[0].name)
    with engine.begin() as connection:
        scope = asked.scope(connection, model)
        name = _free_name(connection, set_name, exported(person.name))
        query = NewQuery(name, tuple(own), person.pid, person.camid)
        add_queries(
            connection, set_name, model, scope.galleries, question,
            auto_distance=asked.max_distance == "auto", queries=[query],
        )  # fmt: skip
        said = {"set": set_name, "queries": 1, "collections": list(asked.collections)}
        record(connection, "query add", said)
    return name


def _embedded(
    engine: Engine, model: ModelRow, who: Who, load: Load, device: str | None
) -> list[EmbeddedImage]:
    stored, _ = stored_images(engine, model, who.image_ids)
    images, failed = embed_files(engine, model, who.files, device, load=load)
    for name, reason in failed.items():
        raise UsageError(f"{name}: {reason}")
    return [*stored, *images]


def _free_name(connection: Connection, set_name: str, name: str) -> str:
    """The name, or the first of `name-2.jpg`, `name-3.jpg` ... that the set does not have: what a
    browser pastes is always called alike."""
    rows = connection.execute(
        text(
            "SELECT q.name FROM query q JOIN query_set s ON s.id = q.query_set_id"
            " WHERE s.name = :set"
        ),
        {"set": set_name},
    )
    taken = set(rows.scalars())
    stem, dot, suffix = name.rpartition(".")
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}"
    return free
