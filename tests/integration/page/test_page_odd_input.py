"""What nobody meant to send: never a fault of the program, always a sentence."""

import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from tests.web_client import Client, image_ids

NUMBERS = ("1e308", "nan", "-1", "0x10", "١", "²", "9" * 19, "9" * 20, "1" * 5_000, "")
TEXTS = ("\x01", "\ufffe", "💥", "%s", "'", "\\", "a\r\nb", "../..", "//", "?#", "x" * 9_999)


def addresses() -> Iterator[str]:
    for number in NUMBERS:
        for field in ("image_id", "limit", "page", "max_distance", "within"):
            fields = {"collection": "gallery", "image_id": "1", field: number}
            yield f"/search?{urlencode(fields)}"
        last = {"collection": "gallery", "image_id": "1", "last": number, "max_distance": number}
        yield f"/search/distances?{urlencode(last)}"
        yield f"/collections/gallery?{urlencode({'after': number})}"
        yield f"/sets/x/diff?{urlencode({'before': number, 'after': number})}"
        yield f"/image/{quote(number, safe='')}"
        yield f"/api/v1/images/{quote(number, safe='')}"
        yield f"/api/v1/runs/{quote(number, safe='')}/matches"
        yield f"/api/v1/collections/gallery/images?{urlencode({'limit': number})}"
        yield f"/api/v1/collections/gallery/images?{urlencode({'cursor': number})}"
    for text in TEXTS:
        for field in ("collection", "where", "upload", "is"):
            yield f"/search?{urlencode({'image_id': '1', 'collection': 'gallery', field: text})}"
        for path in ("/collections/", "/models/", "/sets/", "/api/v1/query-sets/"):
            yield path + quote(text, safe="")
        yield f"/review?{urlencode({'set': text, 'query': text})}"
        yield f"/attributes?{urlencode({'collection': text})}"
        yield f"/models/evaluation?{urlencode({'query': text, 'gallery': text})}"


def test_no_address_is_a_fault_of_the_program(page: Client) -> None:
    seen = 0
    for address in addresses():
        answer = page.get(address)
        assert answer.status_code < 500, (address, answer.text[-400:])
        seen += 1
    assert seen > 200


def test_no_value_in_a_body_is_a_fault_of_the_program(page: Client) -> None:
    values = (
        "1e308",
        "-1e308",
        "1e400",
        "NaN",
        "1e-320",
        "true",
        '"1e308"',
        "[1]",
        "{}",
        "9" * 400,
    )
    for field in ("max_distance", "limit", "candidates", "image_ids"):
        for value in values:
            fields = {"collections": '["gallery"]', "image_ids": "[1]", "rerank": "true"}
            fields[field] = value
            body = "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
            answer = page.post(
                "/api/v1/search", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code < 500, (body, answer.text)


@pytest.mark.parametrize("text", [r"\ud800", r"\u0000", r"\udfff\ud800", r"\uffff", "\x01"])
def test_no_text_in_a_body_is_a_fault_of_the_program(page: Client, text: str) -> None:
    for fields in (f'"collections": ["{text}"]', f'"collections": ["gallery"], "where": "{text}"',
                   f'"collections": ["gallery"], "where": "hat", "purpose": "{text}"'):  # fmt: skip
        answer = page.post(
            "/api/v1/search",
            content="{" + fields + "}",
            headers={"content-type": "application/json"},
        )
        assert 200 <= answer.status_code < 500, (fields, answer.text)


def test_no_field_of_a_form_is_a_fault_of_the_program(page: Client) -> None:
    known = next(iter(image_ids(page.app.state.reid.engine).values()))
    for text in ("\0", "a\0b", *NUMBERS, *TEXTS):
        for fields in (
            {"set": text, "query": "q", "image": str(known), "said": "confirmed"},
            {"set": "s", "query": text, "image": str(known), "said": "confirmed"},
            {"set": "s", "query": "q", "image": text, "said": "withdrawn"},
            {"set": "s", "query": "q", "image": str(known), "said": text},
        ):
            answer = page.post("/review", data=fields)
            assert 400 <= answer.status_code < 500, (fields, answer.text[-300:])
        for path in ("/search", "/review/keep"):
            for field in ("collection", "image_id", "set"):
                fields = {"collection": "gallery", "image_id": str(known), field: text}
                answer = page.post(path, data=fields)
                assert answer.status_code < 500, (path, fields, answer.text[-300:])
        answer = page.post(
            "/api/v1/search", files={"image": (text or "x", b"no image", "image/jpeg")},
            data={"collections": "gallery"},
        )  # fmt: skip
        assert 400 <= answer.status_code < 500, (text, answer.text)


def test_what_is_wrong_is_said_in_both_languages(page: Client) -> None:
    said = page.get("/search?collection=gallery&image_id=1&max_distance=1e308")
    asked = {"collections": ["gallery"], "image_ids": [1], "max_distance": 1e308}
    problem = page.post("/api/v1/search", content=json.dumps(asked),
                        headers={"content-type": "application/json"})  # fmt: skip
    assert said.status_code == problem.status_code == 400
    assert problem.json()["detail"] in said.text
