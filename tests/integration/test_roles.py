"""Who may only search can search, and can do nothing else."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from cli import run
from db.connect import DatabaseAddress, make_engine
from db.roles import OWNERS, REVIEW, SEARCH, TABLES, VIEWS, BadRole, CannotGrant, grant
from db.schema import Base
from tests.fakes import ingest, names, register_fake_model, write_pictures

_COUNTER = itertools.count(1)
_PASSWORD = "only for tests"
WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")

Reid = Callable[..., tuple[int, str, str]]


@pytest.fixture
def role(engine: Engine) -> Iterator[str]:
    """The name of a role that is not there yet; it goes with the test."""
    name = f'Dr. "{os.getpid()}_{next(_COUNTER)}" %s :x'
    yield name
    engine.dispose()
    with psycopg.connect(_url(engine), autocommit=True) as connection:
        quoted = psycopg.sql.Identifier(name)
        with suppress(psycopg.errors.UndefinedObject):
            connection.execute(psycopg.sql.SQL("DROP OWNED BY {}").format(quoted))
        connection.execute(psycopg.sql.SQL("DROP ROLE IF EXISTS {}").format(quoted))


def _url(engine: Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def reid(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Reid:
    """One command line, as the owner or as another user: exit code, stdout, stderr."""
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))

    def call(user: str | None, *words: object) -> tuple[int, str, str]:
        url = make_url(database_url)
        if user is not None:
            url = url.set(username=user, password=_PASSWORD)
        monkeypatch.setenv("REID_DATABASE_URL", url.render_as_string(hide_password=False))
        capfd.readouterr()
        code = run([str(word) for word in words])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def people(engine: Engine, tmp_path: Path) -> Path:
    """A folder of six images, stored as the collection `people`."""
    folder = write_pictures(tmp_path / "people", names(6))
    ingest(engine, folder, "people", register_fake_model(engine, max_distance=1.0))
    return folder


def let_in(engine: Engine, role: str) -> None:
    with psycopg.connect(_url(engine), autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(role), psycopg.sql.Literal(_PASSWORD)
            )
        )


def rights(connection: Connection, role: str, table: str) -> set[str]:
    """What the role may do to a table, or to one of its columns."""
    rows = connection.execute(
        text(
            "SELECT word FROM unnest(:words ::text[]) AS word"
            " WHERE has_table_privilege(:role, :table, word)"
            " OR word IN ('INSERT', 'UPDATE') AND has_any_column_privilege(:role, :table, word)"
        ),
        {"words": ["SELECT", *WRITES], "role": role, "table": table},
    )
    return set(rows.scalars())


def test_every_table_was_decided_on() -> None:
    """A new one belongs into OWNERS, SEARCH or REVIEW of `db/roles.py`."""
    assert sorted(TABLES) == sorted([*Base.metadata.tables, "alembic_version"])


@pytest.mark.parametrize("review", [False, True])
def test_the_rights_are_those_and_no_others(engine: Engine, role: str, review: bool) -> None:
    with engine.begin() as connection:
        assert grant(connection, role, review=not review)  # what was there before is replaced
        assert not grant(connection, role, review=review)
        listed = connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p', 'v', 'm', 'f')"
            )
        )
        there = set(listed)
        assert there == {*TABLES, *VIEWS}
        decided = {**OWNERS, **SEARCH, **(REVIEW if review else {})}
        for table in there:
            writes = {word.split()[0] for word in decided.get(table, ())}
            assert rights(connection, role, table) == {"SELECT", *writes}, table
        login = connection.execute(
            text("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = :role"), {"role": role}
        )
        assert login.one() == (False, False)


def test_what_an_upgrade_brings_can_be_read(engine: Engine, role: str) -> None:
    with engine.begin() as connection:
        grant(connection, role, review=False)
        connection.execute(text("CREATE TABLE later (n int)"))
        assert rights(connection, role, "later") == {"SELECT"}


def test_who_may_search(engine: Engine, reid: Reid, people: Path, role: str) -> None:
    image = people / names(1)[0]
    assert reid(None, "query", "add", "s", image, "--collection", "people")[0] == 0
    code, out, err = reid(None, "db", "grant", role)
    assert (code, out) == (0, f"{role} may read, search and run stored queries\n")
    assert "cannot log in" in err
    let_in(engine, role)
    out_file = people.parent / "reid_test.txt"
    for words in (
        ("search", image, "--collection", "people", "--purpose", "to see"),
        ("search", "--collection", "people", "--where", "not hat"),
        ("query", "run", "s"),
        ("query", "list"),
        ("query", "show", "s", image.name),
        ("match", "list", "s"),
        ("export", "reid-test", "--query-set", "s", "--out", out_file, "--min-quality", "0"),
        ("export", "classification", "--collection", "people", "--out", people.parent / "c.csv"),
        ("evaluate", "reid", "--query", "people", "--gallery", "people"),
        ("status",),
        ("collection", "list"),
        ("model", "list"),
        ("audit", "list"),
    ):
        code, out, err = reid(role, *words)
        assert code == 0, (words, err)
        assert "permission" not in err
    assert [word in out for word in ("search", "query run", "export reid-test")] == [True] * 3
    assert out_file.read_text().startswith(f"{image.name}: {image.name}")


@pytest.mark.parametrize(
    ("words", "table"),
    [
        ("ingest {people} --collection more", "collection"),
        ("collection remove people --yes", "collection"),
        ("collection prune people", "image"),
        ("model activate fake", "model"),
        ("retry", "task"),
        ("query add t {people} --collection people", "query_set"),
        ("query remove s", "query_set"),
        ("match confirm s {name} {name}", "query"),
        ("erase --image 1 --yes", "tombstone"),
        ("erase --collection people --quick --yes", "tombstone"),
        ("erase --lift " + "0" * 64, "tombstone"),
        ("retention set 1", "setting"),
        ("retention off", "setting"),
    ],
)
def test_who_may_search_may_do_nothing_else(
    engine: Engine, reid: Reid, people: Path, role: str, words: str, table: str
) -> None:
    name = names(1)[0]
    assert reid(None, "query", "add", "s", people / name, "--collection", "people")[0] == 0
    assert reid(None, "db", "grant", role)[0] == 0
    let_in(engine, role)
    filled = [
        {"{people}": str(people), "{name}": name, "{role}": role}.get(word, word)
        for word in words.split()
    ]
    assert reid(role, *filled) == (
        1,
        "",
        f"reid: the database user may not do that: permission denied for table {table}; "
        "run it as the database's owner (`reid db grant` lets others search and review, and no "
        "more)\n",
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
        "DELETE FROM run",
        "UPDATE match SET distance = 0",
        "INSERT INTO tombstone (content_hash, actor) VALUES ('', '')",
        "CREATE TABLE own (n int)",
    ],
)
def test_not_in_plain_sql_either(
    engine: Engine, database_url: str, role: str, statement: str
) -> None:
    with engine.begin() as connection:
        grant(connection, role, review=True)
    let_in(engine, role)
    url = make_url(database_url).set(username=role, password=_PASSWORD)
    own = make_engine(DatabaseAddress(Path("/nowhere"), url.render_as_string(hide_password=False)))
    with own.connect() as connection, pytest.raises(Exception, match=r"permission denied|owner of"):
        connection.execute(text(statement))
    own.dispose()


def test_who_may_review(engine: Engine, reid: Reid, people: Path, role: str) -> None:
    code, out, _ = reid(None, "db", "grant", role, "--review")
    assert (code, out) == (0, f"{role} may read, search, review and run stored queries\n")
    let_in(engine, role)
    name, other = names(2)
    for words in (
        ("query", "add", "s", people / name, "--collection", "people", "--where", "not hat"),
        ("query", "add", "s", people / other, "--collection", "people"),
        ("query", "run", "s"),
        ("match", "confirm", "s", name, other, "--note", "the same shoes"),
        ("match", "reject", "s", name, other),
        ("match", "withdraw", "s", name, other),
    ):
        code, _, err = reid(role, *words)
        assert code == 0, (words, err)
    code, _, err = reid(role, "query", "remove", "s")
    assert code == 1
    assert "permission denied for table query_set" in err
    with engine.connect() as connection:
        logged = connection.execute(text("SELECT action, question FROM audit ORDER BY id")).first()
    assert logged is not None
    assert logged.question == {"role": role, "review": True, "made": True}


def test_who_may_do_everything_keeps_it(engine: Engine) -> None:
    owner = engine.url.username
    assert owner is not None
    with engine.begin() as connection:
        before = rights(connection, owner, "image")
        with pytest.raises(CannotGrant, match=r"may do everything, .* name another role"):
            grant(connection, owner, review=False)
    with engine.connect() as connection:
        assert rights(connection, owner, "image") == before >= {"INSERT", "DELETE"}


def acting_as(connection: Connection, role: str) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(psycopg.sql.SQL("SET LOCAL ROLE {}").format(psycopg.sql.Identifier(role)))


def test_who_does_not_own_the_tables_lets_nobody_in(engine: Engine, role: str) -> None:
    """Postgres itself would only warn."""
    with engine.begin() as connection:
        grant(connection, role, review=True)
        acting_as(connection, role)
        with pytest.raises(CannotGrant, match=r"only the tables' owner, user \w+, can let others"):
            grant(connection, role, review=False)


def test_an_owner_who_may_make_no_role(engine: Engine, role: str) -> None:
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        owner = psycopg.sql.Identifier(role)
        driver.execute(psycopg.sql.SQL("CREATE ROLE {}").format(owner))
        for table in TABLES:
            driver.execute(
                psycopg.sql.SQL("ALTER TABLE {} OWNER TO {}").format(
                    psycopg.sql.Identifier(table), owner
                )
            )
        acting_as(connection, role)
        with pytest.raises(CannotGrant, match=r"no role 'new', and user .* \(CREATE ROLE\)"):
            grant(connection, "new", review=False)
        connection.rollback()


@pytest.mark.parametrize("name", ["", "public", "none", "pg_monitor", "ä" * 32, "a\0b"])
def test_a_name_that_is_none(engine: Engine, name: str) -> None:
    with engine.begin() as connection, pytest.raises(BadRole):
        grant(connection, name, review=False)
