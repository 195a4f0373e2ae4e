"""What is stored, for people who look: each collection, and how far its files are."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from gallery import holding_rows, manifest
from gallery.collections import all_collections, collection_named
from gallery.counts import counts
from gallery.holding_rows import Holding
from gallery.model_rows import ModelRow
from gallery.models import chosen


@dataclass(frozen=True)
class States:
    """How far files are: a row of `manifest.state_counts` for each model."""

    rows: tuple[dict[str, Any], ...]

    @property
    def open(self) -> int:
        """Files that wait or are being worked on."""
        return sum(row["pending"] + row["leased"] for row in self.rows)

    @property
    def failed(self) -> int:
        return sum(row["failed"] for row in self.rows)


@dataclass(frozen=True)
class Held:
    """A collection. `embedded` are the images that the active model has stored: those that a search
    and the gallery show."""

    holding: Holding
    states: States
    embedded: int


def all_held(engine: Engine) -> list[Held]:
    """Every collection, by name."""
    model = chosen(engine, None)
    with engine.connect() as connection:
        return _held(connection, model, None)


def held(engine: Engine, name: str) -> Held:
    """Raises UnknownCollection."""
    model = chosen(engine, None)
    with engine.connect() as connection:
        (found,) = _held(connection, model, collection_named(connection, name).id)
        return found


def _held(connection: Connection, model: ModelRow, collection_id: int | None) -> list[Held]:
    ids = {row.name: row.id for row in all_collections(connection)}
    states = manifest.state_counts(connection, collection_id)
    return [
        Held(
            row,
            States(tuple(state for state in states if state["collection"] == row.collection)),
            counts(connection, model.id, [ids[row.collection]]).embedded,
        )
        for row in holding_rows.holdings(connection, collection_id)
        if row.collection in ids  # not one that was made between the statements
    ]


def states_of(engine: Engine, name: str) -> States:
    """Count a collection's files by state; cheaper than `held`. Raises UnknownCollection."""
    with engine.connect() as connection:
        one = collection_named(connection, name).id
        return States(tuple(manifest.state_counts(connection, one)))


def failures_of(engine: Engine, name: str, most: int) -> list[dict[str, Any]]:
    """The first failed files of a collection, by path. Raises UnknownCollection."""
    with engine.connect() as connection:
        return manifest.failed_items(connection, collection_named(connection, name).id, most)
