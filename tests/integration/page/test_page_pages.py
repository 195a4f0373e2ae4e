"""The other pages over a real database: overview, images, query sets, health; hostile names."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.connect import DatabaseAddress, make_engine
from query_sets.queries import add as add_queries
from query_sets.queries import run as run_queries
from search.request import SearchRequest
from tests.web_client import (
    HOSTILE,
    RED,
    Client,
    ask,
    image_ids,
    jpeg,
    ranked,
    store,
)
from web.app import create_app

# --- overview


def test_an_empty_database_says_what_to_do(engine: Engine) -> None:
    body = Client(create_app(engine, token=None)).get("/").text
    assert "Nothing is stored yet" in body
    assert "reid ingest FOLDER --collection NAME" in body


def test_overview(page: Client, engine: Engine, tmp_path: Path) -> None:
    store(engine, tmp_path / "bad", "broken", {f"{HOSTILE[:7]}.jpg": b"no image"})
    body = page.get("/").text
    assert "gallery" in body
    assert "active" in body
    assert re.search(r"<strong>4</strong> can be searched", body)
    assert re.search(r"<strong>1</strong> failed", body)


# --- hostile names


def test_hostile_names_stay_text(engine: Engine, tmp_path: Path) -> None:
    collection = f'"><b>{HOSTILE}\u202e'
    name = "<img src=x onerror=alert(1)>\n,'\".jpg"
    store(engine, tmp_path / "crops", collection, {name: jpeg(RED)})
    files = [("who.jpg", str(tmp_path / "crops" / name))]
    add_queries(engine, collection, SearchRequest((collection,)), [Path(files[0][1])])
    run_queries(engine, collection, None, None)
    page = Client(create_app(engine, token=None))
    sets = page.get("/sets").text
    link = re.search(r'<a href="(/sets/[^"]+)"', sets)
    assert link
    bodies = [
        page.get("/").text,
        sets,
        page.get(link[1]).text,
        ask(page, jpeg(RED), HOSTILE, collection=collection, purpose=HOSTILE),
        ask(page, where=HOSTILE, collection=collection),
        page.get("/" + HOSTILE).text,
        page.get("/sets/" + HOSTILE).text,
    ]
    for body in bodies:
        assert not re.search(r'<script(?! src="/static/)|<img src=x|<b>', body)
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", body)
    # what the form sends back is exactly the name
    assert f'value="&#34;&gt;&lt;b&gt;{"&lt;script&gt;alert(&#39;name&#39;)"}' in bodies[3]
    assert len(ranked(bodies[3])) == 1


# --- images


def test_images_by_id(page: Client, engine: Engine) -> None:
    for image_id in image_ids(engine).values():
        response = page.get(f"/image/{image_id}")
        assert response.headers["content-type"] == "image/jpeg"
        assert response.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "path", ["/image/0", "/image/99999999999999999999", "/image/-1", "/image/a.jpg", "/image/..%2f"]
)
def test_no_image_by_anything_else(page: Client, path: str) -> None:
    response = page.get(path)
    if response.status_code == 307:  # what ends with a slash is asked for without it
        assert response.headers["location"] == "/image/.."
        response = page.get("/image/%2e%2e")  # as written: clients resolve ".."
    assert response.status_code == 404


# --- query sets


def test_sets(page: Client, engine: Engine, tmp_path: Path) -> None:
    assert "No query set yet" in page.get("/sets").text
    add_queries(
        engine, "people", SearchRequest(("gallery",), no_duplicates=True), [tmp_path / "crops"]
    )
    assert "Never run" in page.get("/sets/people").text
    run_queries(engine, "people", None, None)
    listed, shown = page.get("/sets").text, page.get("/sets/people").text
    assert "4 queries" in listed
    assert "current" in listed
    assert "stale" not in shown
    assert shown.count("<article") == 4
    assert len(ranked(shown)) == 12
    assert "find this person: rank 1, same person" in shown


def test_a_stale_run_says_so(page: Client, engine: Engine, tmp_path: Path) -> None:
    add_queries(engine, "people", SearchRequest(("gallery",)), [tmp_path / "crops"])
    run_queries(engine, "people", None, None)
    store(engine, tmp_path / "crops", "gallery", {"0009_c1_000000009.jpg": jpeg((9, 9, 9))})
    assert "stale" in page.get("/sets").text
    assert "This run is stale" in page.get("/sets/people").text


def test_a_set_comes_in_pages(
    page: Client, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.sets_page.QUERIES_A_PAGE", 3)
    add_queries(engine, "a/b c", SearchRequest(("gallery",)), [tmp_path / "crops"])
    run_queries(engine, "a/b c", None, None)
    first, second = page.get("/sets/a%2Fb%20c").text, page.get("/sets/a%2Fb%20c?page=2").text
    assert (first.count("<article"), second.count("<article")) == (3, 1)
    assert page.get("/sets/a%2Fb%20c?page=99").text.count("<article") == 0


def test_an_unknown_set(page: Client) -> None:
    response = page.get("/sets/nobody")
    assert response.status_code == 404
    assert "no query set &#39;nobody&#39;" in response.text


# --- health, and a database that comes back


def test_health(page: Client) -> None:
    response = page.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert re.fullmatch(r"\d{4}", response.json()["schema"])


def test_a_wrong_schema_is_not_healthy(page: Client, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    response = page.get("/health")
    assert response.status_code == 503
    assert "at schema 9999, this program needs" in response.json()["reason"]


def test_dead_connections_are_replaced(page: Client, database_url: str) -> None:
    assert page.get("/").status_code == 200
    other = make_engine(DatabaseAddress(Path(), database_url))
    with other.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    other.dispose()
    assert page.get("/").status_code == 200
