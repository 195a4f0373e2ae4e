"""The command line on a database of its own, and a folder of drawn people drawn once a session."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cli import run
from drawn.dataset import draw_dataset
from tests.fakes import DECODERS

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@dataclass(frozen=True)
class Result:
    """What a command did. `json` is its document, checked against the schema of that name."""

    code: int
    out: str
    err: str

    def json(self, schema: str | None = None) -> Any:
        document = json.loads(self.out)
        if schema:
            described = json.loads((SCHEMAS / f"{schema}.json").read_text())
            Draft202012Validator(described).validate(document)
        return document


Reid = Callable[..., Result]


@pytest.fixture
def reid(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Reid:
    """Runs one command line in this process, against a database of this test's own."""
    monkeypatch.setenv("REID_DATABASE_URL", database_url)
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REID_ACTOR", "tester")
    monkeypatch.setattr("ingest.run.Decoders", lambda: DECODERS)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn data set: train/, test/, queries/, query/, gallery/ and their truth."""
    folder = tmp_path_factory.mktemp("drawn") / "people"
    draw_dataset(folder, train_people=4, test_people=6, images_per_person=4, distractors=6)
    return folder
