"""A search in the user's words."""

from dataclasses import dataclass

from sqlalchemy import Connection

from errors import UsageError
from gallery.collections import collections_named
from gallery.model_rows import ModelRow
from search.filters.parse import parse
from search.question import BadQuestion, Question, Scope, resolve_max_distance
from search.rerank import Reranking
from search.reranked import reranking


class NothingAsked(UsageError):
    """Neither an image nor a filter was given."""

    def __init__(self) -> None:
        super().__init__("nothing to look for: give an image, or a filter with --where")


@dataclass(frozen=True)
class Asked:
    """A question in the user's words. `where` is filter text, `max_distance` a number or auto,
    `candidates` how many of the closest images `rerank` puts in a new order. With `approximate` the
    model's index may propose them. Of several images of one person, their mean is asked for, or
    with `nearest` each, and the nearest decides."""

    collections: tuple[str, ...]
    where: str | None = None
    max_distance: str | float | None = None
    limit: int | None = None
    not_same_camera: bool = False
    no_duplicates: bool = False
    model: str | None = None
    rerank: bool = False
    candidates: int | None = None
    nearest: bool = False
    approximate: bool = False
    explain: bool = False

    def check(self, *, with_image: bool, same_person: bool = True) -> None:
        """Raises NothingAsked, BadQuestion for a distance from nothing, UsageError for `nearest` of
        images that do not all show one person."""
        if self.nearest and not same_person:
            raise UsageError("--nearest says how images of one person count; add --same-person")
        self.reranking(None)
        if self.nearest and self.rerank:
            raise BadQuestion(
                "--rerank puts the matches of one point in order, --nearest has several; leave out "
                "one of them"
            )
        if with_image:
            return
        if self.where is None:
            raise NothingAsked
        if self.max_distance:
            raise BadQuestion("--max-distance needs an image to measure from")
        if self.rerank:
            raise BadQuestion("--rerank needs an image; a filter alone gives no order to change")
        if self.approximate:
            raise BadQuestion("--approximate needs an image; a filter alone has nothing to be near")

    def question(self, model: ModelRow) -> Question:
        """Raises BadFilter, BadQuestion."""
        return Question(
            filter=None if self.where is None else parse(self.where),
            max_distance=resolve_max_distance(self.max_distance, model),
            limit=self.limit,
            not_same_camera=self.not_same_camera,
            no_duplicates=self.no_duplicates,
            auto_distance=self.max_distance == "auto",
        )

    def reranking(self, limit: int | None) -> Reranking | None:
        """None where none is asked for. Raises BadQuestion."""
        return reranking(limit, self.candidates, wanted=self.rerank)

    def scope(self, connection: Connection, model: ModelRow) -> Scope:
        """Raises UnknownCollection."""
        return Scope(model, tuple(collections_named(connection, self.collections)))
