"""Asking the API: a problem read, an image sent, what a collection holds."""

from typing import Any

import httpx
from sqlalchemy import Engine, text

from tests.web_client import Client

V1 = "/api/v1"


def detail(response: httpx.Response, status: int) -> str:
    """What a problem says, once it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"]
    assert document["title"]
    said: str = document["detail"]
    return said


def ids_in(engine: Engine, collection: str = "gallery") -> dict[str, int]:
    stmt = text(
        "SELECT i.path, i.id FROM image i JOIN collection c ON c.id = i.collection_id"
        " WHERE c.name = :name ORDER BY i.id"
    )
    with engine.connect() as connection:
        return {row.path: row.id for row in connection.execute(stmt, {"name": collection})}


def sent(name: str, data: bytes) -> dict[str, Any]:
    return {"image": (name, data, "image/jpeg")}


def ingest(
    api: Client, name: str, data: bytes, collection: str = "taken", **fields: Any
) -> httpx.Response:
    fields = {"collection": collection, **fields}
    return api.post(f"{V1}/images", data=fields, files=sent(name, data))
