"""A search as it is asked for: one request for the command line, the page and the API."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from errors import UsageError
from gallery.collections import collections_named
from gallery.model_rows import ModelRow
from gallery.models import chosen_on
from metrics.nearby import CANDIDATES
from search.filters.parse import parse
from search.query_images import Source
from search.question import BadQuestion, Question, Scope, resolve_max_distance
from search.rerank import Reranking
from search.reranked import reranking


class NothingAsked(UsageError):
    """Neither an image nor a filter was given."""

    def __init__(self) -> None:
        super().__init__("nothing to look for: give an image, or a filter with --where")


@dataclass(frozen=True)
class SearchRequest:
    """One search as the command line, the page and the API make it.

    `where` is filter text, `max_distance` a number or auto, `candidates` how many of the closest
    images `rerank` puts in a new order. With `approximate` the model's index may propose them.
    `files` (names with their contents) and `image_ids` are the query images, one query each; with
    `same_person` all are one query: their mean, or with `nearest` the nearest of them decides.
    """

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
    same_person: bool = False
    purpose: str | None = None
    files: tuple[tuple[str, Source], ...] = ()
    image_ids: tuple[int, ...] = ()

    @property
    def has_image(self) -> bool:
        """Whether anybody is looked for, and not a filter alone."""
        return bool(self.files or self.image_ids)

    def check(self) -> None:
        """Refuse a combination that makes no sense, without asking the database.

        Raises NothingAsked, BadQuestion for a distance from nothing, UsageError for `nearest` of
        images that do not all show one person.
        """
        if self.nearest and not self.same_person:
            raise UsageError("--nearest says how images of one person count; add --same-person")
        self.reranking(None)
        if self.nearest and self.rerank:
            raise BadQuestion(
                "--rerank puts the matches of one point in order, --nearest has several; leave out "
                "one of them"
            )
        if self.max_distance == "auto" and self.candidates not in (None, CANDIDATES):
            raise BadQuestion(
                f"--max-distance auto of --rerank is calibrated for {CANDIDATES} candidates; "
                "leave out --candidates, or give --max-distance a number"
            )
        if self.has_image:
            return
        if self.where is None:
            raise NothingAsked
        if self.max_distance:
            raise BadQuestion("--max-distance needs an image to measure from")
        if self.rerank:
            raise BadQuestion("--rerank needs an image; a filter alone gives no order to change")
        if self.approximate:
            raise BadQuestion("--approximate needs an image; a filter alone has nothing to be near")

    def resolve(self, engine: Engine) -> "ResolvedRequest":
        """Look up the model and the collections, parse the filter, settle the limits.

        Raises UnknownModel, BadFilter, BadQuestion, UnknownCollection.
        """
        with engine.begin() as connection:
            return self.resolve_on(connection)

    def resolve_on(self, connection: Connection) -> "ResolvedRequest":
        """The same in the caller's transaction."""
        model = chosen_on(connection, self.model)
        question = Question(
            filter=None if self.where is None else parse(self.where),
            max_distance=resolve_max_distance(self.max_distance, model, reranked=self.rerank),
            limit=self.limit,
            not_same_camera=self.not_same_camera,
            no_duplicates=self.no_duplicates,
            auto_distance=self.max_distance == "auto",
            reranked=self.rerank,
        )
        scope = Scope(model, tuple(collections_named(connection, self.collections)))
        return ResolvedRequest(scope, question, self.reranking(question.effective_limit))

    def reranking(self, limit: int | None) -> Reranking | None:
        """Give how to re-rank, None where it is not asked for. Raises BadQuestion."""
        limited = self.max_distance is not None
        return reranking(limit, self.candidates, wanted=self.rerank, limited=limited)


@dataclass(frozen=True)
class ResolvedRequest:
    """A request whose names were looked up and whose texts were read: ready to be answered."""

    scope: Scope
    question: Question
    reranking: Reranking | None

    @property
    def model(self) -> ModelRow:
        return self.scope.model
