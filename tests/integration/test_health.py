"""`/health` while everybody waits for the database, and while there is none."""

import asyncio
import time
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import Engine

from db.connect import HEAD, POOL_SIZE
from tests.web_client import Client
from web.app import create_app

WAITING = 60  # more requests than there are threads to answer them


@pytest.mark.parametrize("url", ["/health", "/api/v1/health"])
def test_health_is_told_while_every_connection_and_thread_is_taken(
    engine: Engine, url: str
) -> None:
    app = create_app(engine, per_minute=0)

    async def asked() -> tuple[httpx.Response, float, list[httpx.Response]]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=60
        ) as client:
            with ExitStack() as held:
                for _ in range(POOL_SIZE):
                    held.enter_context(engine.connect())
                waiting = [
                    asyncio.ensure_future(client.get("/api/v1/models")) for _ in range(WAITING)
                ]
                await asyncio.sleep(0.5)
                started = time.monotonic()
                answer = await client.get(url)
                seconds = time.monotonic() - started
                done = [request.result() for request in waiting if request.done()]
                assert done == []
            return answer, seconds, await asyncio.gather(*waiting)

    answer, seconds, others = asyncio.run(asked())
    assert answer.json() == {"status": "ok", "schema": HEAD}
    assert seconds < 5
    assert [other.status_code for other in others] == [200] * WAITING


def test_who_asks_at_once_is_answered_at_once(engine: Engine) -> None:
    app = create_app(engine, per_minute=0)

    async def asked() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = await asyncio.gather(*(client.get("/health") for _ in range(50)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(asked()) == [200] * 50


def test_a_database_that_comes_and_goes(engine: Engine) -> None:
    """Nothing of an earlier answer is kept."""
    page = Client(create_app(engine))
    assert page.get("/health").status_code == 200
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    down = page.get("/health")
    assert (down.status_code, down.json()["status"]) == (503, "down")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEAD}'")
    assert page.get("/health").status_code == 200
