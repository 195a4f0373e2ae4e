"""`/api/v1`: lists in pieces, stored queries run, judged and exported, and what looks after it."""

import csv
import io
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.connect import HEAD
from tests.api_client import V1, detail, ids_in, ingest, sent
from tests.batch_answers import read_reid_test
from tests.web_client import BLUE, SHADES, Client, jpeg, store
from web.app import create_app

# --- lists in pieces


def test_images_come_in_pieces(api: Client, engine: Engine, tmp_path: Path) -> None:
    store(engine, tmp_path / "crops", "pieces", {name: jpeg(SHADES[name]) for name in SHADES})
    address: str | None = f"{V1}/collections/pieces/images?limit=2&where=camera%20%3C%203"
    seen, pieces = [], 0
    while address:
        response = api.get(address)
        document = response.json()
        seen += [item["path"].rsplit("/")[-1] for item in document["items"]]
        address = document["next"]
        if address:
            assert response.headers["link"] == f'<{address}>; rel="next"'
        pieces += 1
        # what comes in the meantime is not missed, what was shown not shown again
        if pieces == 1:
            ingest(api, "0009_c1_000000009.jpg", jpeg((3, 4, 5)), "pieces")
    assert pieces == 2
    assert seen == [*sorted(SHADES)[:3], "0009_c1_000000009.jpg"]


@pytest.mark.parametrize("cursor", ["x", "WzFd!", "WzEsMl0", "LTE", "W10", "WyJhIl0"])
def test_a_cursor_of_another_list(api: Client, cursor: str) -> None:
    response = api.get(f"{V1}/collections/gallery/images", params={"cursor": cursor})
    assert detail(response, 400) == "the cursor is none that this list gave; start without it"


# --- stored queries


def make_set(api: Client, engine: Engine, name: str, collection: str = "gallery") -> str:
    ids = list(ids_in(engine, collection).values())
    question = {"collections": [collection], "image_ids": ids[:2], "no_duplicates": True}
    made = api.post(f"{V1}/query-sets", json={"name": name, **question})
    assert made.status_code == 201, made.text
    location: str = made.headers["location"]
    return location


def test_a_set_is_made_run_judged_and_exported(api: Client, engine: Engine) -> None:
    address = make_set(api, engine, "a/b c")
    sent_too = api.post(
        f"{V1}/query-sets",
        data={"name": "a/b c", "collections": ["gallery"], "limit": "2"},
        files=sent("who.jpg", jpeg(BLUE)),
    )
    assert sent_too.json() == {"name": "a/b c", "queries": 1, "known": 1, "failed": []}
    run = api.post(f"{address}/runs", json={"purpose": "a test"})
    assert run.status_code == 201
    assert run.json()["queries"] == 3
    shown = api.get(address).json()
    assert [row["queries"] for row in shown["questions"]] == [2, 1]
    assert shown["runs"][0]["id"] == run.json()["id"]

    matches, following = [], f"{run.headers['location']}?limit=3"
    while following:
        piece = api.get(following).json()
        matches += piece["items"]
        following = piece["next"]
    assert len(matches) == run.json()["matches"] == 8
    assert [m["rank"] for m in matches] == [1, 2, 3, 1, 2, 3, 1, 2]

    first = matches[0]
    verdict = f"{address}/queries/{first['query']}/verdicts/{first['image_id']}"
    given = api.send("PUT", verdict, json={"verdict": "confirmed"})
    assert given.json()["changed"]
    again = api.send("PUT", verdict, json={"verdict": "rejected", "note": "no"})
    assert again.json()["replaced"] == "confirmed"
    assert api.get(address).json()["verdicts"] == {"confirmed": 0, "rejected": 1}
    assert api.get(run.headers["location"]).json()["items"][0]["verdict"] == "rejected"
    assert api.send("DELETE", verdict).status_code == 204
    assert api.get(address).json()["verdicts"] == {"confirmed": 0, "rejected": 0}

    exported = api.get(f"{address}/export")
    assert exported.headers["content-disposition"] == 'attachment; filename="reid_test.txt"'
    lines = dict(read_reid_test(exported.text))
    assert len(lines) == 3
    rows = list(csv.DictReader(io.StringIO(api.get(f"{address}/export?format=csv").text)))
    assert len(rows) == 8
    assert {row["query"] for row in rows} == set(lines)
    assert api.send("DELETE", address).status_code == 204
    assert "no query set 'a/b c'" in detail(api.get(address), 404)


