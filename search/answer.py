"""What a search gives: answers and matches, frozen and checked at birth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from search.question import LimitFrom
from search.rerank import Reranking
from search.work import Work


@dataclass(frozen=True)
class Match:
    """A gallery image at a rank, from 1. `distance` is the L2 distance to the query, lower is
    closer, and None for a search by filter alone. `camid` and `pid` are None where unknown.
    `rerank_distance` is what a re-ranked list is ordered by, in [0, 1], and None for what keeps
    its place by `distance`, after all that have one.
    `attributes` holds the 12 readable fields: `{"gender": "female", "upper_color": "red", ...}`."""

    rank: int
    image_id: int
    collection: str
    path: str
    distance: float | None
    pid: int | None
    camid: int | None
    attributes: Mapping[str, str]
    rerank_distance: float | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"expected a rank from 1, got {self.rank}")


@dataclass(frozen=True)
class Answer:
    """The ordered gallery list of one query.

    `candidates` counts the gallery images that passed the filter, whatever their distance.
    `complete` is True when every image within the limits is in `matches`; otherwise
    `reasons` say what was left out, a clause each. `max_distance_from` says whether the limit is
    the model's own or a number given; None where there is none, or where that was not kept.
    `rerank` says how the list was put in another order than that of the distances. `plan` says how
    it was found, and why so; `candidates_estimated` that `candidates` is no exact number.
    """

    query: str
    model: str
    max_distance: float | None
    filter: str | None
    complete: bool
    candidates: int
    matches: tuple[Match, ...]
    reasons: tuple[str, ...] = ()
    query_pid: int | None = None
    query_camid: int | None = None
    same_identities: bool = True
    seconds: float | None = field(default=None, compare=False)
    max_distance_from: LimitFrom | None = field(default=None, compare=False)
    rerank: Reranking | None = None
    plan: str = field(default="exact", compare=False)
    candidates_estimated: bool = False
    work: Work | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        ranks = [match.rank for match in self.matches]
        if ranks != list(range(1, len(ranks) + 1)):
            raise ValueError("expected ranks 1, 2, 3 ... in order")

    @property
    def incomplete_reason(self) -> str | None:
        """The reasons as one sentence; None where the answer is complete."""
        return "; ".join(self.reasons) or None

    def is_same_person(self, match: Match) -> bool | None:
        """True or False where both identities are known and comparable, else None."""
        if not self.same_identities or self.query_pid is None or match.pid is None:
            return None
        return self.query_pid > 0 and self.query_pid == match.pid
