"""The page and the API: a FastAPI app over the same functions as the command line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from db.health import keep_reachable
from web.api import collections, images, query_sets, service, verdicts
from web.api import search as searching
from web.api.openapi import describe
from web.details import V1
from web.error_handlers import add_handlers
from web.front import Front
from web.guard import Guard
from web.pages import collections_page as galleries
from web.pages import health, login, models_page, overview, search_page, sets_page, thumbnail
from web.proxies import Proxies
from web.public_url import PublicUrl
from web.rate_limit import PER_MINUTE, Rates
from web.render import HERE
from web.sessions import Access
from web.state import State
from web.tokens import Role, Token
from web.vitals import Vitals

if TYPE_CHECKING:
    from sqlalchemy import Engine

NO_PROXIES = Proxies()


def create_app(
    engine: "Engine",
    *,
    token: str | None = None,
    tokens: Sequence[Token] = (),
    host: str = "127.0.0.1",
    public_url: PublicUrl | None = None,
    proxies: Proxies = NO_PROXIES,
    device: str | None = None,
    per_minute: float = PER_MINUTE,
) -> FastAPI:
    """The app on a database; `token` is an admin's. Without any token it is open to whoever
    reaches it. `per_minute` requests are taken from one client, 0 for no limit. `public_url` is
    where people reach it, where that is not `host`; `proxies` are believed, and one on this machine
    is where there is a `public_url`."""
    keep_reachable(engine)
    # no generated documentation: its pages load scripts from elsewhere
    app = FastAPI(
        title="Reid search",
        version="1",
        openapi_url=f"{V1}/openapi.json",
        docs_url=None,
        redoc_url=None,
        root_path_in_servers=False,
    )
    known = [Token(token, Role.ADMIN), *tokens] if token else tokens
    front = Front.of(host, public_url, proxies, is_open=not known)
    app.state.reid = State(
        engine, Access(known), front, Vitals(engine), device, Rates.of(per_minute)
    )
    app.add_middleware(Guard, state=app.state.reid)
    add_handlers(app)
    # verdicts first: their addresses lie below those of sets, whose names may hold a slash
    for module in (verdicts, searching, images, collections, query_sets, service):
        app.include_router(module.router)
    for module in (
        overview,
        search_page,
        galleries,
        models_page,
        sets_page,
        thumbnail,
        health,
        login,
    ):
        app.include_router(module.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    describe(app, front.prefix)
    return app
