"""Reading and changing the manifest, for people."""

from typing import Any

from sqlalchemy import Engine

from db import audit
from gallery import collections, last_look, manifest
from gallery import model_rows as registry
from gallery.sent_images import remove_all_kept


def counts(engine: Engine) -> list[dict[str, Any]]:
    """Counts by state for each collection and model; with each, of its collection, what was passed
    over by kind and how many files were refused. `model` is None where nothing else is there."""
    with engine.connect() as connection:
        rows = manifest.state_counts(connection)
        looks = last_look.by_collection(connection)
    bare = dict.fromkeys(("model", "pending", "leased", "done", "failed", "missing"), 0)
    known = {row["collection"] for row in rows}
    rows += [{"collection": n, **bare, "model": None} for n in looks if n not in known]
    for row in rows:
        row["passed_over"], row["refused"] = looks.get(row["collection"], ({}, 0))
    return sorted(rows, key=lambda row: (row["collection"], row["model"] or ""))


def failures(engine: Engine) -> list[dict[str, Any]]:
    """Each failed file with its collection, reason and number of attempts; of those that never
    became work, none."""
    with engine.connect() as connection:
        items = manifest.failed_items(connection) + last_look.refused_items(connection)
    return sorted(items, key=lambda item: (item["collection"], item["path"]))


def retry_failed(engine: Engine, reason: str | None, collection: str | None = None) -> int:
    """Makes failed items pending again, of all collections or of one; gives their number.

    Raises UnknownCollection.
    """
    with engine.begin() as connection:
        among = None if collection is None else collections.collection_named(connection, collection)
        count = manifest.retry(connection, reason, None if among is None else among.id)
        question = {"reason": reason, "items": count}
        if collection is not None:
            question["collection"] = collection
        audit.record(connection, "retry", question)
        return count


def list_collections(engine: Engine) -> list[dict[str, Any]]:
    """`{"name", "identities", "images"}`, by name."""
    with engine.connect() as connection:
        images = collections.image_counts(connection)
        return [
            {"name": row.name, "identities": row.identities, "images": images.get(row.id, 0)}
            for row in collections.all_collections(connection)
        ]


def remove_collection(engine: Engine, name: str) -> int:
    """Removes a collection, all that was stored of it, and the files that were sent into it; gives
    its number of images."""
    with engine.begin() as connection:
        row = collections.collection_named(connection, name)
        count = collections.image_counts(connection).get(row.id, 0)
        collections.remove(connection, row.id)
        audit.record(connection, "collection remove", {"collection": name, "images": count})
    remove_all_kept(row)
    return count


def prune_collection(engine: Engine, name: str) -> int:
    """Removes the images whose files are gone; gives their number."""
    with engine.begin() as connection:
        row = collections.collection_named(connection, name)
        count = collections.prune(connection, row.id)
        audit.record(connection, "collection prune", {"collection": name, "images": count})
        return count


def list_models(engine: Engine) -> list[dict[str, Any]]:
    """`{"name", "active", "architecture", "hash", "max_distance", "calibrated_on", "cutoffs",
    "features"}`, by name."""
    with engine.connect() as connection:
        features = registry.feature_counts(connection)
        return [
            {
                "name": model.name,
                "active": model.active,
                "architecture": model.architecture,
                "hash": model.content_hash[:12],
                "max_distance": model.max_distance,
                "calibrated_on": calibrated_on(model),
                "cutoffs": len(model.cutoffs),
                "features": features.get(model.id, 0),
            }
            for model in registry.all_models(connection)
        ]


def calibrated_on(model: registry.ModelRow) -> str | None:
    """The collections or the query sets of `reid calibrate`, or the model's own training; None
    where by nothing."""
    if model.max_distance is None:
        return None
    if model.calibration.get("source") == "verdicts":
        return f"verdicts of {' + '.join(model.calibration['sets'])}"
    if "collection" not in model.calibration:
        return "its training"
    return " + ".join([model.calibration["collection"], *model.calibration["distractors"]])
