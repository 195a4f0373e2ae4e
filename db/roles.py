"""Roles that are not the owner: who searches writes runs and audit rows, and nothing else."""

from collections.abc import Mapping

from psycopg import sql
from sqlalchemy import ARRAY, Connection, Text, bindparam, text

from db.driver import driver_of
from errors import ReidError, UsageError

Rights = Mapping[str, tuple[str, ...]]  # table -> rights on it beside SELECT

# Each table stands in exactly one of these; a test holds them against the schema.
OWNERS: Rights = dict.fromkeys(
    (
        "alembic_version", "camera_mean", "collection", "feature", "gallery_count", "image",
        "last_look", "model", "model_content", "person", "person_grouping", "person_image",
        "setting", "task", "thumbnail", "tombstone",
    ), ()
)  # fmt: skip
SEARCH: Rights = dict.fromkeys(("audit", "match", "run", "run_query"), ("INSERT",))
REVIEW: Rights = {
    **dict.fromkeys(
        ("query_embedding", "query_image", "query_set", "question", "question_gallery"),
        ("INSERT",),
    ),
    # locking a row asks for a right to update it; an id that is always generated takes no value
    "query": ("INSERT", "UPDATE (id)"),
    "verdict": ("INSERT", "UPDATE", "DELETE"),
}
VIEWS = ("gallery",)
TABLES = (*OWNERS, *SEARCH, *REVIEW)
_LONGEST_NAME = 63  # bytes; Postgres would cut off the rest


class CannotGrant(ReidError):
    """The role cannot be had, or cannot be kept to what is granted."""


class BadRole(UsageError):
    """No role can have that name."""


def grant(connection: Connection, role: str, *, review: bool) -> bool:
    """Gives a role exactly the rights to search, with `review` to review too; what it had on our
    tables before is taken away. A missing role is made, without a login; True where it was.

    Raises BadRole; CannotGrant for a role that owns the tables or may not be made, and for a user
    who does not own them.
    """
    _check_name(role)
    _check_user(connection)
    made = _make(connection, role)
    _check_ordinary(connection, role)
    rights = {**OWNERS, **SEARCH, **(REVIEW if review else dict.fromkeys(REVIEW, ()))}
    _run(connection, "REVOKE ALL ON {} FROM {}", _names(*TABLES, *VIEWS), sql.Identifier(role))
    schema, database = connection.execute(
        text(
            "SELECT relnamespace::regnamespace::text, current_database() FROM pg_class"
            " WHERE oid = to_regclass('image')"
        )
    ).one()
    _run(
        connection, "GRANT CONNECT ON DATABASE {} TO {}",
        sql.Identifier(database), sql.Identifier(role),
    )  # fmt: skip
    # a regnamespace is written with the quotes that it needs
    _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", sql.SQL(schema), sql.Identifier(role))
    _run(connection, "GRANT SELECT ON {} TO {}", _names(*TABLES, *VIEWS), sql.Identifier(role))
    # a table that an upgrade brings can be read at once; where it is to be written, grant again
    _run(
        connection, "ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}",
        sql.SQL(schema), sql.Identifier(role),
    )  # fmt: skip
    for table, words in rights.items():
        for word in words:
            _run(
                connection, f"GRANT {word} ON {{}} TO {{}}",
                sql.Identifier(table), sql.Identifier(role),
            )  # fmt: skip
    return made


def _names(*tables: str) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, tables))


def _run(connection: Connection, words: str, *names: sql.Composable) -> None:
    """A statement with names in it, which no parameter can carry, in the caller's transaction."""
    driver_of(connection).execute(sql.SQL(words).format(*names))


def _check_name(role: str) -> None:
    if not role or "\0" in role or len(role.encode()) > _LONGEST_NAME:
        raise BadRole(f"a role needs a name of 1 to {_LONGEST_NAME} bytes")
    if role in ("public", "none") or role.startswith("pg_"):
        raise BadRole(f"{role!r} is a name of Postgres' own; choose another one")


def _check_user(connection: Connection) -> None:
    """Postgres only warns where a user grants what is not theirs to grant."""
    owner, owns = connection.execute(
        text(
            "SELECT relowner::regrole::text, pg_has_role(relowner, 'USAGE') FROM pg_class"
            " WHERE oid = to_regclass('image')"
        )
    ).one()
    if not owns:
        raise CannotGrant(
            f"only the tables' owner, user {owner}, can let others in; run it with the owner's "
            "REID_DATABASE_URL"
        )


def _make(connection: Connection, role: str) -> bool:
    if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
        return False
    user, may = connection.execute(
        text("SELECT rolname, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    ).one()
    if not may:
        raise CannotGrant(
            f"there is no role {role!r}, and user {user!r} may not make one; "
            "have it made by the server's administrator (CREATE ROLE)"
        )
    _run(connection, "CREATE ROLE {} NOLOGIN", sql.Identifier(role))
    return True


def _check_ordinary(connection: Connection, role: str) -> None:
    """Raises CannotGrant for who may do everything already, and would lose it."""
    stmt = text(
        "SELECT relname FROM pg_class WHERE oid = ANY(ARRAY(SELECT to_regclass(name)"
        " FROM unnest(:tables) AS name)) AND pg_has_role(:role, relowner, 'MEMBER') LIMIT 1"
    ).bindparams(bindparam("tables", type_=ARRAY(Text)))
    owned = connection.scalar(stmt, {"tables": list(TABLES), "role": role})
    if owned is not None:
        raise CannotGrant(
            f"role {role!r} may do everything, as a superuser or as an owner of table {owned!r}; "
            "name another role, which is made where there is none"
        )
