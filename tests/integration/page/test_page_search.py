"""The search page over a real database: asking, finding, narrowing, what is wrong."""

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import pytest
from sqlalchemy import Engine, text

from gallery.models import chosen
from gallery.sent_images import Upload
from search.networks import Networks
from tests.web_client import (
    BLUE,
    GREEN,
    HOSTILE,
    RED,
    Client,
    alert,
    ask,
    image_ids,
    jpeg,
    ranked,
)
from web.pages.search_view import MATCHES_A_PAGE
from web.uploads import KEPT_SECONDS, OWN_BYTES, UploadGone, Uploads


def audit(engine: Engine) -> Sequence[Any]:
    with engine.connect() as connection:
        return connection.execute(
            text("SELECT * FROM audit WHERE action = 'search' ORDER BY id")
        ).all()


# --- search by an upload


def test_an_uploaded_image_finds_its_person(page: Client) -> None:
    body = ask(page, jpeg(RED, (40, 80)), "0001_c7_000000009.jpg")
    assert ranked(body)[:2] == ["0001_c1_000000001.jpg", "0001_c2_000000002.jpg"]
    assert 'class="frame crop same"' in body
    assert 'class="frame crop other"' in body
    assert "complete" in body
    assert "4 candidates" in body
    assert "find this person: rank 1, same person, distance 0.0" in body


def test_the_answer_has_an_address_of_its_own(page: Client) -> None:
    files = {"image": ("who.jpg", jpeg(BLUE), "image/jpeg")}
    sent = page.post("/search", data={"collection": "gallery", "limit": "2"}, files=files)
    address = sent.headers["location"]
    assert sent.status_code == 303
    assert address.endswith("#results")
    first, again = page.get(address).text, page.get(address).text
    assert ranked(first) == ranked(again)
    assert ranked(first)[0] == "0003_c3_000000004.jpg"
    # narrowed without choosing the file again
    narrowed = page.get(address.replace("limit=2", "limit=1")).text
    assert ranked(narrowed) == ranked(first)[:1]
    assert "cut off at the limit of 1" in narrowed


def test_the_network_is_loaded_once(page: Client, loads: list[str]) -> None:
    loads.clear()
    for colour in (RED, GREEN, BLUE):
        ask(page, jpeg(colour, (50, 100)))
    assert len(loads) == 1


def test_the_network_is_loaded_once_by_many_threads(engine: Engine, loads: list[str]) -> None:
    networks, model = Networks(), chosen(engine, None)
    loads.clear()
    with ThreadPoolExecutor(8) as pool:
        given = {id(network) for network in pool.map(lambda _: networks(model, None), range(32))}
    assert (len(given), len(loads)) == (1, 1)


def test_a_stored_image_is_not_embedded_again(page: Client, loads: list[str]) -> None:
    loads.clear()
    ask(page, jpeg(RED))
    assert loads == []


def test_an_upload_is_kept_for_a_while(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"image": ("who.jpg", jpeg(BLUE), "image/jpeg")}
    address = page.post("/search", data={"collection": "gallery"}, files=files).headers["location"]
    later = time.monotonic() + KEPT_SECONDS + 1
    monkeypatch.setattr("web.uploads.time.monotonic", lambda: later)
    response = page.get(address)
    assert response.status_code == 404
    assert "is not kept any more; choose it again" in alert(response.text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no image", "no image that can be read; expected JPEG"),
        (jpeg(RED)[:300], "a damaged image"),
        (b"\0", "no image that can be read"),
    ],
)
def test_a_broken_image_is_refused_and_the_form_kept(page: Client, data: bytes, said: str) -> None:
    files = {"image": (f"{HOSTILE}.jpg", data, "image/jpeg")}
    response = page.post("/search", data={"where": "hat", "purpose": "a <b>test"}, files=files)
    assert response.status_code == 400
    assert said in alert(response.text)
    assert "<script>" not in response.text
    assert 'value="a &lt;b&gt;test"' in response.text
    assert ">\nhat</textarea>" in response.text


def test_an_image_outlives_an_error_in_the_filter(page: Client) -> None:
    body = ask(page, jpeg(BLUE), where="hatt")
    assert "did you mean 'hat'?" in alert(body)
    key = re.search(r'name="upload" value="([^"]+)"', body)
    assert key
    assert ranked(ask(page, upload=key[1], where="gender = male"))[0] == "0003_c3_000000004.jpg"


# --- search by a stored image, by a filter


def test_a_stored_image_finds_its_person(page: Client, engine: Engine) -> None:
    wanted = image_ids(engine)["0001_c2_000000002.jpg"]
    body = ask(page, image_id=str(wanted), no_duplicates="yes")
    assert ranked(body)[0] == "0001_c1_000000001.jpg"
    assert "0001_c2_000000002.jpg" not in ranked(body)
    others = ask(page, image_id=str(wanted), not_same_camera="yes")
    assert "0001_c2_000000002.jpg" not in ranked(others)


