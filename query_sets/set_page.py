"""A query set with a piece of its newest run."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from query_sets.read_run import stored_answers
from query_sets.sets import show_set
from rendering.pictures import Picture
from search.answering import deciding_fields


@dataclass(frozen=True)
class SetPage:
    """A query set, and some of the answers of its newest run; `total` counts all of them."""

    questions: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    total: int
    pictures: list[Picture]


def set_page(engine: Engine, name: str, *, offset: int, size: int) -> SetPage:
    """Raises UnknownQuerySet."""
    shown = show_set(engine, name)
    runs = shown["runs"]
    if not runs:
        return SetPage(shown["questions"], [], 0, [])
    with engine.connect() as connection:
        total = connection.execute(
            text("SELECT count(*) FROM run_query WHERE run_id = :run"), {"run": runs[0]["id"]}
        ).scalar_one()
        answers = []
        if offset < total:
            answers = stored_answers(connection, runs[0]["id"], first=size, offset=offset)
    drawn = [
        Picture(item.answer, item.thumbnail, {}, deciding_fields(item.question)) for item in answers
    ]
    return SetPage(shown["questions"], runs, total, drawn)
