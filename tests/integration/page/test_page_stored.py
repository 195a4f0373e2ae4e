"""What is stored, over a real database: collections, their images and failures, models, and what
can be done with a query set."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gallery.model_card import LimitPoint, card
from query_sets.queries import add as add_queries
from query_sets.queries import run as run_queries
from search.facets import counts
from search.request import SearchRequest
from tests.rows import failures
from tests.web_client import (
    BLUE,
    HOSTILE,
    RED,
    Client,
    image_ids,
    jpeg,
    store,
)
from web.app import create_app
from web.pages.bars import distributions
from web.pages.limits import limits_chart
from web.tokens import Role, Token


def shown(body: str) -> list[int]:
    """The ids of a gallery's images, in order."""
    return [int(number) for number in re.findall(r'<li data-image="(\d+)"', body)]


def cells(body: str, name: str) -> list[str]:
    """The cells of the row of that name."""
    row = re.search(rf"<tr><th[^>]*>(?:<a[^>]*>)?<bdi>{name}</bdi>.*?</tr>", body, re.S)
    assert row, body
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row[0])]


# --- collections


def test_collections_are_counted(page: Client, engine: Engine, tmp_path: Path) -> None:
    store(engine, tmp_path / "bad", "mixed", {"1.jpg": b"no image", "2.jpg": jpeg(BLUE)})
    body = page.get("/collections").text
    # space, images, searchable, waiting, failed, people, cameras
    assert cells(body, "gallery")[:7] == ["default", "4", "4", "0", "0", "3", "3"]
    assert cells(body, "mixed")[:7] == ["default", "2", "1", "0", "1", "0", "0"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE task SET state = 'pending' WHERE state = 'done'"))
    assert cells(page.get("/collections").text, "gallery")[3] == "4"


def test_a_gallery_comes_in_pieces(
    page: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.gallery.IMAGES_AT_ONCE", 3)
    ids = sorted(image_ids(engine).values())
    body = page.get("/collections/gallery").text
    assert shown(body) == ids[:3]
    link = re.search(r'<a href="([^"]+)">More images', body)
    assert link
    rest = page.get(link[1]).text
    assert shown(rest) == ids[3:]
    assert "More images" not in rest
    part = page.get(f"{link[1]}&part=images", headers={"HX-Request": "true"}).text
    assert shown(part) == ids[3:]
    assert "<html" not in part
    assert shown(page.get("/collections/gallery?after=99999999999999999999").text) == []


def test_a_gallery_is_narrowed_by_boxes_and_by_text(page: Client, engine: Engine) -> None:
    ids = image_ids(engine)
    women = sorted(ids[name] for name in ids if name.startswith("0001"))
    assert shown(page.get("/collections/gallery?where=gender+%3D+female").text) == women
    ticked = page.get("/collections/gallery?where=&is=gender:female")
    assert shown(ticked.text) == women
    assert "gender = female</textarea>" in ticked.text
    both = page.get("/collections/gallery?where=camera+%3D+1&is=gender:female")
    assert shown(both.text) == women[:1]
    live = page.get("/collections/gallery?is=gender:female", headers={"HX-Request": "true"})
    assert live.headers["hx-push-url"] == "/collections/gallery?where=gender+%3D+female"


def test_a_filter_that_cannot_be_read(page: Client) -> None:
    response = page.get("/collections/gallery?where=hatt")
    assert response.status_code == 400
    assert "did you mean &#39;hat&#39;" in response.text
    assert ">\nhatt</textarea>" in response.text
    assert shown(response.text) == []


def test_an_unknown_collection(page: Client) -> None:
    for method, path in (("GET", "/collections/galery"), ("POST", "/collections/galery/retry")):
        response = page.send(method, path)
        assert response.status_code == 404
        assert "did you mean &#39;gallery&#39;" in response.text


def test_what_failed_is_tried_again(page: Client, engine: Engine, tmp_path: Path) -> None:
    for name in ("one/two", "other"):
        store(engine, tmp_path / name, name, {f"{HOSTILE[:7]}.jpg": b"no image"})
    body = page.get("/collections/one%2Ftwo").text
    assert "no image that can be read" in body
    assert "&lt;script.jpg" in body
    assert "every 2s" not in body
    foreign = page.post("/collections/one%2Ftwo/retry", headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    assert len(failures(engine)) == 1, "both files have one name"
    response = page.post("/collections/one%2Ftwo/retry")
    assert (response.status_code, response.headers["location"]) == (
        303, "/collections/one%2Ftwo#state",
    )  # fmt: skip
    with engine.connect() as connection:
        states = connection.execute(
            text(
                "SELECT c.name, t.state FROM task t JOIN image i ON i.id = t.image_id"
                " JOIN collection c ON c.id = i.collection_id WHERE c.name <> 'gallery'"
            )
        )
        assert {row.name: row.state for row in states} == {"one/two": "pending", "other": "failed"}
    waiting = page.get("/collections/one%2Ftwo").text
    assert "every 2s" in waiting
    assert "1 file waits" in waiting
    ours = page.get("/collections/one%2Ftwo?part=state", headers={"HX-Request": "true"}).text
    assert "every 2s" in ours
    done = page.get("/collections/other?part=state", headers={"HX-Request": "true"}).text
    assert "Nothing waits any more" in done
    assert "every 2s" not in done


# --- attributes


def test_attributes_as_shares(page: Client, engine: Engine) -> None:
    gender = distributions(counts(engine, ["gallery"], None), ["gallery"])[0]
    assert [(bar.word, bar.count, bar.share) for bar in gender.bars] == [
        ("male", 2, "50 %"), ("female", 2, "50 %"),
    ]  # fmt: skip
    assert gender.bars[1].address == "/search?collection=gallery&where=gender+%3D+female"
    body = page.get("/attributes?collection=gallery").text
    assert "4 images" in body
    assert 'width="50.00%"' in body
    assert "Choose a collection" in page.get("/attributes").text
    assert page.get("/attributes?collection=nobody").status_code == 404


# --- models


def test_a_model_says_what_it_is(page: Client, engine: Engine) -> None:
    assert "/models/default" in page.get("/models").text
    body = page.get("/models/default").text
    found = card(engine, "default")
    assert found.chosen is not None
    assert f"{found.chosen.max_distance:.4f}" in body
    assert f"<strong>{100 * found.chosen.precision:.0f} %</strong>" in body
    assert found.figures[0].rows[0].name == "mAP"
    assert found.figures[0].rows[0].guess is not None
    assert f"{found.figures[0].rows[0].value:.3f}" in body
    assert any("never a proof of identity" in line for line in found.limits)
    assert page.get("/models/nobody").status_code == 404


def test_a_model_that_says_little(page: Client, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE model SET max_distance = NULL, calibration = '{}', cutoffs = '{}',"
                ' header = header || \'{"metrics": {}, "recipe": {}}\','
                " content_hash = '\\x00'"
            )
        )
    response = page.get("/models/default")
    assert response.status_code == 200
    assert "says nothing of its figures" in response.text
    assert "reid calibrate --help" in response.text
    assert "never a proof" not in response.text


def test_limits_as_lines() -> None:
    points = [
        LimitPoint("near", 0.5, 1.0, 0.25, 0.0),
        LimitPoint("far", 1.0, 0.5, 1.0, 0.1),
    ]
    chart = limits_chart(points, 0.5)
    assert chart is not None
    precision, recall = chart.lines
    assert [(dot.left, dot.top) for dot in precision.dots] == [
        ("50.000", "0.0"), ("100.000", "75.0"),
    ]  # fmt: skip
    assert [dot.top for dot in recall.dots] == ["112.5", "0.0"]
    assert len(recall.steps) == 1
    assert chart.chosen is not None
    assert chart.chosen.left == "50.000"
    assert limits_chart(points[:1], 0.5) is None


# --- query sets


@pytest.fixture
def people(page: Client, engine: Engine, tmp_path: Path) -> Client:
    """A page with a query set of a name that is hard on addresses, run once."""
    add_queries(engine, "a/b c", SearchRequest(("gallery",)), [tmp_path / "crops"])
    run_queries(engine, "a/b c", None, None)
    return page


def test_a_set_is_run_and_compared(people: Client, engine: Engine, tmp_path: Path) -> None:
    assert "Compare" not in people.get("/sets/a%2Fb%20c").text
    store(engine, tmp_path / "crops", "gallery", {"0001_c4_000000009.jpg": jpeg(RED)})
    ran = people.post("/sets/a%2Fb%20c/run")
    assert (ran.status_code, ran.headers["location"]) == (303, "/sets/a%2Fb%20c#runs")
    first, second = sorted(int(n) for n in re.findall(r'<option value="(\d+)">', _set(people)))
    address = f"/sets/a%2Fb%20c/diff?before={first}&after={second}"
    body = people.get(address).text
    assert "4 of 4 queries differ" in body
    assert "4 came" in body
    assert "has changed" in body
    same = people.get(address.replace(f"after={second}", f"after={first}")).text
    assert "both runs give the same lists" in same
    for wrong in ("x", "999999"):
        response = people.get(f"/sets/a%2Fb%20c/diff?before={wrong}&after={second}")
        assert response.status_code == 404
        assert f"has no run {wrong}" in response.text


def _set(page: Client) -> str:
    body = page.get("/sets/a%2Fb%20c").text
    found = re.search(r'<select name="before">.*?</select>', body, re.S)
    assert found
    return found[0].replace(" selected", "")


def test_a_run_is_taken_along(people: Client, engine: Engine) -> None:
    for kind, start in (("reid_test", b"0001_c1_"), ("csv", b"query,"), ("png", b"\x89PNG")):
        response = people.get(f"/sets/a%2Fb%20c/export?as={kind}")
        assert response.status_code == 200
        assert response.content.startswith(start)
        assert "attachment" in response.headers["content-disposition"]
    with engine.connect() as connection:
        kinds = list(connection.scalars(text("SELECT action FROM audit ORDER BY id DESC LIMIT 3")))
    assert sorted(kinds) == ["export matches", "export matches", "export reid-test"]
    assert people.get("/sets/a%2Fb%20c/export?as=exe").status_code == 400


def test_a_set_may_be_called_like_a_part(page: Client, engine: Engine, tmp_path: Path) -> None:
    add_queries(engine, "x/diff", SearchRequest(("gallery",)), [tmp_path / "crops"])
    for path in ("/sets/x%2Fdiff", "/sets/x/diff"):
        assert "What is asked" in page.get(path).text
    never = page.get("/sets/x%2Fdiff/export?as=csv")
    assert never.status_code == 409
    assert "was never run" in never.text


# --- roles


@pytest.mark.usefixtures("people")
def test_who_may_look_may_not_change(engine: Engine) -> None:
    tokens = [Token("r" * 20, Role.READ), Token("v" * 20, Role.REVIEW)]
    page = Client(create_app(engine, tokens=tokens))
    reader, reviewer = ({"Authorization": f"Bearer {t.secret}"} for t in tokens)
    for path in ("/", "/collections", "/collections/gallery", "/models/default", "/attributes"):
        assert page.get(path).status_code == 401
        assert page.get(path, headers=reader).status_code == 200
    assert page.post("/sets/a%2Fb%20c/run", headers=reader).status_code == 403
    assert page.post("/sets/a%2Fb%20c/run", headers=reviewer).status_code == 303
    refused = page.post("/collections/gallery/retry", headers=reviewer)
    assert refused.status_code == 403
    assert "admin" in refused.text


# --- an evaluation with its plots


def test_an_evaluation_is_one_page_to_keep(page: Client, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pictures = {"0001_c4_1.jpg": jpeg(RED), "0002_c5_1.jpg": jpeg(BLUE)}
    store(engine, tmp_path / "asked", "asked", pictures)
    address = "/models/evaluation?model=default&query=asked&gallery=gallery"
    kept = page.get(f"{address}&purpose=test")
    assert kept.status_code == 200, kept.text
    assert kept.headers["content-disposition"] == 'attachment; filename="evaluation.html"'
    assert kept.text.count("data:image/png;base64,") > 2
    with engine.connect() as connection:
        stmt = text("SELECT purpose FROM audit WHERE action = 'evaluate report'")
        assert list(connection.scalars(stmt)) == ["test"]
    wrong = page.get("/models/evaluation?model=default&query=asked")
    assert wrong.status_code == 400
    assert "choose whose images ask" in wrong.text
    store(engine, tmp_path / "nameless", "nameless", {"1.jpg": jpeg(RED)})
    nobody = page.get("/models/evaluation?model=default&query=nameless&gallery=gallery")
    assert nobody.status_code == 422
    assert "names a person" in nobody.text
    assert page.get("/models/evaluation?model=nobody&query=a&gallery=gallery").status_code == 404


def test_a_models_page_offers_an_evaluation(page: Client, engine: Engine) -> None:
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT name FROM model WHERE active"))
    assert "<option>gallery</option>" in page.get(f"/models/{name}").text
