"""The parts of the search page that its controls ask for, without a browser."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import Engine, event, text

from tests.web_client import (
    HOSTILE,
    RED,
    Client,
    image_ids,
    jpeg,
    ranked,
)


def part(page: Client, path: str, cause: str = "facets", **fields: Any) -> httpx.Response:
    """What the page's script asks for when a control changes."""
    address = f"{path}?{urlencode({'collection': 'gallery', **fields}, doseq=True)}"
    return page.get(address, headers={"hx-request": "true", "hx-trigger": cause})


def searches(engine: Engine) -> int:
    with engine.connect() as connection:
        stmt = text("SELECT count(*) FROM audit WHERE action = 'search'")
        count: int = connection.execute(stmt).scalar_one()
    return count


def test_a_tick_searches_only_where_an_answer_is_shown(page: Client, engine: Engine) -> None:
    before = part(page, "/search/live", **{"is": "gender:female"})
    assert before.headers["hx-reswap"] == "none"
    assert "gender = female</textarea>" in before.text
    assert searches(engine) == 0
    shown = part(page, "/search/live", **{"is": "gender:female", "asked": "yes"})
    assert shown.headers["hx-push-url"] == "/search?collection=gallery&where=gender+%3D+female"
    assert len(ranked(shown.text)) == 2
    assert searches(engine) == 1


def test_typing_never_overwrites_what_is_typed(page: Client, engine: Engine) -> None:
    typed = part(page, "/search/live", "where", where="gender = fem", asked="yes")
    assert "did you mean" in typed.text
    assert "<textarea" not in typed.text
    assert typed.headers["hx-reswap"] == "none"
    assert searches(engine) == 0


def test_the_slider_replaces_the_address(page: Client, engine: Engine) -> None:
    wanted = image_ids(engine)["0001_c1_000000001.jpg"]
    moved = part(
        page, "/search/live", "slider",
        image_id=wanted, within="0.1", within_was="1.2", asked="yes",
    )  # fmt: skip
    assert moved.headers["hx-replace-url"].endswith(f"image_id={wanted}&max_distance=0.1")
    assert ranked(moved.text) == ["0001_c1_000000001.jpg", "0001_c2_000000002.jpg"]
    assert 'id="max_distance" name="max_distance" value="0.1"' in moved.text
    assert 'class="pill' not in moved.text


def test_an_error_is_a_part_of_the_page(page: Client) -> None:
    wrong = part(page, "/search/live", image_id="1", max_distance="near", asked="yes")
    assert "expected auto or a number" in wrong.text
    assert "<html" not in wrong.text
    gone = part(page, "/search/distances", upload="guessed")
    assert (gone.status_code, gone.headers["hx-retarget"]) == (404, "#alert")
    assert "<html" not in gone.text


def test_distances_for_eyes_and_ears(page: Client, engine: Engine) -> None:
    wanted = image_ids(engine)["0001_c1_000000001.jpg"]
    drawn = part(page, "/search/distances", image_id=wanted).text
    assert "Distances of 4 images to the query: the nearest 0.000" in drawn
    assert drawn.count("<rect") > 4
    alone = page.get(f"/search/distances?collection=gallery&image_id={wanted}").text
    assert "<html" in alone
    assert 'type="range"' not in alone


def test_a_kept_answer_is_read_on_without_a_new_search(
    page: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.search_view.MATCHES_A_PAGE", 3)
    wanted = image_ids(engine)["0003_c3_000000004.jpg"]
    first = page.get(f"/search?collection=gallery&image_id={wanted}").text
    more = re.search(r'class="more" hx-get="([^"]+)"', first)
    assert more
    address = unescape(more[1])
    assert len(ranked(page.get(address).text)) == 1
    assert searches(engine) == 1
    forgotten = re.sub("answer=.*", "answer=forgotten", address)
    assert ranked(page.get(forgotten).text) == ranked(page.get(address).text)
    assert searches(engine) == 2


@pytest.mark.parametrize(
    ("kind", "start"), [("csv", b"query,rank,"), ("png", b"\x89PNG"), ("html", b"<!doctype html>")]
)
def test_an_answer_is_taken_along(page: Client, engine: Engine, kind: str, start: bytes) -> None:
    wanted = image_ids(engine)["0001_c1_000000001.jpg"]
    taken = page.get(f"/search/export?collection=gallery&image_id={wanted}&as={kind}")
    assert taken.content.lower().startswith(start.lower())
    assert taken.headers["content-disposition"] == f'attachment; filename="matches.{kind}"'
    with engine.connect() as connection:
        said = connection.execute(text("SELECT * FROM audit ORDER BY id DESC LIMIT 1")).one()
    assert (said.action, len(said.result_ids)) == ("export matches", 4)
    assert page.get("/search/export?as=exe").status_code == 404


def keep(page: Client, name: str, **fields: str) -> httpx.Response:
    files = {"image": (name, jpeg(RED, (40, 80)), "image/jpeg")}
    return page.post("/review/keep", data={"collection": "gallery", **fields}, files=files)


def test_a_question_is_kept_and_judged(page: Client, engine: Engine) -> None:
    kept = keep(page, f"{HOSTILE}, it.jpg", set="people")
    assert kept.status_code == 303
    body = page.get(kept.headers["location"]).text
    assert "<script>" not in body
    wanted = image_ids(engine)["0001_c1_000000001.jpg"]
    query = re.search(r'name="query" value="([^"]+)"', body)
    assert query
    fields = {"set": "people", "query": unescape(query[1]), "image": str(wanted), "rank": "1"}
    done = page.post("/review", data={**fields, "said": "rejected"})
    assert done.headers["location"].endswith(f"#verdict-{wanted}")
    assert "is-rejected" in page.get(kept.headers["location"]).text
    undone = page.post(
        "/review", data={**fields, "said": "withdrawn"}, headers={"hx-request": "true"}
    )
    assert f'id="verdict-{wanted}"' in undone.text
    assert "0 confirmed, 0 rejected" in undone.text
    assert page.post("/review", data={**fields, "said": "maybe"}).status_code == 400
    # what a browser pastes is always called alike
    again = keep(page, "image.png", set="people"), keep(page, "image.png", set="people")
    assert again[0].headers["location"].endswith("query=image.png#results")
    assert again[1].headers["location"].endswith("query=image-2.png#results")


def test_what_cannot_be_kept(page: Client) -> None:
    data = {"collection": "gallery", "where": "hat", "set": "people"}
    assert "cannot be kept" in page.post("/review/keep", data=data).text
    assert "name the query set" in keep(page, "who.jpg").text


def test_a_set_that_was_never_run_says_so(page: Client) -> None:
    keep(page, "who.jpg", set="people")
    assert "was never run" in page.get("/review?set=people").text
    assert page.get("/review?set=nobody").status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/search?collection=gallery",
        "/search?collection=gallery&where=hat",
        "/search?collection=gallery&image_id={}&max_distance=1",
        "/search/live?collection=gallery&image_id={}&slider=0.5&asked=yes",
        "/models",
    ],
)
def test_no_view_counts_a_whole_table(page: Client, engine: Engine, address: str) -> None:
    """Numbers of images are kept: of a million, counting takes seconds at each move of a slider."""
    sent: list[str] = []
    address = address.format(min(image_ids(engine).values()))
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    shown = page.get(address, headers={"hx-request": "true", "hx-trigger": "slider"})
    assert shown.status_code == 200
    whole = re.compile(r"count\(\*\)[^()]*FROM (image|feature)( GROUP BY [^;]*)?$", re.DOTALL)
    assert sent
    assert [statement for statement in sent if whole.search(statement.rstrip())] == []
