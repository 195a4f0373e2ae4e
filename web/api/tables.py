"""Answers as one table, for programs that take many: Arrow or Parquet, by `Accept`."""

import io
import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from errors import ReidError
from search.answer import Answer, Match
from search.answering import Answers
from search.documents import document
from vocabulary import FIELDS

if TYPE_CHECKING:
    import pyarrow

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
MEDIA_TYPES = (JSON, ARROW, PARQUET)
ATTRIBUTES = tuple(field.name for field in FIELDS)


class ArrowMissing(ReidError):
    """The package that writes Arrow and Parquet is not installed."""

    http_status = 501


def wanted(request: Request) -> str:
    """The media type that is liked best of those that there are; JSON where none is named.

    >>> from starlette.requests import Request
    >>> accept = (b"accept", b"text/csv, application/vnd.apache.parquet;q=0.9, */*;q=0.1")
    >>> wanted(Request({"type": "http", "headers": [accept]}))
    'application/vnd.apache.parquet'
    """
    liked: dict[str, float] = {}
    for part in request.headers.get("accept", "").lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weights = [word[2:] for word in parameters if word.startswith("q=")]
        try:
            liked[kind] = float(weights[0]) if weights else 1.0
        except ValueError:
            liked[kind] = 0.0
    named = [kind for kind in MEDIA_TYPES if liked.get(kind, 0.0) > 0]
    return max(named, key=lambda kind: liked[kind], default=JSON)


def as_table(found: Answers, media_type: str) -> Response:
    """Every match a row. Raises ArrowMissing."""
    if find_spec("pyarrow") is None:
        raise ArrowMissing(
            "the package pyarrow is not installed; install the extra `arrow`, or ask for JSON"
        )
    write = _parquet if media_type == PARQUET else _stream
    return Response(write(table_of(found)), media_type=media_type, headers={"Vary": "Accept"})


def table_of(found: Answers) -> "pyarrow.Table":
    """The matches of all answers in their order. `query_number` counts the queries from 0, as they
    stand in the table's metadata: under `reid`, the JSON document without the matches."""
    import pyarrow as pa

    rows = list(_rows(found.answers))
    columns: dict[str, Any] = {
        "query_number": pa.array([number for number, _, _ in rows], pa.int32()),
        "query": _words([answer.query for _, answer, _ in rows]),
        "rank": _numbers(rows, "rank", pa.int32()),
        "image_id": _numbers(rows, "image_id", pa.int64()),
        "collection": _words([match.collection for _, _, match in rows]),
        "path": pa.array([match.path for _, _, match in rows], pa.string()),
        "distance": _numbers(rows, "distance", pa.float64()),
        "rerank_distance": _numbers(rows, "rerank_distance", pa.float64()),
        "pid": _numbers(rows, "pid", pa.int64()),
        "camid": _numbers(rows, "camid", pa.int64()),
    }
    for name in ATTRIBUTES:
        columns[name] = _words([match.attributes.get(name) for _, _, match in rows])
    without_matches = document(found)
    for query in without_matches["queries"]:
        del query["matches"]
    return pa.table(columns).replace_schema_metadata({"reid": json.dumps(without_matches)})


Row = tuple[int, Answer, Match]


def _rows(answers: tuple[Answer, ...]) -> Iterator[Row]:
    for number, answer in enumerate(answers):
        for match in answer.matches:
            yield number, answer, match


def _numbers(rows: list[Row], name: str, kind: Any) -> Any:
    import pyarrow as pa

    return pa.array([getattr(match, name) for _, _, match in rows], kind)


def _words(values: list[Any]) -> Any:
    """A text that stands in many rows, once."""
    import pyarrow as pa

    return pa.array(values, pa.string()).dictionary_encode()


def _stream(table: "pyarrow.Table") -> bytes:
    import pyarrow as pa

    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _parquet(table: "pyarrow.Table") -> bytes:
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd")
    return out.getvalue()
