"""Errors as answers: the sentence of the command line, and a status that a program understands."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from db.connect import DatabaseUnreachable
from db.health import DATABASE_ERRORS, is_of_the_question, sentence
from errors import ReidError, UsageError
from web.details import is_api, refusal
from web.guard import HEADERS

HTTP_SENTENCES = {404: "there is no such page", 405: "that is not done here"}
API_SENTENCES = {
    404: "the API has no such address; `/api/v1/openapi.json` lists them",
    405: "that method is not taken here; `Allow` names those that are",
}


def add_handlers(app: FastAPI) -> None:
    """Each family of errors has its answer; only a fault of our own reaches the log."""
    app.add_exception_handler(ReidError, _ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(ValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _fault)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, _of_the_database)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReidError)
    return refusal(request, str(error), error.http_status, type(error))


def _of_validation(request: Request, error: Exception) -> Response:
    """What does not fit the description of the API: the first complaint as a sentence, all of them
    as `errors`."""
    assert isinstance(error, RequestValidationError | ValidationError)
    found = [_complaint(one) for one in error.errors()]
    said = f"{found[0]['field']}: {found[0]['reason']}" if found else "the request is not valid"
    return refusal(request, said, RequestNotValid.http_status, RequestNotValid, errors=found)


class RequestNotValid(UsageError):
    """The request does not fit the description in `/api/v1/openapi.json`."""

    http_status = 422


def _complaint(error: Any) -> dict[str, str]:
    where: Sequence[Any] = [part for part in error["loc"] if part not in ("body", "query", "path")]
    # after the field's name come places in a list, and the kinds that its value might have been
    field = [str(part) for n, part in enumerate(where) if n == 0 or isinstance(part, int)]
    return {"field": ".".join(field) or "body", "reason": str(error["msg"])}


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = API_SENTENCES if is_api(request) else HTTP_SENTENCES
    said = sentences.get(error.status_code, str(error.detail))
    return refusal(request, said, error.status_code, headers=error.headers)


def _of_the_database(request: Request, error: Exception) -> Response:
    said = sentence(request.app.state.reid.engine, error)
    if said is None:
        raise error
    if is_of_the_question(error):
        return refusal(request, said, UsageError.http_status, UsageError)
    return refusal(request, said, DatabaseUnreachable.http_status, DatabaseUnreachable)


def _fault(request: Request, _error: Exception) -> Response:
    said = "a fault of the program; where it was started, its output says more"
    # this handler stands outside the guard
    return refusal(request, said, 500, headers=HEADERS)
