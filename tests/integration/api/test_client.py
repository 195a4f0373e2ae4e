"""The Python client in docs/client: what the API is, typed, and asked over HTTP."""

import importlib.util
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from sqlalchemy import Engine

from tests.api_client import ids_in
from tests.web_client import RED, Client, jpeg
from web.app import create_app
from web.public_url import PublicUrl
from web.serve import _listening

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs" / "client" / "reid_client.py"
TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reid_client", FILE)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def url(api: Client, engine: Engine) -> Iterator[str]:  # noqa: ARG001 - it stores the images
    """A page below a prefix that asks for a token."""
    import socket

    app = create_app(engine, token=TOKEN, public_url=PublicUrl.parse("http://localhost/find"))
    with _listening("127.0.0.1", 0, socket.AF_INET) as listening:
        serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/find"
        serving.should_exit = True
        thread.join(20)


@pytest.fixture
def reid(module: ModuleType, url: str) -> Any:
    return module.Client(url, token=TOKEN, timeout=60)


def test_the_client_is_what_the_api_is() -> None:
    script = ROOT / "scripts" / "write_client.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_needs_the_standard_library_alone(module: ModuleType) -> None:
    lines = [line for line in FILE.read_text().splitlines() if line.startswith(("import", "from"))]
    names = {line.split()[1].partition(".")[0] for line in lines}
    assert names <= sys.stdlib_module_names
    assert module.__doc__


def test_searching_one_and_many(reid: Any, engine: Engine) -> None:
    ids = list(ids_in(engine).values())
    question = {"collections": ["gallery"], "limit": 2}
    one = reid.search({**question, "image_ids": ids[:1]})
    many = reid.search_batch({**question, "image_ids": ids})
    assert one["queries"][0] == many["queries"][0]
    assert len(many["queries"]) == 4
    sent = reid.search({"collections": ["gallery"], "no_duplicates": True},
                       [("0001_c9_000000001.jpg", jpeg(RED))])  # fmt: skip
    assert sent["queries"][0]["query"] == "0001_c9_000000001.jpg"
    assert all(match["distance"] > 0 for match in sent["queries"][0]["matches"])


def test_a_table(reid: Any, module: ModuleType, engine: Engine) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `arrow` is not installed")
    question = {"collections": ["gallery"], "image_ids": list(ids_in(engine).values())}
    content = reid.search_batch_table(module.PARQUET, question)
    assert parquet.read_table(io.BytesIO(content)).num_rows == 16


def test_a_list_in_pieces(reid: Any, engine: Engine) -> None:
    first = reid.collection_images("gallery", limit=3)
    pieces = list(reid.pages(first))
    assert [len(piece["items"]) for piece in pieces] == [3, 1]
    assert [row["id"] for piece in pieces for row in piece["items"]] == list(
        ids_in(engine).values()
    )


def test_an_image_goes_in_and_comes_out(reid: Any) -> None:
    taken = reid.ingest_image({"collection": "taken / by client"}, [("7_c1_1.jpg", jpeg(RED))])
    assert reid.image(taken["id"])["collection"] == "taken / by client"
    assert reid.thumbnail(taken["id"]).startswith(b"\xff\xd8")
    names = [row["name"] for row in reid.collections()["items"]]
    assert "taken / by client" in names
    (row,) = reid.collection_images("taken / by client")["items"]
    assert row["id"] == taken["id"]


def test_stored_queries_and_verdicts(reid: Any, engine: Engine) -> None:
    first, second, *_ = ids_in(engine).values()
    added = reid.add_queries({"name": "a/b", "collections": ["gallery"], "image_ids": [first]})
    assert added["queries"] == 1
    run = reid.run_query_set("a/b")
    matches = reid.run_matches(run["id"])["items"]
    query = matches[0]["query"]
    assert reid.give_verdict("a/b", query, second, {"verdict": "confirmed"})["changed"]
    reid.withdraw_verdict("a/b", query, second)
    assert b"," in reid.export_query_set("a/b", format="csv")
    reid.remove_query_set("a/b")
    assert "a/b" not in [row["name"] for row in reid.query_sets()["items"]]


def test_a_problem_has_its_sentence_and_its_kind(reid: Any, module: ModuleType, url: str) -> None:
    with pytest.raises(module.Problem, match="no collection 'galery'; did you mean") as raised:
        reid.search({"collections": ["galery"], "where": "hat"})
    assert (raised.value.status, raised.value.kind) == (404, "urn:reid:problem:unknown-collection")
    with pytest.raises(module.Problem) as unknown:
        module.Client(url, token="a-token-of-nobody").models()
    assert unknown.value.status == 401
    assert module.Client(url).health()["status"] == "ok"