def test_ranks_close_up_over_what_was_removed(api: Client, engine: Engine, tmp_path: Path) -> None:
    store(engine, tmp_path / "crops", "shrinks", {name: jpeg(SHADES[name]) for name in SHADES})
    run = api.post(f"{make_set(api, engine, 'shrinks', 'shrinks')}/runs", json={})
    items = api.get(run.headers["location"]).json()["items"]
    with engine.begin() as connection:
        stmt = text("DELETE FROM image WHERE id = :id")
        connection.execute(stmt, {"id": items[1]["image_id"]})
    following = f"{run.headers['location']}?limit=1"
    ranks: dict[str, list[int]] = {}
    while following:
        piece = api.get(following).json()
        for item in piece["items"]:
            ranks.setdefault(item["query"], []).append(item["rank"])
        following = piece["next"]
    assert sorted(ranks.values()) == [[1, 2], [1, 2]]


def test_what_stands_in_the_way(api: Client, engine: Engine) -> None:
    address = make_set(api, engine, "people")
    again = {"name": "people", "collections": ["gallery"]}
    ids = list(ids_in(engine).values())
    taken = api.post(f"{V1}/query-sets", json={**again, "image_ids": ids[:1]})
    assert "has '0001_c1_000000001.jpg' already" in detail(taken, 409)
    assert "was never run" in detail(api.get(f"{address}/export"), 409)
    none = api.post(f"{V1}/query-sets", json=again)
    assert "none of 0 images can be a query" in detail(none, 400)
    unknown = api.send("PUT", f"{address}/queries/x/verdicts/1", json={"verdict": "confirmed"})
    assert "has no query 'x'" in detail(unknown, 404)
    elsewhere = f"{address}/queries/0001_c1_000000001.jpg/verdicts/99999"
    assert "no image 'id:99999'" in detail(
        api.send("PUT", elsewhere, json={"verdict": "confirmed"}), 404
    )
    assert "no run 77" in detail(api.get(f"{V1}/runs/77/matches"), 404)


# --- the rest


def test_addresses_that_are_none(api: Client) -> None:
    assert "openapi.json" in detail(api.get(f"{V1}/nothing"), 404)
    response = api.send("PATCH", f"{V1}/search")
    assert "that method is not taken here" in detail(response, 405)
    assert response.headers["allow"] == "POST"


def test_models_and_health(api: Client) -> None:
    (model,) = api.get(f"{V1}/models").json()["items"]
    assert model["active"]
    assert model["features"] >= len(SHADES)
    assert api.get(f"{V1}/health").json() == {"status": "ok", "schema": HEAD}


def test_metrics(engine: Engine, api: Client) -> None:
    pytest.importorskip("prometheus_client")
    assert api.get(f"{V1}/metrics").is_success
    own = Client(create_app(engine))
    own.get(f"{V1}/images/9999/thumbnail")
    said = own.get(f"{V1}/metrics").text
    assert 'reid_images{collection="gallery",model="default",state="done"} 4.0' in said
    route = 'method="GET",route="/api/v1/images/{image_id}/thumbnail",status="404"'
    assert f"reid_http_request_seconds_count{{{route}}} 1.0" in said


def test_a_fault_of_our_own_is_a_problem(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inside information")

    monkeypatch.setattr("web.api.collections.list_models", broken)
    response = api.get(f"{V1}/models")
    assert "a fault of the program" in detail(response, 500)
    assert "inside" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
