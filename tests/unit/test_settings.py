"""What the environment says."""

import pytest

from settings import Settings


def test_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "READ_ONLY", "STATEMENT_TIMEOUT", "DEVICE", "ACTOR"):
        monkeypatch.delenv(f"REID_{name}", raising=False)
    found = Settings.from_environment()
    assert (found.home, found.database_url, found.device, found.actor) == (None, None, None, None)
    assert (found.read_only, found.statement_timeout) == (False, "")


def test_empty_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reid --home` empties the URL, so that a `.env` beside it does not win."""
    monkeypatch.setenv("REID_DATABASE_URL", "")
    monkeypatch.setenv("REID_HOME", "")
    found = Settings.from_environment()
    assert (found.home, found.database_url) == (None, None)


@pytest.mark.parametrize("said", ["0", "no", "False", " off ", ""])
def test_a_no(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("REID_READ_ONLY", said)
    assert not Settings.from_environment().read_only


@pytest.mark.parametrize("said", ["1", "yes", "true"])
def test_a_yes(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("REID_READ_ONLY", said)
    assert Settings.from_environment().read_only


def test_texts_are_read_without_the_blanks_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", " 30 ")
    assert Settings.from_environment().statement_timeout == "30"
