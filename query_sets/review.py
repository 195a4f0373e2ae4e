"""One stored query at a time, its matches in a run, and what reviewers say of them."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from query_sets.read_run import stored_answers
from query_sets.runs import is_stale, latest_run
from query_sets.verdict_rows import standing, stored_query
from rendering.pictures import Picture
from search.answering import deciding_fields


@dataclass(frozen=True)
class Review:
    """A query of a set's newest run. `verdicts` are "confirmed" or "rejected", by image id;
    `position` counts from 1; `previous` and `following` are queries' names."""

    query: str
    run: int
    stale: bool
    picture: Picture
    verdicts: dict[int, str]
    position: int
    total: int
    previous: str | None
    following: str | None


def review(engine: Engine, set_name: str, query_name: str | None) -> Review | None:
    """The query of that name, else the first that nobody has said anything of, else the first;
    None where the run does not answer it.

    Raises UnknownQuerySet, UnknownQuery, CannotRun where the set was never run.
    """
    with engine.connect() as connection:
        run_id = latest_run(connection, set_name)
        rows = connection.execute(
            text(
                "SELECT q.name, EXISTS (SELECT FROM verdict v WHERE v.query_id = q.id) AS seen"
                " FROM run_query r JOIN query q ON q.id = r.query_id"
                ' WHERE r.run_id = :run ORDER BY q.name COLLATE "C"'
            ),
            {"run": run_id},
        ).all()
        names = [row.name for row in rows]
        if query_name is None:
            query_name = next((row.name for row in rows if not row.seen), next(iter(names), None))
        if query_name is None:
            return None
        query = stored_query(connection, set_name, query_name)
        if query_name not in names:
            return None
        place = names.index(query_name)
        (item,) = stored_answers(connection, run_id, first=1, offset=place)
        ids = [match.image_id for match in item.answer.matches]
        return Review(
            query=query_name,
            run=run_id,
            stale=is_stale(connection, run_id),
            picture=Picture(item.answer, item.thumbnail, {}, deciding_fields(item.question)),
            verdicts=standing(connection, query, ids),
            position=place + 1,
            total=len(names),
            previous=names[place - 1] if place else None,
            following=names[place + 1] if place + 1 < len(names) else None,
        )


def verdicts_on(engine: Engine, set_name: str, query_name: str, ids: list[int]) -> dict[int, str]:
    """What stands on these images for a query. Raises UnknownQuerySet, UnknownQuery."""
    with engine.connect() as connection:
        return standing(connection, stored_query(connection, set_name, query_name), ids)
