"""One browser, one server and one gallery of drawn people for every test of this folder.

The server has a database of its own, which a test may stop. Without Chromium or Playwright the
tests skip, and say so.
"""

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from db.connect import DatabaseAddress, make_engine
from db.server.embedded import EmbeddedServer
from db.upgrade import upgrade
from drawn.dataset import draw_dataset
from ingest.options import Options
from ingest.run import ingest
from query_sets.queries import add as add_queries
from query_sets.queries import run as run_queries
from search.request import SearchRequest
from tests.servers import temporary_home
from tests.web_client import fake_network
from web.app import create_app

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@dataclass(frozen=True)
class Site:
    """A running page over drawn people: in `gallery`, and as the queries of the set `demo`."""

    url: str
    engine: Engine
    server: EmbeddedServer
    people: Path

    @property
    def queries(self) -> list[Path]:
        """Images of people who are in the gallery too, in order."""
        return sorted((self.people / "query").iterdir())


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    uvicorn = pytest.importorskip("uvicorn", reason="the page's packages are missing")
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium here: apt-get install chromium")
    people = tmp_path_factory.mktemp("browser") / "people"
    draw_dataset(people, train_people=1, test_people=6, images_per_person=4, distractors=4)
    with pytest.MonkeyPatch.context() as patch, temporary_home() as home:
        patch.setenv("REID_HOME", str(home))
        patch.setenv("REID_ACTOR", "tester")
        fake_network(patch)
        server = EmbeddedServer(home)
        server.ensure_running()
        engine = make_engine(DatabaseAddress(home, server.url()))
        upgrade(engine)
        ingest(engine, people / "gallery", "gallery", Options())
        add_queries(engine, "demo", SearchRequest(("gallery",), limit=6), [people / "query"])
        run_queries(engine, "demo", None, None)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(create_app(engine, per_minute=0), log_level="warning")
            serving = uvicorn.Server(config)
            thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
            thread.start()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            yield Site(url, engine, server, people)
            serving.should_exit = True
            thread.join(20)
        engine.dispose()


@pytest.fixture(scope="package")
def browser(site: Site) -> Iterator[Any]:  # noqa: ARG001 - the cheaper reason to skip comes first
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass
class Watched:
    """What a page does that it should not: errors in its scripts, what its own content policy
    refuses, and requests to anybody else."""

    host: str
    complaints: list[str]

    def said(self, message: Any) -> None:
        # a status of 400 and more is the browser's own line, and tested where it is meant
        if message.type == "error" and "status of" not in message.text:
            self.complaints.append(message.text)

    def failed(self, error: Any) -> None:
        self.complaints.append(str(error))

    def asked(self, request: Any) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and self.host not in request.url:
            self.complaints.append(f"asks {request.url}")


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """A fresh window on a desk. At its end nothing has gone wrong unseen."""
    context = browser.new_context(
        base_url=site.url, viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    context.set_default_timeout(20_000)
    opened = context.new_page()
    watched = Watched(urlsplit(site.url).netloc, [])
    opened.on("console", watched.said)
    opened.on("pageerror", watched.failed)
    opened.on("request", watched.asked)
    yield opened
    context.close()
    assert watched.complaints == []
