"""Many queries in one request, and answers as tables."""

import io
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from db.arrays import vector_from_send
from query_sets.batch_request import BatchesWait
from tests.api_client import V1, detail, ids_in
from tests.web_client import Client
from web.api.tables import ARROW, PARQUET
from web.roles import needed
from web.tokens import Role

URL = f"{V1}/search/batch"


@pytest.fixture(params=[8, 0], ids=["one by one", "all at once"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways that a batch is answered."""
    monkeypatch.setattr("query_sets.batch_request.FEW", request.param)


def asked(api: Client, accept: str | None = None, url: str = URL, **fields: Any) -> httpx.Response:
    headers = {} if accept is None else {"accept": accept}
    return api.post(url, json={"collections": ["gallery"], **fields}, headers=headers)


def embeddings_of(engine: Engine, ids: list[int]) -> list[list[float]]:
    stmt = text("SELECT image_id, vector_send(embedding) AS bytes FROM feature")
    with engine.connect() as connection:
        found = {row.image_id: vector_from_send(row.bytes) for row in connection.execute(stmt)}
    return [found[image_id].tolist() for image_id in ids]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "question",
    [
        {},
        {"limit": 2},
        {"max_distance": 0.2},
        {"where": "gender = female"},
        {"not_same_camera": True, "no_duplicates": True},
        {"where": "camera = 1", "max_distance": 2, "limit": 1},
    ],
)
def test_a_batch_is_as_many_searches(api: Client, engine: Engine, question: dict[str, Any]) -> None:
    ids = list(ids_in(engine).values())
    found = asked(api, image_ids=[*ids[::-1], ids[0]], **question).json()
    assert found["failed"] == []
    one_by_one = [
        asked(api, url=f"{V1}/search", image_ids=[image_id], **question).json()["queries"][0]
        for image_id in ids[::-1]
    ]
    assert found["queries"] == one_by_one


@pytest.mark.usefixtures("few")
def test_an_embedding_finds_what_its_image_finds(api: Client, engine: Engine) -> None:
    ids = list(ids_in(engine).values())
    by_image = asked(api, image_ids=ids).json()["queries"]
    by_number = asked(api, embeddings=embeddings_of(engine, ids)).json()["queries"]
    assert [answer["matches"] for answer in by_number] == [a["matches"] for a in by_image]
    assert [answer["query"] for answer in by_number][:2] == ["embedding 1", "embedding 2"]
    both = asked(api, image_ids=ids[:1], embeddings=embeddings_of(engine, ids[1:2])).json()
    assert [a["matches"] for a in both["queries"]] == [a["matches"] for a in by_image[:2]]


@pytest.mark.usefixtures("few")
def test_images_that_cannot_be_queries_stand_in_failed(api: Client, engine: Engine) -> None:
    known = next(iter(ids_in(engine).values()))
    found = asked(api, image_ids=[10**9, known]).json()
    assert len(found["queries"]) == 1
    (failed,) = found["failed"]
    assert failed["name"] == "image 1000000000"
    assert "no image 1000000000 with features by model" in failed["reason"]
    assert "no image 1000000000" in detail(asked(api, image_ids=[10**9]), 404)


def test_what_is_wrong_with_a_batch_is_said(api: Client) -> None:
    assert "a batch has 0 queries; expected 1 to 1,000" in detail(asked(api), 400)
    short = asked(api, embeddings=[[0.0] * 512, [0.5] * 511])
    assert "embedding 2 has 511 numbers; model 'default' has 512" in detail(short, 400)
    huge = asked(api, embeddings=[[1e300] * 512])
    assert "embedding 1 holds what is no number of 32 bits" in detail(huge, 400)
    detail(asked(api, image_ids=list(range(1, 1002))), 422)
    detail(asked(api, image_ids=[1], collections=["galery"]), 404)
    for wrong in ("NaN", "Infinity", "1e400"):
        numbers = ", ".join(["0.5"] * 511 + [wrong])
        body = f'{{"collections": ["gallery"], "embeddings": [[{numbers}]]}}'
        answer = api.post(URL, content=body, headers={"content-type": "application/json"})
        assert "embedding 1 holds what is no number" in detail(answer, 400)
    detail(asked(api, image_ids=["1"]), 422)


@pytest.mark.usefixtures("few")
def test_more_matches_than_an_answer_holds_are_refused(
    api: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query_sets.batch_request.MAX_MATCHES", 3)
    ids = list(ids_in(engine).values())
    said = detail(asked(api, image_ids=ids), 413)
    assert said.startswith("the batch finds 16 matches, and one answer holds 3; set a limit")
    assert asked(api, image_ids=ids[:3], limit=1).status_code == 200


def test_one_batch_at_a_time_reads_the_gallery(
    api: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query_sets.batch_request.FEW", 0)
    monkeypatch.setattr("query_sets.batch_request.PATIENCE_S", 0.1)
    from query_sets.batch_request import _ONE_AT_A_TIME

    ids = list(ids_in(engine).values())
    with _ONE_AT_A_TIME:
        answer = asked(api, image_ids=ids)
        assert "another batch is being answered" in detail(answer, BatchesWait.http_status)
    assert asked(api, image_ids=ids).status_code == 200


def test_each_answer_of_a_batch_stands_in_the_audit_log(api: Client, engine: Engine) -> None:
    ids = list(ids_in(engine).values())[:2]
    asked(api, image_ids=ids, embeddings=embeddings_of(engine, ids[:1]), purpose="case 7")
    stmt = text("SELECT question->>'query' AS query, purpose, result_ids FROM audit ORDER BY id")
    with engine.connect() as connection:
        rows = connection.execute(stmt).all()[-3:]
    assert [row.query for row in rows] == [f"id:{ids[0]}", f"id:{ids[1]}", "embedding 1"]
    assert {row.purpose for row in rows} == {"case 7"}
    assert all(len(row.result_ids) == 4 for row in rows)


def test_who_may_search_may_search_for_many() -> None:
    assert needed("POST", URL) is Role.READ


def table(answer: httpx.Response, media_type: str) -> Any:
    pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    import pyarrow.parquet

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    if media_type == PARQUET:
        return pyarrow.parquet.read_table(io.BytesIO(answer.content))
    return pa.ipc.open_stream(answer.content).read_all()


@pytest.mark.parametrize("url", [URL, f"{V1}/search"])
@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_a_table_holds_what_the_document_holds(
    api: Client, engine: Engine, media_type: str, url: str
) -> None:
    question: dict[str, Any] = {"image_ids": list(ids_in(engine).values()), "limit": 3}
    document = asked(api, url=url, **question).json()
    found = table(asked(api, media_type, url=url, **question), media_type)
    rows = found.to_pylist()
    expected = [
        {
            "query_number": number,
            "query": answer["query"],
            **{name: value for name, value in match.items() if name != "attributes"},
            **match["attributes"],
        }
        for number, answer in enumerate(document["queries"])
        for match in answer["matches"]
    ]
    assert rows == expected
    for answer in document["queries"]:
        del answer["matches"]
    assert json.loads(found.schema.metadata[b"reid"]) == document


def test_a_table_of_nobody_has_its_columns(api: Client, engine: Engine) -> None:
    known = next(iter(ids_in(engine).values()))
    found = table(asked(api, ARROW, image_ids=[known], where="hat and not hat"), ARROW)
    assert found.num_rows == 0
    assert {"image_id", "distance", "gender", "upper_color"} <= set(found.column_names)


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/csv", f"{ARROW};q=0, */*", "nonsense;q=x;;,"]
)
def test_json_is_what_is_given_unasked(api: Client, engine: Engine, accept: str | None) -> None:
    known = next(iter(ids_in(engine).values()))
    answer = asked(api, accept, image_ids=[known])
    assert answer.headers["content-type"] == "application/json"


def test_without_pyarrow_one_sentence_says_so(
    api: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.api.tables.find_spec", lambda _name: None)
    known = next(iter(ids_in(engine).values()))
    assert detail(asked(api, ARROW, image_ids=[known]), 501) == (
        "the package pyarrow is not installed; install the extra `arrow`, or ask for JSON"
    )
    assert asked(api, image_ids=[known]).status_code == 200
