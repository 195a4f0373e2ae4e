"""The OpenAPI document: what FastAPI finds out, and what it cannot: problems, and bodies that are
JSON or a form."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from web.api.body import IMAGE
from web.api.requests import MAX_IMAGES
from web.api.responses import Problem
from web.details import MEDIA_TYPE

_REF = "#/components/schemas/{model}"
_SAID = {
    400: "The question is wrong; the sentence says how.",
    401: "No token, or a wrong one.",
    403: "The token's role may not do that, or the request comes from another web site.",
    404: "What the request names is not there.",
    405: "That method is not taken here.",
    408: "The body took too long.",
    409: "What is stored stands in the way.",
    413: "The body is too large.",
    415: "A body of this kind is not read here.",
    421: "The API does not answer to that host name.",
    422: "The request does not fit this description, or its image cannot be used.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "A fault of the program.",
    501: "A package that this needs is not installed.",
    502: "Another server, where images come from, did not answer as it should.",
    503: "The database cannot be used now.",
    507: "The disk of the server is full, or cannot be written.",
}
_ALWAYS = (400, 401, 403, 421, 422, 429, 500, 503)
DESCRIPTION = (
    "Find a person again among many images. A token goes into `Authorization: Bearer TOKEN` where "
    "the page asks for one. Every search is written to the audit log."
)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, beside those that any may."""
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {
        status: {"description": _SAID[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*_ALWAYS, *statuses})
    }


def form_of(kind: type[BaseModel], most: int, *, needed: bool = False) -> dict[str, Any]:
    """A form with the fields of a model and up to `most` files."""
    schema = kind.model_json_schema(ref_template=_REF)
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {"type": "array", "items": binary, "minItems": int(needed), "maxItems": most}
    required = [*schema.get("required", ()), *([IMAGE] if needed else ())]
    return {
        "type": "object",
        "properties": {
            **_without_null(schema["properties"]),
            IMAGE: binary if most == 1 else files,
        },
        "required": required,
        "additionalProperties": False,
    }


def _without_null(properties: dict[str, Any]) -> dict[str, Any]:
    """A form has no null: what is not sent is not there."""
    found = {}
    for name, schema in properties.items():
        kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        found[name] = {**rest, **one} if kinds else schema
    return found


def body(*, json: type[BaseModel] | None, form: type[BaseModel], most: int) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    content: dict[str, Any] = {
        "multipart/form-data": {"schema": form_of(form, most, needed=json is None)}
    }
    if json is not None:
        content["application/json"] = {"schema": json.model_json_schema(ref_template=_REF)}
    return {"requestBody": {"required": True, "content": content}}


def with_images(kind: type[BaseModel]) -> dict[str, Any]:
    """A body of JSON, or a form with the same fields and images."""
    return body(json=kind, form=kind, most=MAX_IMAGES)


def describe(app: FastAPI, prefix: str = "") -> None:
    """Gives the app its document; `prefix` is what the addresses in it lie below."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app, prefix)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, prefix: str) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        servers=[{"url": prefix or "/"}],
    )
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {}).update(_schemas(Problem))
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}, {}]
    return document


def _schemas(kind: type[BaseModel]) -> dict[str, Any]:
    schema = kind.model_json_schema(ref_template=_REF)
    return {**schema.pop("$defs", {}), kind.__name__: schema}
