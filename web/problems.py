"""Errors as pages: the sentence of the command line, and a status that a program understands."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from actions.page import DATABASE_ERRORS, sentence
from actions.query_images import UnknownImage
from db.connect import DatabaseUnreachable, WrongSchema
from db.limits import SearchTookTooLong
from errors import ReidError, UsageError
from search.stored import UnknownQuerySet
from web.guard import HEADERS
from web.render import problem
from web.uploads import UploadGone, UploadTooLarge

# the first that fits
STATUS: tuple[tuple[type[ReidError], int], ...] = (
    (UploadTooLarge, 413),
    (UnknownImage, 404),
    (UnknownQuerySet, 404),
    (UploadGone, 404),
    (UsageError, 400),
    (DatabaseUnreachable, 503),
    (WrongSchema, 503),
    (SearchTookTooLong, 503),
    (ReidError, 500),
)
HTTP_SENTENCES = {404: "there is no such page", 405: "that is not done here"}


def status_of(error: ReidError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


def add_handlers(app: FastAPI) -> None:
    """Each family of errors has its page; only a fault of our own reaches the log."""
    app.add_exception_handler(ReidError, _ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _fault)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, _of_the_database)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReidError)
    return problem(request, str(error), status_of(error))


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = HTTP_SENTENCES.get(error.status_code, error.detail)
    response = problem(request, said, error.status_code)
    response.headers.update(error.headers or {})
    return response


def _of_the_database(request: Request, error: Exception) -> Response:
    said = sentence(request.app.state.reid.engine, error)
    if said is None:
        raise error
    return problem(request, said, 503)


def _fault(request: Request, _error: Exception) -> Response:
    said = "a fault of the program; where it was started, its output says more"
    response = problem(request, said, 500)
    response.headers.update(HEADERS)  # this handler stands outside the guard
    return response
