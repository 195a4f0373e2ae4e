"""A command line on a database of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli import run

Reid = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reid(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Reid:
    """One command line: exit code, stdout, stderr."""
    monkeypatch.setenv("REID_DATABASE_URL", database_url)
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REID_ACTOR", "tester")

    def call(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(word) for word in words])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call
