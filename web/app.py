"""The page: a FastAPI app over the same actions as the command line."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from actions.page import keep_reachable
from web.access import Access
from web.guard import Guard
from web.hosts import Hosts
from web.problems import add_handlers
from web.render import HERE
from web.routes import health, image, login, overview, search, sets
from web.state import State

if TYPE_CHECKING:
    from sqlalchemy import Engine


def create_app(
    engine: "Engine",
    *,
    token: str | None,
    host: str = "127.0.0.1",
    device: str | None = None,
) -> FastAPI:
    """The app on a database. Without a token it is open to whoever reaches it."""
    keep_reachable(engine)
    # no generated documentation: its pages load scripts from elsewhere
    app = FastAPI(title="Reid search", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.reid = State(engine, Access(token), Hosts(host), device)
    app.add_middleware(Guard, state=app.state.reid)
    add_handlers(app)
    for module in (overview, search, sets, image, health, login):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app
