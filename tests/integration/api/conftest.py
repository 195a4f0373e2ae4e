"""One database a module: each test that stores something has a collection of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.connect import DatabaseAddress, make_engine
from tests.web_client import Client, fake_network, page_of_four


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        fake_network(patched)
        yield


@pytest.fixture(scope="module")
def engine(clone: Callable[[], AbstractContextManager[str]]) -> Iterator[Engine]:
    with clone() as url:
        made = make_engine(DatabaseAddress(Path(), url))
        yield made
        made.dispose()


@pytest.fixture(scope="module")
def api(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return page_of_four(engine, tmp_path_factory.mktemp("crops"))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
