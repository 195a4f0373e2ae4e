"""Attempts of what a worker holds, where it lives in several processes: one of them may end, and
the worker, whose lock is in another one, goes on."""

from sqlalchemy import Connection, text


def count_attempt(connection: Connection, worker_id: int) -> None:
    """Counts one more attempt for all that this worker holds: one of its processes has ended."""
    connection.execute(
        text(
            "UPDATE task SET attempts = attempts + 1 FROM (SELECT model_id AS m, image_id AS i"
            " FROM task WHERE owner = :worker AND state = 'leased' ORDER BY model_id, image_id"
            " FOR UPDATE) AS held WHERE model_id = m AND image_id = i"
        ),
        {"worker": worker_id},
    )


def most_attempts(connection: Connection, worker_id: int) -> int:
    """The most attempts of anything that this worker holds; 0 when it holds nothing."""
    most: int = connection.execute(
        text(
            "SELECT coalesce(max(attempts), 0) FROM task WHERE owner = :worker AND state = 'leased'"
        ),
        {"worker": worker_id},
    ).scalar_one()
    return most
