"""What a session is: settings that the code relies on are set at each connect, whatever the server,
the role, the URL and the environment make of them; what cannot be set is checked.

Behind a pooler that lends a connection for one transaction, settings of a session are somebody
else's a moment later: there they are set at the start of each transaction.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.array import BaseListDumper, ListBinaryDumper, ListDumper
from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import Connection, Engine, event

from errors import ReidError

# Each would change what is stored, found or read. Time limits are not among them, but for those on
# being idle: a server that ends long statements has its reasons, and an error says so.
PINNED = {
    "standard_conforming_strings": "on",  # else what has a backslash in it is stored as other bytes
    "client_encoding": "UTF8",
    "bytea_output": "hex",
    "array_nulls": "on",  # else a NULL in a list is the word NULL
    "transform_null_equals": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",  # else distances come rounded
    "gin_fuzzy_search_limit": "0",  # else an index leaves out rows by chance
    "default_transaction_isolation": "read committed",  # who waited for a lock sees what came
    "default_transaction_deferrable": "off",
    "session_replication_role": "origin",  # else no trigger keeps counts and the audit log
    "exit_on_error": "off",
    "quote_all_identifiers": "off",
    "client_min_messages": "warning",
    "idle_session_timeout": "0",  # a worker's session is its sign of life, and waits for work
    "idle_in_transaction_session_timeout": "0",
}
# what a server does not know is left out
_PIN = (
    "SELECT pg_catalog.set_config(pinned.name, pinned.setting, {local}) FROM (VALUES "
    + ", ".join(f"('{name}', '{setting}')" for name, setting in PINNED.items())
    + ") AS pinned(name, setting)"
    " WHERE pg_catalog.current_setting(pinned.name, true) OPERATOR(pg_catalog.<>) pinned.setting"
)
_OUR_TABLES = ("alembic_version", "tombstone", "query_embedding")  # no other program has all three
_FACTS = """
SELECT
    pg_catalog.pg_backend_pid(),
    pg_catalog.pg_encoding_to_char(d.encoding),
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool,
    d.datname,
    current_user::pg_catalog.text,
    ARRAY(SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::pg_catalog.text),
    ARRAY(
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = ANY(%s)
        GROUP BY n.nspname HAVING pg_catalog.count(*) = %s ORDER BY n.nspname
    ),
    (
        SELECT n.nspname::pg_catalog.text
        FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'
    ),
    ARRAY(
        SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_namespace AS n
        WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE')
    )
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
"""  # noqa: E501
_SET_PATH = "SELECT pg_catalog.set_config('search_path', %s, {local})"


class WrongSession(ReidError):
    """The server makes something of the session that this program cannot work with."""

    http_status = 503


@dataclass(frozen=True)
class Session:
    """What is known of a connection's session. `read_only` says why nothing can be written, None
    where it can. `pooled`: between us and the server stands a pooler, which may hand our next
    transaction to another session."""

    database: str
    user: str
    schema: str  # of our tables, or where they will be
    search_path: str
    read_only: str | None
    pooled: bool


def session_of(connection: Connection) -> Session:
    """Return what was found out about a connection's session, also of one taken out of its pool."""
    session = connection.info["session"]
    assert isinstance(session, Session)
    return session


def prepare_sessions(engine: Engine) -> None:
    """Every session of this engine is made so. Connecting then raises WrongSession too."""

    def on_connect(driver: "psycopg.Connection[Any]", record: Any) -> None:
        try:
            record.info["session"] = begin_session(driver)
        except BaseException:
            driver.close()
            raise

    # before SQLAlchemy looks at the server
    event.listen(engine, "connect", on_connect, insert=True)
    prepare_transactions(engine)


def prepare_transactions(engine: Engine) -> None:
    """Behind a pooler a transaction is set up like a session."""

    def on_begin(connection: Connection) -> None:
        if session_of(connection).pooled:
            _set_local(connection)

    event.listen(engine, "begin", on_begin)


def begin_session(driver: "psycopg.Connection[Any]") -> Session:
    """Sets what is relied on, and checks the rest. Raises WrongSession."""
    driver.adapters.register_dumper(bytes, BytesBinaryDumper)
    driver.adapters.register_dumper(list, _ListDumper)
    driver.autocommit = True
    session = _checked(driver)
    if not session.pooled:  # a pooler's session is somebody else's too: see `_set_local`
        _pin(driver)
        driver.execute(_SET_PATH.format(local="false"), [session.search_path])
    driver.autocommit = False
    return session


def _pin(driver: "psycopg.Connection[Any]") -> None:
    try:
        driver.execute(_PIN.format(local="false"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise WrongSession(
            f"the server gives this user a setting that the program cannot work with, and may not "
            f"change: {error.diag.message_primary}; have its administrator take it back "
            "(ALTER ROLE ... RESET, ALTER DATABASE ... RESET)"
        ) from None


def _checked(driver: "psycopg.Connection[Any]") -> Session:
    row = driver.execute(_FACTS, [list(_OUR_TABLES), len(_OUR_TABLES)]).fetchone()
    assert row is not None
    pid, encoding, standby, read_only, database, user, path, ours, vector, usable = row
    if encoding != "UTF8":
        raise WrongSession(
            f"database {database!r} has the encoding {encoding}, expected UTF8: it cannot hold "
            "every name; make another one, CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )
    schema = _schema(path, ours, vector)
    for needed in (schema if schema in ours else None, vector):
        if needed is not None and needed not in usable:
            raise WrongSession(
                f"user {user!r} may not use the schema {needed!r} of database {database!r}; have "
                "its owner let them: GRANT USAGE ON SCHEMA"
            )
    why = "it is a standby, which follows another server" if standby else None
    if read_only and not standby:
        why = f"default_transaction_read_only is on for user {user!r} in database {database!r}"
    names = dict.fromkeys((schema, schema if vector is None else vector))
    return Session(
        database=database,
        user=user,
        schema=schema,
        search_path=", ".join('"' + name.replace('"', '""') + '"' for name in names),
        read_only=why,
        pooled=pid != driver.pgconn.backend_pid,
    )


def _schema(path: list[str], ours: list[str], vector: str | None) -> str:
    """Where our tables are: first where the session looks anyway, then anywhere. Where there are
    none: where the session would make them, but not beside an extension that has a schema of its
    own."""
    found = [name for name in path if name in ours] or ours
    if len(found) > 1 and found is ours:
        raise WrongSession(
            f"this program's tables lie in several schemas ({', '.join(ours)}); say which are "
            "meant: ALTER ROLE ... SET search_path"
        )
    if found:
        return found[0]
    return next((name for name in path if name != vector or name == "public"), "public")


def _set_local(connection: Connection) -> None:
    """Set what `begin_session` sets, for one transaction."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(_PIN.format(local="true"))
    driver.execute(_SET_PATH.format(local="true"), [session_of(connection).search_path])


class _ListDumper(ListDumper):
    """Lists of bytes in binary: as text they are written by the rules of a session."""

    def upgrade(self, obj: list[Any], format: psycopg.adapt.PyFormat) -> BaseListDumper:
        if isinstance(self._find_list_element(obj, format), bytes):
            return ListBinaryDumper(self.cls, self._tx).upgrade(obj, psycopg.adapt.PyFormat.BINARY)
        return super().upgrade(obj, format)
