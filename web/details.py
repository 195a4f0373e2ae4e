"""What is wrong, said to whom it asks: a page for people, RFC 9457 problem details below `/api/`.

Both have the sentence of the command line.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from web.addresses import path_of
from web.render import problem

API = "/api/"
V1 = f"{API}v1"
MEDIA_TYPE = "application/problem+json"
_KIND = "urn:reid:problem:"


def is_api(request: Request) -> bool:
    return path_of(request.scope).startswith(API)


def refusal(
    request: Request,
    sentence: str,
    status: int,
    error: type[Exception] | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The answer to a request that failed; `error` names its kind, `more` are further members."""
    if is_api(request):
        response: Response = _details(request, sentence, status, error, more)
    else:
        response = problem(request, sentence, status)
    response.headers.update(headers or {})
    return response


def _details(
    request: Request,
    sentence: str,
    status: int,
    error: type[Exception] | None,
    more: Mapping[str, Any],
) -> Response:
    content = {
        "type": "about:blank" if error is None else kind_of(error),
        "title": HTTPStatus(status).phrase if error is None else _title(error),
        "status": status,
        "detail": sentence,
        "instance": request.url.path,
        **more,
    }
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


def kind_of(error: type[Exception]) -> str:
    """
    >>> kind_of(FileNotFoundError)
    'urn:reid:problem:file-not-found-error'
    """
    return _KIND + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", error.__name__).lower()


def _title(error: type[Exception]) -> str:
    """What is common to all of this kind: the first sentence of its documentation."""
    said = " ".join((error.__doc__ or error.__name__).split())
    return re.split(r"[.;](?: |$)", said)[0]
