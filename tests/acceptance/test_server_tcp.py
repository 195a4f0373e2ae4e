"""The main path against a server started separately, with TCP and a password."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Reid
from tests.batch_answers import read_reid_test
from tests.fakes import FakeNetwork, names, write_pictures
from tests.servers import tcp_server


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """In place of the session's server: the `reid` fixture takes this one."""
    with tcp_server() as server:
        yield server.tcp_url()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    made = FakeNetwork()
    for module in ("ingest.run", "search.query_images"):
        monkeypatch.setattr(f"{module}.load_network", lambda *_: made)
    return made


def test_the_main_path(reid: Reid, network: FakeNetwork, tmp_path: Path) -> None:
    gallery = write_pictures(tmp_path / "gallery", names(20))
    queries = write_pictures(tmp_path / "queries", names(4))  # the first four again

    before = reid("search", queries / names(1)[0], "--collection", "gallery")
    assert (before.code, before.err.strip()) == (
        1,
        "reid: the database is empty; set it up with `reid db upgrade`",
    )
    assert reid("db", "upgrade").code == 0
    assert reid("db", "upgrade").code == 0

    first = reid("ingest", gallery, "--collection", "gallery", "--format", "json")
    assert first.code == 0, first.err
    assert (first.json()["stored"], first.json()["known"]) == (20, 0)
    again = reid("ingest", gallery, "--collection", "gallery", "--format", "json").json()
    assert (again["stored"], again["known"]) == (0, 20)
    assert network.images == 20

    answer = reid(
        "search", queries / names(1)[0], "--collection", "gallery", "--format", "json"
    ).json()["queries"][0]
    assert answer["candidates"] == 20
    assert answer["matches"][0]["path"] == names(1)[0]
    assert answer["matches"][0]["distance"] == 0

    added = reid("query", "add", "all", queries, "--collection", "gallery", "--max-distance", "0.1")
    assert added.code == 0, added.err
    assert reid("query", "run", "all").code == 0
    out = tmp_path / "reid_test.txt"
    assert reid("export", "reid-test", "--query-set", "all", "--out", out).code == 0
    assert list(read_reid_test(out.read_text())) == [(name, [name]) for name in sorted(names(4))]
    table = tmp_path / "classification_test.csv"
    exported = reid("export", "classification", "--collection", "gallery", "--out", table)
    assert exported.code == 0, exported.err
    assert len(table.read_text().splitlines()) == 21


def test_stopping_a_server_that_is_not_ours(reid: Reid) -> None:
    stopped = reid("db", "stop")
    assert stopped.code == 2
    assert "REID_DATABASE_URL names a server; stop it where it was started" in stopped.err
