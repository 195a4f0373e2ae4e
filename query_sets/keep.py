"""A search kept as a stored query."""

from dataclasses import replace

from sqlalchemy import Connection, Engine, text

from db.audit import record
from errors import UsageError
from gallery.models import Load
from query_sets.export_names import exported
from query_sets.set_rows import NewImage, NewQuery, add_queries
from search.query_images import embedded_images, one_query
from search.request import SearchRequest


class NothingToKeep(UsageError):
    """A question without an image cannot be a stored query."""


def keep(
    engine: Engine,
    set_name: str,
    request: SearchRequest,
    *,
    load: Load,
    device: str | None = None,
) -> str:
    """Stores the question in a query set, so that verdicts can stand on it; gives its name there.

    Raises NothingToKeep, and what `add_queries` raises.
    """
    if not request.has_image:
        raise NothingToKeep("a filter alone cannot be kept as a query: add an image of the person")
    resolved = request.resolve(engine)
    model = resolved.model
    images = embedded_images(engine, model, request.files, request.image_ids, load, device)
    own = [NewImage(i.content_hash, i.thumbnail, i.embedding_D, i.image_id) for i in images]
    person = images[0].as_query()
    if len(images) > 1:
        person = replace(one_query([i.as_query() for i in images]), name=images[0].name)
    with engine.begin() as connection:
        name = _free_name(connection, set_name, exported(person.name))
        query = NewQuery(name, tuple(own), person.pid, person.camid)
        add_queries(
            connection, set_name, model, resolved.scope.galleries, resolved.question,
            auto_distance=resolved.question.auto_distance, queries=[query],
        )  # fmt: skip
        said = {"set": set_name, "queries": 1, "collections": list(request.collections)}
        record(connection, "query add", said)
    return name


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
