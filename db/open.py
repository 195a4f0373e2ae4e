"""A checked way into the database that the environment names."""

from sqlalchemy import Engine

from db.connect import (
    HEAD,
    DatabaseAddress,
    WrongSchema,
    current_revision,
    make_engine,
    reach,
    resolve,
)
from db.limits import statement_timeout
from db.read_only import check_read_only
from db.upgrade import upgrade


def open_database(place: DatabaseAddress | None = None) -> Engine:
    """An engine on a database that this program can use.

    An empty embedded database is set up at once; an empty server is only by `reid db upgrade`.
    Raises DatabaseUnreachable, WrongSchema, WrongSession, NotReadOnly, BadStatementTimeout.
    """
    statement_timeout()  # a bad one is said now, not at the first search of a page that runs
    place = place or resolve()
    engine = make_engine(place)
    try:
        with reach(engine) as connection:
            check_read_only(connection)
            revision = current_revision(connection)
        if revision is None and place.embedded:
            upgrade(engine)
        elif revision != HEAD:
            raise WrongSchema(_schema_sentence(revision))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _schema_sentence(revision: str | None) -> str:
    if revision is None:
        return "the database is empty; set it up with `reid db upgrade`"
    if revision < HEAD:
        return (
            f"the database is at schema {revision}, this program needs {HEAD}; "
            "make a backup with `reid db backup FILE`, then run `reid db upgrade`"
        )
    return (
        f"the database is at schema {revision}, newer than the {HEAD} this program knows; "
        "upgrade the program: `git pull`, then `make install`"
    )
