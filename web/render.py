"""Templates into answers. Names and paths are hostile text: escaped, and made printable."""

from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from moments import in_utc
from rendering.captions import (
    UNDER_A_MATCH,
    camera,
    caption,
    counted,
    facts,
    no_match,
    ordered_attributes,
    readable,
)
from rendering.frames import FRAMES
from web.addresses import path_of

HERE = Path(__file__).parent


def _printable(value: object) -> object:
    return readable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _moment(value: datetime | None) -> str:
    return "never" if value is None else in_utc(value).strftime("%Y-%m-%d %H:%MZ")


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"


def _exact(text: str) -> Markup:
    """Escaped and nothing else: what a form sends back must be what it was given."""
    return escape(text)


def in_path(text: str) -> str:
    """Quote a text as one step of an address."""
    return quote(text, safe="")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    finalize=_printable,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["exact"] = _exact
_ENVIRONMENT.globals |= {
    "camera": camera,
    "caption": caption,
    "counted": counted,
    "data_uri": _data_uri,
    "facts": facts,
    "frames": FRAMES,
    "in_path": in_path,
    "moment": _moment,
    "no_match": no_match,
    "ordered_attributes": ordered_attributes,
    "under_a_match": UNDER_A_MATCH,
}


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template of this folder as an answer."""
    signed_in = request.app.state.reid.access.is_signed_in(request)
    text = _ENVIRONMENT.get_template(template).render(
        path=path_of(request.scope),
        prefix=request.scope.get("root_path", ""),
        signed_in=signed_in,
        **values,
    )
    return HTMLResponse(text, status)


def is_part(request: Request) -> bool:
    """Whether the page's script asks for a part of a page that is shown already."""
    return request.headers.get("hx-request") == "true"


def problem(request: Request, sentence: str, status: int) -> HTMLResponse:
    """One sentence that says what is wrong, then the way out. For a part of a page, the sentence
    alone, at the top of what is shown."""
    if is_part(request):
        response = render(request, "problem_part.html", status, sentence=sentence)
        response.headers.update({"HX-Retarget": "#alert", "HX-Reswap": "innerHTML"})
        return response
    may_pass = request.method == "GET" and status in (500, 503)
    again = relative(request) if may_pass else None
    return render(request, "problem.html", status, sentence=sentence, again=again)


def relative(request: Request) -> str:
    """The address that was asked for, path and question."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")
