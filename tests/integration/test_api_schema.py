"""Requests that schemathesis makes from the OpenAPI document, some of them wrong on purpose: no
fault of ours, and no answer that the document does not tell of."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from sqlalchemy import Engine

from query_sets.queries import add as add_queries
from query_sets.queries import run as run_queries
from search.request import SearchRequest
from tests.web_client import fake_network, page_of_four
from web.app import create_app

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = int(os.environ.get("REID_TEST_API_EXAMPLES", "6"))  # of an operation, right and wrong
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def described(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    fake_network(monkeypatch)
    page_of_four(engine, tmp_path / "crops")
    add_queries(engine, "people", SearchRequest(("gallery",)), [tmp_path / "crops"])
    run_queries(engine, "people", None, None)
    app = create_app(engine, host="testserver", per_minute=0)
    yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)


def test_whatever_is_sent(described: Any) -> None:
    found: list[str] = []
    sent = 0
    for result in described.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            try:
                sent += check(operation, mode)
            except Exception as error:
                found.append(f"{operation.label}, {mode.value}: {error}")
    assert not found, "\n\n".join(found)
    assert sent > 20 * EXAMPLES


def check(operation: Any, mode: Any) -> int:
    """Sends some requests, and gives their number: none of an operation that cannot be asked
    wrongly."""
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    sent = 0

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        nonlocal sent
        # a filter, a cursor, an image may be wrong in ways that no schema tells of
        response = case.call_and_validate(excluded_checks=[positive_data_acceptance])
        sent += 1
        if mode is schemathesis.GenerationMode.POSITIVE:
            assert b"request-not-valid" not in response.content, response.text

    with suppress(Unsatisfiable):
        send()
    return sent
