"""What is asked: where to look, which filter and limits, and the query it is asked for."""

# D=512 embedding numbers

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from errors import UsageError
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from search.filters.tree import Filter

LimitFrom = Literal["auto", "given"]
DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000_000_000
MAX_DISTANCE = 1e9  # far beyond any, and its square is still a number in 32 bits


class BadQuestion(UsageError):
    """A limit or a combination of options makes no sense."""


@dataclass(frozen=True)
class Question:
    """Filter and limits. Without `max_distance` there is no distance limit; without `limit`,
    everything within `max_distance`. With `auto_distance` that is the model's calibrated one. With
    `reranked` the limit and the order are those of the re-ranked distance."""

    filter: Filter | None = None
    max_distance: float | None = None
    limit: int | None = None
    not_same_camera: bool = False
    no_duplicates: bool = False
    auto_distance: bool = False
    reranked: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and not 1 <= self.limit <= MAX_LIMIT:
            raise BadQuestion(f"--limit is {self.limit}; expected 1 or more, to {MAX_LIMIT:,}")
        if self.max_distance is not None and not 0 <= self.max_distance < np.inf:
            raise BadQuestion(f"--max-distance is {self.max_distance}; expected 0 or more")
        if self.max_distance is not None and self.max_distance > MAX_DISTANCE:
            raise BadQuestion(
                f"--max-distance is {self.max_distance}; expected at most {MAX_DISTANCE:,.0f}"
            )
        if self.reranked and self.max_distance is not None and self.max_distance > 1:
            raise BadQuestion(
                f"--max-distance is {self.max_distance}; a re-ranked distance lies between 0 and 1"
            )

    @property
    def effective_limit(self) -> int | None:
        """The limit that holds: `DEFAULT_LIMIT` where neither limit is given."""
        if self.limit is None and self.max_distance is None:
            return DEFAULT_LIMIT
        return self.limit

    @property
    def max_distance_from(self) -> LimitFrom | None:
        """Return where the distance limit came from, None where there is none."""
        if self.max_distance is None:
            return None
        return "auto" if self.auto_distance else "given"


@dataclass(frozen=True)
class Scope:
    """The features that are searched: one model's, in some collections."""

    model: ModelRow
    galleries: tuple[CollectionRow, ...]

    @property
    def gallery_ids(self) -> list[int]:
        return [gallery.id for gallery in self.galleries]

    @property
    def identities(self) -> set[str]:
        return {gallery.identities for gallery in self.galleries}


@dataclass(frozen=True)
class QueryPerson:
    """A query: its name, embedding (512,), the hashes of its images, and who it is if known."""

    name: str
    embedding_D: npt.NDArray[np.float32]
    content_hashes: tuple[bytes, ...] = ()
    pid: int | None = None
    camid: int | None = None
    identities: str | None = None


def resolve_max_distance(
    given: str | float | None, model: ModelRow, *, reranked: bool = False
) -> float | None:
    """`auto` is the model's calibrated limit, of the plain or of the re-ranked distance. Raises
    BadQuestion for what is neither."""
    if given is None or isinstance(given, float):
        return given
    if given == "auto":
        limit = model.limit(reranked=reranked)
        if limit is None:
            kind = "re-ranked distance" if reranked else "distance"
            raise BadQuestion(
                f"model {model.name!r} has no calibrated {kind}; give --max-distance a number"
            )
        return limit
    try:
        return float(given)
    except ValueError:
        raise BadQuestion(f"--max-distance is {given!r}; expected auto or a number") from None


def stacked(queries: Sequence[QueryPerson]) -> npt.NDArray[np.float32]:
    """The queries' embeddings, (Q, 512)."""
    return np.stack([query.embedding_D for query in queries])


def mean_embedding(
    embeddings: Sequence["np.ndarray[Any, np.dtype[np.float32]]"],
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The mean of several images of one person, of their mean length; one image stays as it is."""
    if len(embeddings) == 1:
        return embeddings[0]
    stack = np.stack(embeddings).astype(np.float64)
    mean = stack.mean(0)
    length = float(np.linalg.norm(stack, axis=1).mean())
    norm = float(np.linalg.norm(mean))
    scaled: np.ndarray[Any, np.dtype[np.float32]] = mean * (length / norm if norm > 0 else 1.0)
    return scaled.astype(np.float32)
