"""A page over four images, and the fake network in place of the real one."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.web_client import Client, fake_network, page_of_four


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The fake network in place of the real one; what was loaded, in order."""
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    return fake_network(monkeypatch)


@pytest.fixture
def page(engine: Engine, tmp_path: Path) -> Client:
    return page_of_four(engine, tmp_path / "crops")
