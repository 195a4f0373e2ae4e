"""Centring by names of models: switched on and off, and kept up with what is stored."""

from typing import Any

from sqlalchemy import Engine

from db.audit import record
from errors import UsageError
from gallery import centring
from gallery.collections import all_collections, lock_collections
from gallery.model_rows import model_named, set_centred


class CannotCentre(UsageError):
    """The embeddings of a model cannot be centred."""


def centre(engine: Engine, name: str, *, wanted: bool | None = None) -> dict[str, Any]:
    """Centres a model's embeddings, or with `wanted` False brings the network's own back; without
    `wanted` makes the means anew where they are used. Waits until nobody stores.

    Gives `{"model", "centred", "images", "max_distance", "rerank_max_distance"}`. Raises
    UnknownModel, CannotCentre.
    """
    with engine.begin() as connection:
        collections = [row.id for row in all_collections(connection)]
        lock_collections(connection, collections, exclusive=True)
        model = model_named(connection, name)
        centred = model.centred if wanted is None else wanted
        if centred and not model.header.get("normalised", True):
            raise CannotCentre(
                f"the embeddings of model {name!r} have any length; only those of length 1 can be "
                "centred"
            )
        images = 0
        if centred or model.centred:
            for collection_id in collections:
                images += centring.refresh(connection, model.id, collection_id, centred=centred)
        if centred != model.centred:
            set_centred(connection, model, centred=centred)
        model = model_named(connection, name)
        done = {"model": name, "centred": centred, "images": images}
        record(connection, "model centre", done)
    limits = {"max_distance": model.max_distance, "rerank_max_distance": model.rerank_max_distance}
    return {**done, **limits}


def refresh_due(engine: Engine, *, grown: bool = True) -> int:
    """Makes means anew that hold a trace of removed images, and with `grown` those whose collection
    has grown or shrunk beyond them; gives the number of collections. A transaction each."""
    with engine.connect() as connection:
        if not centring.centred_models(connection):
            return 0
        found = centring.due_collections(connection, grown=grown)
    for model_id, collection_id in found:
        with engine.begin() as connection:
            images = centring.refresh(connection, model_id, collection_id, centred=True)
            said = {"model_id": model_id, "collection_id": collection_id, "images": images}
            record(connection, "model centre", said)
    return len(found)
