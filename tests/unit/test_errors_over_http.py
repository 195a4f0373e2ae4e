"""Every class of errors as an answer over HTTP: its own status, its sentence, its kind."""

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import create_engine

from errors import ReidError
from tests.unit.test_errors import FAMILY, INTERNAL
from tests.web_client import Client
from web.app import create_app
from web.details import V1, kind_of

SENTENCE = "something is so; do it differently"


def raised(kind: type[ReidError]) -> ReidError:
    """One of that class with our sentence, however it is made."""
    error = kind.__new__(kind)
    Exception.__init__(error, SENTENCE)
    return error


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """Each class is raised by an address of its own, for people and for programs."""
    made = create_app(create_engine("postgresql+psycopg://someone@127.0.0.1:1/nothing"))
    router = APIRouter()
    for kind in FAMILY:

        def fail(kind: type[ReidError] = kind) -> None:
            raise raised(kind)

        for path in (f"/raise/{kind.__name__}", f"{V1}/raise/{kind.__name__}"):
            router.add_api_route(path, lambda fail=fail: fail(), methods=["GET"])
    made.include_router(router)
    return made


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_each_class_is_answered_with_its_status_and_its_sentence(
    app: FastAPI, kind: type[ReidError]
) -> None:
    page = Client(app)
    problem = page.get(f"{V1}/raise/{kind.__name__}")
    assert problem.status_code == kind.http_status
    assert (problem.status_code == 500) == (kind.__name__ in INTERNAL)
    assert problem.headers["content-type"] == "application/problem+json"
    said = problem.json()
    assert (said["status"], said["type"]) == (kind.http_status, kind_of(kind))
    assert said["title"]
    assert said["detail"] == str(raised(kind))

    shown = page.get(f"/raise/{kind.__name__}")
    assert shown.status_code == kind.http_status
    assert 'role="alert"' in shown.text
    assert "a fault of the program" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]


def test_every_status_that_an_error_may_have_is_described() -> None:
    """`/api/v1/openapi.json` has a sentence for it."""
    from web.api.openapi import problems

    for status in {kind.http_status for kind in FAMILY}:
        assert problems(status)[status]["description"]