def test_each_match_leads_to_the_search_for_that_person(page: Client, engine: Engine) -> None:
    body = ask(page, jpeg(RED), where="gender = female", purpose="why", limit="3")
    href = re.search(r'class="frame crop [a-z]+" href="([^"]+)"', body)
    assert href
    address = unescape(href[1])
    wanted = image_ids(engine)["0001_c1_000000001.jpg"]
    assert f"image_id={wanted}" in address
    assert "purpose=why" in address
    assert "limit=3" in address
    assert "where" not in address
    assert ranked(page.get(address).text)[0] == "0001_c2_000000002.jpg"


def test_a_filter_alone(page: Client) -> None:
    body = ask(page, where="gender = female")
    assert ranked(body) == ["0001_c1_000000001.jpg", "0001_c2_000000002.jpg"]
    assert "filter: gender = female" in body


def test_ticked_boxes_are_written_into_the_filter(page: Client) -> None:
    fields: dict[str, Any] = {"is": ["gender:female", "gender:male"], "was": ["gender:male"]}
    body = ask(page, where="gender = male and camera = 3", **fields)
    assert ">\ngender in (male, female) and camera = 3</textarea>" in body
    assert re.search(r'value="gender:female" checked', body)
    assert ranked(body) == ["0003_c3_000000004.jpg"]


def test_no_match_within_the_limit(page: Client) -> None:
    body = ask(page, jpeg((128, 128, 128)), max_distance="0.001")
    assert "no match within the limit" in body


# --- errors have the command line's sentences


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "nothing to look for: give an image, or a filter with --where"),
        ({"where": "hatt"}, "did you mean 'hat'?"),
        ({"where": "hat", "collection": "galery"}, "no collection 'galery'; did you mean"),
        ({"where": "hat", "collection": []}, "choose at least one collection"),
        ({"where": "hat", "limit": "0"}, "--limit is 0; expected 1 or more"),
        ({"where": "hat", "limit": "many"}, "the limit is 'many'; expected a whole number"),
        ({"where": "hat", "limit": "9" * 30}, "expected at most"),
        ({"where": "hat", "max_distance": "1"}, "--max-distance needs an image"),
        ({"image_id": "1", "max_distance": "near"}, "'near'; expected auto or a number"),
        ({"image_id": "1", "max_distance": "nan"}, "expected 0 or more"),
        ({"image_id": "1", "max_distance": "1e308"}, "expected at most 1,000,000,000"),
        ({"image_id": "999999"}, "no image 999999 with features"),
        ({"image_id": "9" * 19}, "no image 9999999999999999999 with features"),
        ({"image_id": "1; DROP TABLE image"}, "is no image number"),
        ({"image_id": "-1"}, "is no image number"),
        ({"upload": "guessed"}, "is not kept any more"),
        ({"where": "hat" * 4000}, "characters; at most 10,000 are read"),
    ],
)
def test_errors(page: Client, fields: dict[str, Any], said: str) -> None:
    body = ask(page, **fields)
    assert said in alert(body)
    kept = fields.get("image_id", "")
    assert f'name="image_id" inputmode="numeric" size="12" value="{kept}"' in body


def test_what_cannot_be_stored_is_refused(page: Client) -> None:
    response = page.post(
        "/search", data={"collection": "gallery", "where": "hat", "purpose": "a\0b"}
    )
    assert response.status_code == 400
    assert "purpose holds a character that cannot be stored" in response.text


def test_a_wrong_filter_is_pointed_at(page: Client) -> None:
    response = page.get("/search?where=camera+=+3+and+hatt&collection=gallery")
    assert response.status_code == 400
    found = re.search(r"<pre>(.*?)</pre>", response.text, re.S)
    assert found
    written, caret = found[1].splitlines()
    assert written[caret.index("^") :].startswith("hatt")


# --- audit


def test_every_answer_is_audited_with_its_purpose(page: Client, engine: Engine) -> None:
    ask(page, jpeg(RED), "who.jpg", purpose="lost child")
    ask(page, where="gender = female")
    ask(page, where="hatt")
    uploaded, filtered = audit(engine)
    assert uploaded.purpose == "lost child"
    stored = image_ids(engine)["0001_c1_000000001.jpg"]
    assert uploaded.question["query"] == f"id:{stored}"  # its content is in the gallery
    assert len(uploaded.result_ids) == 4
    assert filtered.purpose is None
    assert filtered.question["filter"] == "gender = female"


# --- long lists, many uploads


def test_a_long_answer_comes_in_pages(
    page: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MATCHES_A_PAGE > 2
    monkeypatch.setattr("web.pages.search_view.MATCHES_A_PAGE", 3)
    wanted = image_ids(engine)["0003_c3_000000004.jpg"]
    address = f"/search?collection=gallery&image_id={wanted}"
    first = page.get(address).text
    assert "1–3 of 4 matches" in first
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = page.get(unescape(following[1])).text
    assert len(ranked(first)) == 3
    assert len(ranked(second)) == 1
    assert 'rel="prev"' in second


def test_uploads_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.uploads.KEPT_BYTES", OWN_BYTES + 10)
    uploads = Uploads()
    first, second = (uploads.keep(Upload(name, b"x" * 6)) for name in ("a", "b"))
    assert uploads.get(second).name == "b"
    with pytest.raises(UploadGone):
        uploads.get(first)
