"""What the API answers, as it stands in `/api/v1/openapi.json`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Attributes = dict[str, str]
_EXAMPLE_ATTRIBUTES = {"gender": "female", "age": "adult", "hat": "no", "upper_color": "red"}


class Exact(BaseModel):
    """A part of an answer with these fields and no other: one that is missing here is an error."""

    model_config = ConfigDict(extra="forbid")


class Match(Exact):
    """A gallery image at a rank; see docs/json.md."""

    rank: int = Field(ge=1)
    image_id: int
    collection: str
    path: str
    distance: float | None = Field(description="L2, lower is closer; null for a filter alone.")
    rerank_distance: float | None
    pid: int | None
    camid: int | None
    attributes: Attributes = Field(examples=[_EXAMPLE_ATTRIBUTES])


class Rerank(Exact):
    k1: int
    k2: int
    lambda_: float = Field(alias="lambda")
    candidates: int


class Explanation(Exact):
    """How an answer came about; see docs/search.md."""

    filter: str | None
    estimated: int
    passed: int
    way: str
    plan: str
    exact: bool
    statement: str
    max_distance: str
    rerank: str | None
    seconds: dict[str, float]


class Answer(Exact):
    """The ordered gallery list of one query, as `reid search --format json` prints it."""

    query: str
    model: str
    max_distance: float | None
    max_distance_from: Literal["auto", "given"] | None
    filter: str | None
    complete: bool = Field(description="Whether every image within the limits is in `matches`.")
    incomplete_reason: str | None
    candidates: int = Field(description="Images that passed the filter, whatever their distance.")
    candidates_estimated: bool
    plan: str = Field(examples=["exact"])
    reranked: bool
    rerank: Rerank | None
    explain: Explanation | None
    matches: list[Match]


class Unusable(Exact):
    """An image that cannot be a query."""

    name: str
    reason: str = Field(examples=["an empty file"])


class SearchResult(Exact):
    queries: list[Answer]
    failed: list[Unusable]


class Image(BaseModel):
    """A stored image, with what the active model says of it; null where it has not looked yet."""

    id: int
    collection: str = Field(examples=["gallery"])
    path: str = Field(examples=["0474_c3_012345678.jpg"])
    content_hash: str | None = Field(description="SHA-256 of the file, hexadecimal.")
    width: int | None
    height: int | None
    pid: int | None = Field(examples=[474])
    camid: int | None = Field(examples=[3])
    ingested_at: datetime
    missing: bool = Field(description="Whether its file is gone.")
    model: str
    quality: float | None
    attributes: Attributes | None = Field(examples=[_EXAMPLE_ATTRIBUTES])


class ImagePage(BaseModel):
    """A piece of a list; `next` is the address of the following one, null at the end."""

    items: list[Image]
    next: str | None


class Collection(BaseModel):
    name: str
    identities: str = Field(description="The space in which a pid means one person.")
    images: int


class Collections(BaseModel):
    items: list[Collection]


class Model(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    name: str
    active: bool
    architecture: str
    hash: str
    max_distance: float | None = Field(description="What `auto` means.")
    calibrated_on: str | None
    cutoffs: int
    features: int = Field(description="Images that it has embedded.")


class Models(BaseModel):
    items: list[Model]


class QuerySetRow(BaseModel):
    name: str
    queries: int
    runs: int
    last_run: datetime | None


class QuerySets(BaseModel):
    items: list[QuerySetRow]


class StoredQuestion(BaseModel):
    """What one addition to a set asks."""

    queries: int
    galleries: list[str]
    filter: str | None
    max_distance: float | Literal["auto"] | None
    limit: int | None
    not_same_camera: bool
    no_duplicates: bool
    rerank: bool


class Run(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    id: int
    model: str
    actor: str
    finished_at: datetime
    matches: int
    stale: bool = Field(description="Whether a gallery or the active model has changed since.")


class Verdicts(BaseModel):
    confirmed: int
    rejected: int


class QuerySet(BaseModel):
    """A set, its runs newest first."""

    name: str
    questions: list[StoredQuestion]
    runs: list[Run]
    verdicts: Verdicts


class Added(BaseModel):
    """What was added to a set. `known` images were stored already and not embedded again."""

    name: str
    queries: int
    known: int
    failed: list[Unusable]


class RunSummary(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    id: int
    model: str
    queries: int
    with_matches: int
    matches: int
    max_distance: float | None
    complete: bool
    max_distances: list[float | None]


class RunMatch(BaseModel):
    query: str
    rank: int
    image_id: int
    collection: str
    path: str
    distance: float | None
    pid: int | None
    camid: int | None
    verdict: Literal["confirmed", "rejected"] | None


class RunMatchPage(BaseModel):
    """A piece of a run, query by query, best match first; `next` as for images."""

    items: list[RunMatch]
    next: str | None


class Verdict(BaseModel):
    """What stands now. `replaced` is what stood there before, where that was another verdict."""

    set: str
    query: str
    image_id: int
    verdict: Literal["confirmed", "rejected"]
    changed: bool
    replaced: Literal["confirmed", "rejected"] | None


class Health(BaseModel):
    status: Literal["ok"]
    revision: str = Field(alias="schema", description="The database's schema.", examples=["0002"])


class Complaint(BaseModel):
    field: str
    reason: str


class Problem(BaseModel):
    """RFC 9457 problem details; `detail` is the sentence of the command line."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:reid:problem:unknown-collection",
                    "title": "No collection of that name exists",
                    "status": 404,
                    "detail": "no collection 'galery'; did you mean 'gallery'?",
                    "instance": "/api/v1/search",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Complaint] | None = Field(
        default=None, description="Each field that does not fit, where the request is not valid."
    )
