"""An answer taken along: a table, a contact sheet, or a page that needs nothing else."""

import csv
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO, StringIO
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from gallery.thumbnails import thumbnails_of
from rendering.page import matches_html
from rendering.pictures import Picture
from rendering.sheet import contact_sheet
from search.documents import to_json
from vocabulary import FIELDS

FACTS = (
    "rank", "image_id", "collection", "path", "distance", "rerank_distance", "pid", "camid",
)  # fmt: skip
ON_A_SHEET = 40
IN_A_PAGE = 500


def as_csv(picture: Picture) -> bytes:
    """Every match, a row each, with all attributes."""
    fields = [field.name for field in FIELDS]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", *FACTS, *fields])
    for match in to_json(picture.answer)["matches"]:
        values = [match[name] for name in FACTS] + [match["attributes"][name] for name in fields]
        writer.writerow([picture.answer.query, *(_cell(value) for value in values)])
    return out.getvalue().encode(errors="surrogateescape")


def as_sheet(engine: Engine, picture: Picture) -> bytes:
    """The first matches as a PNG."""
    out = BytesIO()
    contact_sheet([_whole(engine, picture, ON_A_SHEET)], max_matches=ON_A_SHEET // 4).save(
        out, format="PNG"
    )
    return out.getvalue()


def as_page(engine: Engine, picture: Picture) -> bytes:
    """The first matches as one HTML file with its pictures in it."""
    return matches_html([_whole(engine, picture, IN_A_PAGE)], title="Search").encode()


KINDS: dict[str, tuple[str, Callable[[Engine, Picture], bytes]]] = {
    "csv": ("text/csv; charset=utf-8", lambda _engine, picture: as_csv(picture)),
    "png": ("image/png", as_sheet),
    "html": ("text/html; charset=utf-8", as_page),
}


def take(engine: Engine, picture: Picture, kind: str, purpose: str | None) -> tuple[str, bytes]:
    """(media type, content); written to the audit log, as every export is."""
    media_type, made = KINDS[kind]
    content = made(engine, picture)
    with engine.begin() as connection:
        record(
            connection,
            "export matches",
            {"format": kind},
            purpose=purpose,
            result_ids=[match.image_id for match in picture.answer.matches],
        )
    return media_type, content


def _whole(engine: Engine, picture: Picture, most: int) -> Picture:
    ids = [match.image_id for match in picture.answer.matches[:most]]
    return replace(picture, thumbnails=thumbnails_of(engine, ids))


def _cell(value: Any) -> Any:
    return "" if value is None else value
