"""The approximate index of a model: built, measured, dropped, told of."""

import time
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from errors import UsageError
from gallery import vector_index
from gallery.collections import all_collections
from gallery.model_rows import all_models, feature_counts
from gallery.models import chosen
from search.question import Scope
from search.tuning import tuned


class NothingToIndex(UsageError):
    """The model has no features yet."""


def build(
    engine: Engine, model_name: str | None, on_progress: vector_index.Progress | None = None
) -> dict[str, Any]:
    """Builds a model's index, measures its recall, and gives its status.

    Raises NothingToIndex; IndexBusy, IndexFailed as `gallery.vector_index.build` does.
    """
    model = chosen(engine, model_name)
    with engine.connect() as connection:
        if not feature_counts(connection).get(model.id):
            raise NothingToIndex(
                f"model {model.name!r} has embedded no image yet; ingest some, then build its index"
            )
    started = time.monotonic()
    vector_index.build(engine, model, on_progress)
    seconds = round(time.monotonic() - started, 1)
    with engine.begin() as connection:
        index = vector_index.index_of(connection, model.id)
        if index is None:
            raise vector_index.IndexBusy(
                "another command has dropped the index that was just built"
            )
        scope = Scope(model, tuple(all_collections(connection)))
        facts = {**tuned(connection, scope, index, on_progress), "build_seconds": seconds}
        vector_index.store_facts(connection, model.id, facts)
        record(connection, "index build", {"model": model.name, **facts})
    return next(row for row in status(engine) if row["model"] == model.name)


def drop(engine: Engine, model_name: str | None) -> bool:
    """Removes a model's index; False where there was none. Raises IndexBusy."""
    model = chosen(engine, model_name)
    there = vector_index.drop(engine, model.id)
    if there:
        with engine.begin() as connection:
            record(connection, "index drop", {"model": model.name})
    return there


def status(engine: Engine) -> list[dict[str, Any]]:
    """Describe the index of every model: `{"model", "state", "images", "size_bytes", "breadth",
    "recall", "queries", "rows", "build_seconds", "measured_at"}`; `rows` is how many images it had
    when recall was measured.

    `state` is none, ready, or unfinished: being built, or broken off.
    """
    with engine.connect() as connection:
        counts, known = feature_counts(connection), vector_index.indexes(connection)
        rows = []
        for model in all_models(connection):
            index = known.get(model.id)
            facts = index.facts if index else {}
            rows.append(
                {
                    "model": model.name,
                    "state": "none" if index is None else "ready" if index.valid else "unfinished",
                    "images": counts.get(model.id, 0),
                    "size_bytes": index.size_bytes if index else None,
                    **{name: facts.get(name) for name in FACTS},
                }
            )
    return rows


FACTS = ("breadth", "recall", "queries", "rows", "build_seconds", "measured_at")
