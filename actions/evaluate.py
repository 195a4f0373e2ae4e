"""Evaluation by names of collections and models."""

from pathlib import Path

from sqlalchemy import Engine

from actions.models import chosen
from db.collections import collection_named, collections_named
from models.attribute_metrics import AttributeMetrics
from search.evaluate import ReidReport, evaluate_attribute_scores, evaluate_reid


def reid(
    engine: Engine, query: str, galleries: tuple[str, ...], model: str | None = None
) -> ReidReport:
    """Raises UnknownCollection, CannotEvaluate."""
    row = chosen(engine, model)
    with engine.connect() as connection:
        return evaluate_reid(
            connection,
            row,
            collection_named(connection, query),
            tuple(collections_named(connection, galleries)),
        )


def attributes(
    engine: Engine, collection: str, annotations: Path, model: str | None = None
) -> tuple[AttributeMetrics, int]:
    """(metrics, annotation rows for nobody). Raises UnknownCollection, CannotEvaluate."""
    row = chosen(engine, model)
    with engine.connect() as connection:
        return evaluate_attribute_scores(
            connection, row, collection_named(connection, collection), annotations
        )
