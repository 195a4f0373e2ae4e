"""Evaluation by names of collections and models."""

from pathlib import Path

from sqlalchemy import Engine

from db.limits import limited
from evaluation.evaluate_attributes import AttributeReport, evaluate_attribute_scores
from evaluation.evaluate_reid import ReidReport, ReidTask, evaluate_reid, load_task
from gallery.collections import collection_named, collections_named
from gallery.models import chosen
from search.filters.parse import parse
from search.rerank import Reranking
from search.reranked import check_candidates


def reid(
    engine: Engine,
    query: str,
    galleries: tuple[str, ...],
    model: str | None = None,
    *,
    rerank: bool = False,
    candidates: int | None = None,
    where: str | None = None,
) -> ReidReport:
    """Evaluate searching. With `where`, gallery images that do not pass stand at the end of each
    list.

    Raises UnknownCollection, CannotEvaluate, BadQuestion, BadFilter.
    """
    how = reranking(rerank, candidates)
    return evaluate_reid(reid_task(engine, query, galleries, model, where), how)


def reranking(wanted: bool, candidates: int | None) -> Reranking | None:
    """Raises BadQuestion for candidates of no re-ranking."""
    check_candidates(candidates, wanted=wanted)
    return Reranking(candidates=candidates) if wanted else None


_WHAT = "evaluation"


def reid_task(
    engine: Engine,
    query: str,
    galleries: tuple[str, ...],
    model: str | None = None,
    where: str | None = None,
) -> ReidTask:
    """Queries and gallery by their names. Raises UnknownCollection, CannotEvaluate, BadFilter."""
    row = chosen(engine, model)
    wanted = None if where is None else parse(where)
    with engine.connect() as connection, limited(connection, to_the_end=True, what=_WHAT):
        return load_task(
            connection,
            row,
            collection_named(connection, query),
            tuple(collections_named(connection, galleries)),
            wanted,
        )


def attributes(
    engine: Engine, collection: str, annotations: Path, model: str | None = None
) -> AttributeReport:
    """Raises UnknownCollection, BadAnnotations, CannotEvaluate."""
    row = chosen(engine, model)
    with engine.connect() as connection, limited(connection, to_the_end=True, what=_WHAT):
        return evaluate_attribute_scores(
            connection, row, collection_named(connection, collection), annotations
        )
