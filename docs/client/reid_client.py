"""A client of Reid search's API: one file to copy, the standard library alone.

    reid = Client("http://127.0.0.1:8000", token="...")
    found = reid.search({"collections": ["gallery"], "image_ids": [17], "limit": 10})
    for match in found["queries"][0]["matches"]:
        print(match["distance"], match["path"])

Written by `scripts/write_client.py` from `/api/v1/openapi.json`: do not edit it by hand.
"""

# ruff: noqa: UP013

import json
from collections.abc import Iterator, Mapping, Sequence
from secrets import token_hex
from typing import Any, Literal, Required, TypedDict, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urljoin, urlsplit
from urllib.request import Request, urlopen

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
Kind = TypeVar("Kind")


class Problem(Exception):
    """What the API refuses: the sentence, the HTTP status, and which kind of problem it is."""

    def __init__(self, status: int, detail: str, kind: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind


# fmt: off
AddQueriesBody = TypedDict("AddQueriesBody", {"collections": Required[list[str]], "image_ids":
    list[int], "where": str | None, "max_distance": float | Literal['auto'] | None, "limit": int |
    None, "not_same_camera": bool, "no_duplicates": bool, "model": str | None, "name":
    Required[str], "rerank": bool}, total=False)
BatchBody = TypedDict("BatchBody", {"collections": Required[list[str]], "image_ids": list[int],
    "where": str | None, "max_distance": float | Literal['auto'] | None, "limit": int | None,
    "not_same_camera": bool, "no_duplicates": bool, "model": str | None, "embeddings":
    list[list[float]], "purpose": str | None}, total=False)
Collection = TypedDict("Collection", {"name": str, "identities": str, "images": int}, total=False)
Explanation = TypedDict("Explanation", {"filter": str | None, "estimated": int, "passed": int,
    "way": str, "plan": str, "exact": bool, "statement": str, "max_distance": str, "rerank": str |
    None, "seconds": dict[str, float]}, total=False)
Health = TypedDict("Health", {"status": Literal['ok'], "schema": str}, total=False)
Image = TypedDict("Image", {"id": int, "collection": str, "path": str, "content_hash": str | None,
    "width": int | None, "height": int | None, "pid": int | None, "camid": int | None,
    "ingested_at": str, "missing": bool, "model": str, "quality": float | None, "attributes":
    dict[str, str] | None}, total=False)
IngestImageBody = TypedDict("IngestImageBody", {"collection": Required[str], "identities": str,
    "allow_any_shape": bool}, total=False)
Match = TypedDict("Match", {"rank": int, "image_id": int, "collection": str, "path": str,
    "distance": float | None, "rerank_distance": float | None, "pid": int | None, "camid": int |
    None, "attributes": dict[str, str]}, total=False)
Model = TypedDict("Model", {"name": str, "active": bool, "architecture": str, "hash": str,
    "max_distance": float | None, "calibrated_on": str | None, "cutoffs": int, "features": int},
    total=False)
QuerySetRow = TypedDict("QuerySetRow", {"name": str, "queries": int, "runs": int, "last_run": str |
    None}, total=False)
Rerank = TypedDict("Rerank", {"k1": int, "k2": int, "lambda": float, "candidates": int},
    total=False)
Run = TypedDict("Run", {"id": int, "model": str, "actor": str, "finished_at": str, "matches": int,
    "stale": bool}, total=False)
RunBody = TypedDict("RunBody", {"model": str | None, "purpose": str | None}, total=False)
RunMatch = TypedDict("RunMatch", {"query": str, "rank": int, "image_id": int, "collection": str,
    "path": str, "distance": float | None, "pid": int | None, "camid": int | None, "verdict":
    Literal['confirmed', 'rejected'] | None}, total=False)
RunSummary = TypedDict("RunSummary", {"id": int, "model": str, "queries": int, "with_matches": int,
    "matches": int, "max_distance": float | None, "complete": bool, "max_distances": list[float |
    None]}, total=False)
SearchBody = TypedDict("SearchBody", {"collections": Required[list[str]], "image_ids": list[int],
    "where": str | None, "max_distance": float | Literal['auto'] | None, "limit": int | None,
    "not_same_camera": bool, "no_duplicates": bool, "model": str | None, "rerank": bool,
    "candidates": int | None, "approximate": bool, "explain": bool, "same_person": bool, "nearest":
    bool, "purpose": str | None}, total=False)
StoredQuestion = TypedDict("StoredQuestion", {"queries": int, "galleries": list[str], "filter": str
    | None, "max_distance": float | Literal['auto'] | None, "limit": int | None, "not_same_camera":
    bool, "no_duplicates": bool, "rerank": bool}, total=False)
Unusable = TypedDict("Unusable", {"name": str, "reason": str}, total=False)
Verdict = TypedDict("Verdict", {"set": str, "query": str, "image_id": int, "verdict":
    Literal['confirmed', 'rejected'], "changed": bool, "replaced": Literal['confirmed', 'rejected']
    | None}, total=False)
VerdictBody = TypedDict("VerdictBody", {"verdict": Required[Literal['confirmed', 'rejected']],
    "note": str | None}, total=False)
Verdicts = TypedDict("Verdicts", {"confirmed": int, "rejected": int}, total=False)
Added = TypedDict("Added", {"name": str, "queries": int, "known": int, "failed": list[Unusable]},
    total=False)
Answer = TypedDict("Answer", {"query": str, "model": str, "max_distance": float | None,
    "max_distance_from": Literal['auto', 'given'] | None, "filter": str | None, "complete": bool,
    "incomplete_reason": str | None, "candidates": int, "candidates_estimated": bool, "plan": str,
    "reranked": bool, "rerank": Rerank | None, "explain": Explanation | None, "matches":
    list[Match]}, total=False)
Collections = TypedDict("Collections", {"items": list[Collection]}, total=False)
ImagePage = TypedDict("ImagePage", {"items": list[Image], "next": str | None}, total=False)
Models = TypedDict("Models", {"items": list[Model]}, total=False)
QuerySet = TypedDict("QuerySet", {"name": str, "questions": list[StoredQuestion], "runs": list[Run],
    "verdicts": Verdicts}, total=False)
QuerySets = TypedDict("QuerySets", {"items": list[QuerySetRow]}, total=False)
RunMatchPage = TypedDict("RunMatchPage", {"items": list[RunMatch], "next": str | None}, total=False)
SearchResult = TypedDict("SearchResult", {"queries": list[Answer], "failed": list[Unusable]},
    total=False)
# fmt: on


class Client:
    """One page's API; `url` as people open it, a prefix included."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 300.0) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.timeout = timeout

    def collections(self) -> Collections:
        """Every collection, by name."""
        return self._json(Collections, "GET", "/api/v1/collections")

    def collection_images(
        self,
        name: str,
        *,
        where: str | None = None,
        model: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ImagePage:
        """The images of a collection that a model has embedded and that pass the filter, a piece
        at a time."""
        return self._json(
            ImagePage,
            "GET",
            f"/api/v1/collections/{_step(name)}/images",
            query={"where": where, "model": model, "limit": limit, "cursor": cursor},
        )

    def health(self) -> Health:
        """Whether the database can be used. Open to all; where it is and who uses it is told to
        those only who may know."""
        return self._json(Health, "GET", "/api/v1/health")

    def ingest_image(
        self, body: IngestImageBody, images: Sequence[tuple[str, bytes]] = ()
    ) -> Image:
        """Take one image, the form's `image`, into a collection."""
        return self._json(Image, "POST", "/api/v1/images", body=body, images=images)

    def image(self, image_id: int) -> Image:
        """A stored image, with what the active model says of it."""
        return self._json(Image, "GET", f"/api/v1/images/{_step(image_id)}")

    def thumbnail(self, image_id: int) -> bytes:
        """An image's small JPEG, at most 96x192 pixels."""
        return self._send("GET", f"/api/v1/images/{_step(image_id)}/thumbnail")

    def metrics(self) -> bytes:
        """Images by state from the manifest; requests and their times by route."""
        return self._send("GET", "/api/v1/metrics")

    def models(self) -> Models:
        """Every registered model, by name."""
        return self._json(Models, "GET", "/api/v1/models")

    def query_sets(self) -> QuerySets:
        """Every query set, by name."""
        return self._json(QuerySets, "GET", "/api/v1/query-sets")

    def add_queries(self, body: AddQueriesBody, images: Sequence[tuple[str, bytes]] = ()) -> Added:
        """Add images as queries to a set, which is made where there is none."""
        return self._json(Added, "POST", "/api/v1/query-sets", body=body, images=images)

    def remove_query_set(self, name: str) -> None:
        """Remove a set with its queries, runs and verdicts."""
        self._send("DELETE", f"/api/v1/query-sets/{_step(name)}")

    def query_set(self, name: str) -> QuerySet:
        """What a set asks, its runs, and how many verdicts stand on its matches."""
        return self._json(QuerySet, "GET", f"/api/v1/query-sets/{_step(name)}")

    def export_query_set(
        self,
        name: str,
        *,
        format: Literal["reid_test", "csv"] | None = None,
        min_quality: float | None = None,
    ) -> bytes:
        """The newest run of a set as `reid_test.txt`, or all its matches as CSV."""
        return self._send(
            "GET",
            f"/api/v1/query-sets/{_step(name)}/export",
            query={"format": format, "min_quality": min_quality},
        )

    def withdraw_verdict(self, name: str, query: str, image_id: int) -> None:
        """Take a verdict back; there need not be one."""
        self._send(
            "DELETE",
            f"/api/v1/query-sets/{_step(name)}/queries/{_step(query)}/verdicts/{_step(image_id)}",
        )

    def give_verdict(self, name: str, query: str, image_id: int, body: VerdictBody) -> Verdict:
        """Let a verdict stand on an image; one given later replaces it."""
        return self._json(
            Verdict,
            "PUT",
            f"/api/v1/query-sets/{_step(name)}/queries/{_step(query)}/verdicts/{_step(image_id)}",
            body=body,
        )

    def run_query_set(self, name: str, body: RunBody | None = None) -> RunSummary:
        """Answer every query of a set and keep the run."""
        return self._json(
            RunSummary, "POST", f"/api/v1/query-sets/{_step(name)}/runs", body=body or {}
        )

    def run_matches(
        self, run_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> RunMatchPage:
        """The matches of a run, query by query in the order of their adding, best first."""
        return self._json(
            RunMatchPage,
            "GET",
            f"/api/v1/runs/{_step(run_id)}/matches",
            query={"limit": limit, "cursor": cursor},
        )

    def search(self, body: SearchBody, images: Sequence[tuple[str, bytes]] = ()) -> SearchResult:
        """Find the person of each image again, or everyone who passes the filter."""
        return self._json(SearchResult, "POST", "/api/v1/search", body=body, images=images)

    def search_table(
        self, media_type: str, body: SearchBody, images: Sequence[tuple[str, bytes]] = ()
    ) -> bytes:
        """The same as a table: `media_type` is ARROW or PARQUET."""
        return self._send("POST", "/api/v1/search", body=body, images=images, accept=media_type)

    def search_batch(self, body: BatchBody) -> SearchResult:
        """Answer many queries with one question at once: up to 1,000 stored images and
        embeddings."""
        return self._json(SearchResult, "POST", "/api/v1/search/batch", body=body)

    def search_batch_table(self, media_type: str, body: BatchBody) -> bytes:
        """The same as a table: `media_type` is ARROW or PARQUET."""
        return self._send("POST", "/api/v1/search/batch", body=body, accept=media_type)

    def pages(self, first: Kind) -> Iterator[Kind]:
        """A list that comes in pieces: the piece, and those that follow it."""
        piece: Any = first
        while True:
            yield piece
            if not piece.get("next"):
                return
            # an address on the same host, the prefix included
            piece = json.loads(self._open("GET", urljoin(self.url, piece["next"])))

    def _json(self, kind: type[Kind], verb: str, path: str, **sent: Any) -> Kind:  # noqa: ARG002
        found: Kind = json.loads(self._send(verb, path, **sent))
        return found

    def _send(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        images: Sequence[tuple[str, bytes]] = (),
        accept: str | None = None,
    ) -> bytes:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        sent = {name: value for name, value in (body or {}).items() if value is not None}
        headers = {"Accept": accept or "application/json, */*;q=0.1"}
        data = None
        if images:
            data, headers["Content-Type"] = _form(sent, images)
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(sent).encode(), "application/json"
        url = self.url + path + (f"?{urlencode(given)}" if given else "")
        return self._open(verb, url, data, headers)

    def _open(
        self,
        verb: str,
        url: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{url} is no web address")
        request = Request(url, data, dict(headers or {}), method=verb)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with urlopen(request, timeout=self.timeout) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            with error:
                raise _problem(error.code, error.read(), error.reason) from None


def _step(value: object) -> str:
    """A name as one step of an address."""
    return quote(str(value), safe="")


def _problem(status: int, body: bytes, reason: str) -> Problem:
    try:
        said = json.loads(body)
        return Problem(status, said["detail"], said["type"])
    except (ValueError, KeyError, TypeError):  # a proxy's own page
        return Problem(status, reason, "about:blank")


def _form(fields: Mapping[str, Any], images: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    edge = token_hex(16)
    head = f"--{edge}\r\nContent-Disposition: form-data; name="
    parts = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            text = str(one).lower() if isinstance(one, bool) else str(one)
            parts.append(f'{head}"{name}"\r\n\r\n{text}\r\n'.encode())
    for name, content in images:
        file = name.replace("\\", "/").replace('"', "%22").replace("\r", "").replace("\n", "")
        parts.append(f'{head}"image"; filename="{file}"\r\n\r\n'.encode() + content + b"\r\n")
    return b"".join([*parts, f"--{edge}--\r\n".encode()]), f"multipart/form-data; boundary={edge}"
