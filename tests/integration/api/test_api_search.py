"""`/api/v1`: images in, people found, with the command line's document and sentences."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, text

from errors import ReidError
from gallery.sent_images import remove_kept
from gallery.status import remove_collection
from images.decode import content_hash
from search.answering import search
from search.request import SearchRequest
from tests.api_client import V1, detail, ids_in, ingest, sent
from tests.web_client import BLUE, GREEN, RED, Client, ColourNetwork, jpeg

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"


# --- images


def test_an_image_is_taken_in_and_found(api: Client, engine: Engine, home: Path) -> None:
    data = jpeg((250, 250, 10))
    response = ingest(api, "0007_c4_000000007.jpg", data)
    row = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{V1}/images/{row['id']}"
    assert row["path"] == f"{content_hash(data).hex()[:32]}/0007_c4_000000007.jpg"
    assert (row["pid"], row["camid"], row["width"], row["height"]) == (7, 4, 32, 64)
    assert row["attributes"]["gender"] == "female"
    assert api.get(response.headers["location"]).json() == row
    thumbnail = api.get(f"{response.headers['location']}/thumbnail")
    assert thumbnail.content.startswith(b"\xff\xd8")
    found = api.post(
        f"{V1}/search", json={"collections": ["taken"], "image_ids": [row["id"]], "limit": 1}
    ).json()
    assert found["queries"][0]["matches"][0]["image_id"] == row["id"]
    kept = next((home / "uploads").rglob("*.jpg"))
    assert kept.read_bytes() == data
    assert stat.S_IMODE((home / "uploads").stat().st_mode) == 0o700
    with engine.connect() as connection:
        audited = connection.execute(
            text("SELECT question, result_ids FROM audit ORDER BY id DESC LIMIT 2")
        ).all()
    assert audited[1].question == {"collection": "taken", "model": row["model"]}
    assert audited[1].result_ids == [row["id"]]


def test_the_same_image_is_one_image(api: Client, engine: Engine) -> None:
    first = ingest(api, "who.jpg", jpeg((9, 9, 9)), "same")
    again = ingest(api, "who.jpg", jpeg((9, 9, 9)), "same")
    other_name = ingest(api, "else.jpg", jpeg((9, 9, 9)), "same")
    assert [r.status_code for r in (first, again, other_name)] == [201, 200, 201]
    assert again.json() == first.json()
    assert set(ids_in(engine, "same").values()) == {first.json()["id"], other_name.json()["id"]}


def test_a_collection_is_made_in_its_identity_space(api: Client) -> None:
    assert ingest(api, "a.jpg", jpeg(RED), collection="new/one", identities="north").is_success
    listed = api.get(f"{V1}/collections").json()["items"]
    assert {"name": "new/one", "identities": "north", "images": 1} in listed
    refused = ingest(api, "b.jpg", jpeg(BLUE), collection="new/one", identities="south")
    assert "has identities 'north', not 'south'" in detail(refused, 409)


@pytest.mark.parametrize(
    ("name", "data", "status", "said"),
    [
        ("a.jpg", b"", 422, "an empty file"),
        ("a.jpg", b"no image", 422, "no image that can be read; expected JPEG"),
        ("a.jpg", jpeg(RED)[:300], 422, "a damaged image"),
        ("a.jpg", jpeg(RED, (8, 8)), 422, "8x8 pixels is too small for a person crop"),
        ("a.jpg", jpeg(RED, (200, 64)), 422, "is no upright person crop"),
        ("a.txt", jpeg(RED), 400, "'a.txt' is no image file's name; expected JPEG"),
        ("..", jpeg(RED), 400, "'..' is no image file's name"),
        ("x" * 199 + ".jpg", jpeg(RED), 400, "is no image file's name"),
        ("é" * 150 + ".jpg", jpeg(RED), 400, "the name has more than 200 bytes"),
    ],
)
def test_what_is_refused_leaves_nothing(
    api: Client, home: Path, name: str, data: bytes, status: int, said: str
) -> None:
    assert said in detail(ingest(api, name, data, collection="refused"), status)
    assert not (home / "uploads").exists()
    known = [row["name"] for row in api.get(f"{V1}/collections").json()["items"]]
    assert "refused" not in known


def test_a_shape_may_be_let_through(api: Client) -> None:
    assert ingest(api, "a.jpg", jpeg(RED, (64, 32)), allow_any_shape="true").status_code == 201


def test_an_erased_content_is_not_taken_in_again(api: Client, engine: Engine, home: Path) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tombstone (content_hash, actor) VALUES (:hash, 'me')"),
            {"hash": content_hash(jpeg((77, 7, 7)))},
        )
    refused = ingest(api, "a.jpg", jpeg((77, 7, 7)))
    assert detail(refused, 422) == "this image was erased; it is not taken in again"
    assert not (home / "uploads").exists()


def test_what_the_network_refuses_leaves_nothing(
    api: Client, engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ColourNetwork.__call__

    def broken(self: ColourNetwork, pixels: Any) -> Any:
        outputs = whole(self, pixels)
        outputs[1][:] = float("nan")
        return outputs

    monkeypatch.setattr(ColourNetwork, "__call__", broken)
    refused = ingest(api, "a.jpg", jpeg((201, 2, 3)), "broken")
    assert detail(refused, 422) == "the model gave numbers that are not finite"
    assert ids_in(engine, "broken") == {}
    assert not list((home / "uploads").rglob("*.jpg"))


def test_only_what_was_sent_is_removed_from_disk(api: Client, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    ingest(api, "a.jpg", jpeg((1, 2, 3)))
    kept = next((home / "uploads").rglob("a.jpg"))
    folder = kept.parents[1]
    assert not remove_kept(str(tmp_path), "mine.jpg")
    assert (tmp_path / "mine.jpg").exists()
    assert remove_kept(str(folder), str(kept.relative_to(folder)))
    assert not kept.parent.exists()


def test_what_was_sent_goes_with_its_collection(api: Client, engine: Engine, home: Path) -> None:
    for collection in ("goes", "stays"):
        ingest(api, "a.jpg", jpeg((1, 2, 3)), collection)
    assert remove_collection(engine, "goes") == 1
    assert len(list((home / "uploads").rglob("a.jpg"))) == 1


@pytest.mark.parametrize("path", ["9999", "9999/thumbnail"])
def test_an_unknown_image(api: Client, path: str) -> None:
    assert detail(api.get(f"{V1}/images/{path}"), 404) == "no image 9999; it may have been removed"


# --- search


def test_a_search_is_the_command_lines_document(api: Client, engine: Engine) -> None:
    image = ids_in(engine)["0002_c1_000000003.jpg"]
    fields = {"collections": ["gallery"], "limit": 3, "explain": True, "no_duplicates": True}
    by_id = api.post(f"{V1}/search", json={**fields, "image_ids": [image]})
    by_form = api.post(f"{V1}/search", data=fields, files=sent("who.jpg", jpeg(GREEN)))
    schema = json.loads((SCHEMAS / "search.json").read_text())
    for response in (by_id, by_form):
        assert response.status_code == 200, response.text
        Draft202012Validator(schema).validate(response.json())
    (one,), (other,) = by_id.json()["queries"], by_form.json()["queries"]
    assert one["matches"] == other["matches"]
    assert len(one["matches"]) == 3
    assert image not in [match["image_id"] for match in one["matches"]]
    assert one["explain"]["passed"] == one["candidates"]


def test_a_filter_alone_and_several_images(api: Client, engine: Engine) -> None:
    ids = ids_in(engine)
    alone = api.post(
        f"{V1}/search", json={"collections": ["gallery"], "where": "gender = female"}
    ).json()
    assert [m["image_id"] for m in alone["queries"][0]["matches"]] == [
        ids["0001_c1_000000001.jpg"],
        ids["0001_c2_000000002.jpg"],
    ]
    several = {"collections": ["gallery"], "image_ids": list(ids.values())[:2]}
    assert len(api.post(f"{V1}/search", json=several).json()["queries"]) == 2
    together = {**several, "same_person": True, "nearest": True}
    assert len(api.post(f"{V1}/search", json=together).json()["queries"]) == 1
    reranked = api.post(f"{V1}/search", json={**several, "rerank": True}).json()["queries"]
    assert all(answer["reranked"] for answer in reranked)


def test_an_unusable_image_among_others_is_told(api: Client) -> None:
    files = [("image", ("a.jpg", jpeg(RED))), ("image", ("b.jpg", b"no image"))]
    answer = api.post(f"{V1}/search", data={"collections": ["gallery"]}, files=files).json()
    assert [query["query"] for query in answer["queries"]] == ["a.jpg"]
    assert answer["failed"][0]["name"] == "b.jpg"
    none = api.post(f"{V1}/search", data={"collections": ["gallery"]}, files=files[1:])
    assert "b.jpg: no image that can be read" in detail(none, 422)
    twice = api.post(f"{V1}/search", data={"collections": ["gallery"]}, files=[files[0], files[0]])
    assert "two images are called a.jpg" in detail(twice, 400)


ASKED: list[dict[str, Any]] = [
    {},
    {"where": "hatt"},
    {"where": "camera = 3 and"},
    {"where": "hat", "limit": 0},
    {"where": "hat", "max_distance": 1.0},
    {"where": "hat", "rerank": True},
    {"where": "hat", "candidates": 3},
    {"where": "hat", "model": "nobody"},
    {"where": "hat", "collections": ["galery"]},
]


@pytest.mark.parametrize("fields", ASKED)
def test_problems_have_the_command_lines_sentences(
    api: Client, engine: Engine, fields: dict[str, Any]
) -> None:
    fields = {"collections": ["gallery"], **fields}
    asked = SearchRequest(**{**fields, "collections": tuple(fields["collections"])})
    with pytest.raises(ReidError) as raised:
        asked.check()
        search(engine, asked)
    status = 404 if "nobody" in str(raised.value) or "galery" in str(raised.value) else 400
    assert detail(api.post(f"{V1}/search", json=fields), status) == str(raised.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"collections": []}', "collections: List should have at least 1 item"),
        ('{"collections": ["a"], "wher": "hat"}', "wher: Extra inputs are not permitted"),
        ('{"collections": ["a"], "limit": "3"}', "limit: Input should be a valid integer"),
        ('{"collections": ["a\\u0000"]}', "collections.0: String should match pattern"),
        ('{"collections": ["\\ud800"]}', "body: Invalid JSON"),
        ("[]", "body: Input should be"),
        ("{", "body: Invalid JSON"),
        ("\xff", "body: Invalid JSON"),
    ],
)
def test_a_body_that_does_not_fit(api: Client, body: str, said: str) -> None:
    headers = {"content-type": "application/json"}
    response = api.post(f"{V1}/search", content=body.encode("latin-1"), headers=headers)
    assert said in detail(response, 422)
    assert response.json()["type"] == "urn:reid:problem:request-not-valid"
    assert response.json()["errors"][0]["field"] == said.partition(":")[0]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_bodies_are_not_read(api: Client, kind: str) -> None:
    response = api.post(f"{V1}/search", content=b"a=b", headers={"content-type": kind})
    assert "send application/json or multipart/form-data, not" in detail(response, 415)


def test_the_same_image_from_two_at_once(api: Client, engine: Engine) -> None:
    with ThreadPoolExecutor(4) as programs:
        sending = [
            programs.submit(ingest, Client(api.app), "a.jpg", jpeg((4, 200, 4)), "crowd")
            for _ in range(4)
        ]
    rows = [sent.result().json() for sent in sending]
    assert {row["id"] for row in rows} == set(ids_in(engine, "crowd").values())
    assert all(row["attributes"] for row in rows)
