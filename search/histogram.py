"""How far a gallery is from a query: every distance in one histogram."""

from dataclasses import dataclass
from itertools import accumulate

from sqlalchemy import Connection, Engine, func, literal, select

from db.limits import limited
from gallery.models import Load
from search.query_images import as_queries, embedded_images, one_query
from search.question import QueryPerson, Question, Scope
from search.request import SearchRequest
from search.statement import exact_distance_to, for_query, passing

BINS = 80
_LEAST = 1e-6  # the range of a gallery that holds nothing but copies of the query


@dataclass(frozen=True)
class Histogram:
    """Numbers of images by their L2 distance to one query, lower is closer.

    `counts` are of equal ranges from 0 to `far`, the largest distance. `within` says how many lie
    within the limit that was asked about, None where none was. A distance is as Postgres computes
    it, in 32 bits: right on a limit's edge the search itself may decide otherwise.
    """

    counts: tuple[int, ...]
    far: float
    nearest: float | None
    within: int | None = None

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def median(self) -> float | None:
        """The middle of the range that holds the middle image; None for an empty gallery."""
        if not self.total:
            return None
        reached = accumulate(self.counts)
        place = next(n for n, count in enumerate(reached) if 2 * count >= self.total)
        return (place + 0.5) * self.far / len(self.counts)


@dataclass(frozen=True)
class Distances:
    """How far a gallery is from a person, the limit that was asked for, and the model's own."""

    histogram: Histogram
    limit: float | None
    calibrated: float | None


def histogram(
    connection: Connection,
    scope: Scope,
    question: Question,
    query: QueryPerson,
    limit: float | None = None,
) -> Histogram:
    """Count every image that passes the question's filter by distance; its limits do not count."""
    rows = passing(scope, question, exact_distance_to(query).label("distance"))
    passed = for_query(rows, question, query).cte("passed").prefix_with("MATERIALIZED")
    distance = passed.c.distance
    farthest = select(func.greatest(func.max(distance), _LEAST)).scalar_subquery()
    # the farthest lies in the last range, not beyond it
    bin_ = func.least(func.width_bucket(distance, 0.0, farthest, BINS), BINS)
    inside = func.count().filter(distance <= literal(limit)) if limit is not None else literal(0)
    stmt = select(bin_, func.count(), func.min(distance), func.max(distance), inside).group_by(bin_)
    found = connection.execute(stmt).all()
    counts = [0] * BINS
    for row in found:
        counts[row[0] - 1] = row[1]
    return Histogram(
        tuple(counts),
        far=max((row[3] for row in found), default=0.0),
        nearest=min((row[2] for row in found), default=None),
        within=None if limit is None else sum(row[4] for row in found),
    )


def distances(
    engine: Engine, request: SearchRequest, *, load: Load, device: str | None = None
) -> Distances:
    """How far every image that passes the filter is from the person; several images count as their
    mean. The histogram's `within` is about the model's calibrated distance.

    Raises what `search.answering.search` raises.
    """
    resolved = request.resolve(engine)
    model, question, scope = resolved.model, resolved.question, resolved.scope
    images = embedded_images(engine, model, request.files, request.image_ids, load, device)
    with engine.begin() as connection, limited(connection):
        queries = as_queries(connection, model, scope.gallery_ids, images)
        query = queries[0] if len(queries) == 1 else one_query(queries)
        found = histogram(connection, scope, question, query, model.max_distance)
    return Distances(found, None if request.rerank else question.max_distance, model.max_distance)
