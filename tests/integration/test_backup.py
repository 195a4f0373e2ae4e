"""A backup goes both ways between the embedded server and another one, by an ordinary owner."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cli import run
from db.connect import DatabaseAddress, make_engine
from db.open import open_database
from db.server.embedded import EmbeddedServer
from tests.fakes import everything_stored, ingest, names, register_fake_model, write_pictures
from tests.servers import tcp_server, temporary_home

Reid = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with tcp_server() as made:
        yield made


@pytest.fixture
def owned(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database whose owner is no superuser; pgvector, which its administrator
    has installed, lies in the schema of the parameter, or nowhere."""
    schema: str | None = getattr(request, "param", "public")
    admin = server.tcp_url()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE ann LOGIN PASSWORD 'ann'")
        connection.execute("CREATE ROLE searcher")  # whom nobody knows elsewhere
        connection.execute("CREATE DATABASE anns OWNER ann")
    place = admin.rpartition("/")[0] + "/anns"
    with psycopg.connect(place, autocommit=True) as connection:
        if schema not in (None, "public"):
            connection.execute(f"CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO ann")
        if schema is not None:
            connection.execute(f"CREATE EXTENSION vector SCHEMA {schema}".encode())
        connection.execute("CREATE SCHEMA secrets; CREATE TABLE secrets.of_others (n int)")
    yield place.replace("reid:" + admin.split(":")[2].split("@")[0], "ann:ann")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE anns WITH (FORCE)")
        connection.execute("DROP ROLE ann")
        connection.execute("DROP ROLE searcher")


@pytest.fixture
def reid(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Reid:
    """A command line on an embedded server's home or a URL: exit code, stderr."""

    def call(where: Path | str, *words: object) -> tuple[int, str]:
        monkeypatch.setenv("REID_HOME", str(where) if isinstance(where, Path) else "/nowhere")
        monkeypatch.setenv("REID_DATABASE_URL", "" if isinstance(where, Path) else where)
        capfd.readouterr()
        return run([str(word) for word in words]), capfd.readouterr().err

    return call


def filled(place: DatabaseAddress, folder: Path) -> list[tuple[object, ...]]:
    engine = open_database(place)
    ingest(engine, folder, "g", register_fake_model(engine))
    stored = everything_stored(engine)
    engine.dispose()
    return stored


def stored_in(place: DatabaseAddress) -> list[tuple[object, ...]]:
    engine = make_engine(place)
    found = everything_stored(engine)
    engine.dispose()
    return found


@pytest.mark.parametrize("owned", ["public", "extensions"], indirect=True)
@pytest.mark.parametrize("set_up", [False, True])
def test_there_and_back(reid: Reid, owned: str, tmp_path: Path, set_up: bool) -> None:
    folder = write_pictures(tmp_path / "people", names(6))
    there, back = tmp_path / "there.backup", tmp_path / "back.backup"
    with temporary_home() as home, temporary_home() as other:
        before = filled(DatabaseAddress(home), folder)
        assert reid(home, "db", "grant", "reader")[0] == 0  # a role that the server does not know
        assert reid(home, "db", "backup", there)[0] == 0
        if set_up:
            assert reid(owned, "db", "upgrade") == (0, "")
        assert reid(owned, "db", "restore", there) == (0, "")
        assert stored_in(DatabaseAddress(home, owned)) == before
        assert reid(owned, "collection", "list") == (0, "")
        assert reid(owned, "db", "backup", back)[0] == 0
        assert reid(other, "db", "restore", back) == (0, "")
        assert stored_in(DatabaseAddress(other)) == before
        # the counts are kept on, and the audit log is as closed as before
        assert reid(other, "collection", "remove", "g", "--yes")[0] == 0
        engine = open_database(DatabaseAddress(other))
        with engine.connect() as connection, pytest.raises(Exception, match="only ever added"):
            connection.exec_driver_sql("DELETE FROM audit")
        engine.dispose()


@pytest.mark.parametrize("owned", [None], indirect=True)
def test_who_may_not_install_pgvector_is_told_whom_to_ask(
    reid: Reid, owned: str, tmp_path: Path
) -> None:
    said = (
        "reid: user 'ann' may not install pgvector in database 'anns'; have the server's "
        "administrator run this there, once: CREATE EXTENSION vector\n"
    )
    (tmp_path / "file").write_text("")
    assert reid(owned, "db", "upgrade") == (1, said)
    assert reid(owned, "db", "restore", tmp_path / "file") == (1, said)


def test_a_file_that_is_no_backup(reid: Reid, owned: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not one")
    code, said = reid(owned, "db", "restore", tmp_path / "file")
    assert code == 1
    assert said.startswith("reid: pg_restore failed: ")
    assert reid(owned, "db", "upgrade") == (0, "")  # nothing was left behind


def test_a_damaged_backup_changes_nothing(reid: Reid, owned: str, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "people", names(6))
    file = tmp_path / "backup"
    with temporary_home() as home:
        filled(DatabaseAddress(home), folder)
        assert reid(home, "db", "backup", file)[0] == 0
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 3 // 4])
    assert reid(owned, "db", "upgrade") == (0, "")
    code, said = reid(owned, "db", "restore", file)
    assert code == 1
    assert said.startswith("reid: ")
    engine = open_database(DatabaseAddress(tmp_path, owned))
    assert everything_stored(engine) == []
    engine.dispose()
