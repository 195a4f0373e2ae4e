"""The family of errors: each class has the exit code and the HTTP status of its kind."""

import importlib
import pkgutil
import tomllib
from http import HTTPStatus
from pathlib import Path

import pytest

from errors import PartialFailure, ReidError, UsageError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]

# a fault of this installation that an answer can only report: whoever adds one says so here
INTERNAL = {
    "BackupFailed",
    "BytesLeft",
    "CannotGrant",
    "CannotListen",
    "FilesLeft",
    "IndexFailed",
    "PartialFailure",
    "ReidError",
    "TrainingFailed",
}
# settings of the machine that answers: whoever sends a request can do nothing about them
OF_THE_MACHINE = {
    "BadDatabaseUrl",
    "BadDecodeSeconds",
    "BadStatementTimeout",
    "CannotReport",
    "CannotWrite",
    "DatabaseOutOfReach",
    "NoHome",
    "NotReadOnly",
    "RemoteMissing",
    "UnknownDevice",
}


def family() -> list[type[ReidError]]:
    """Every class of errors that the rooms declare."""
    for name in PACKAGES:
        if name.startswith("migrations"):
            continue
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    found: list[type[ReidError]] = []
    waiting: list[type[ReidError]] = [ReidError]
    while waiting:
        kind = waiting.pop()
        if not kind.__module__.startswith("tests"):
            found.append(kind)
        waiting += kind.__subclasses__()
    return found


FAMILY = family()


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_each_class_has_a_status_of_its_kind(kind: type[ReidError]) -> None:
    status = HTTPStatus(kind.http_status)
    assert status >= 400
    if issubclass(kind, UsageError) and kind.__name__ not in OF_THE_MACHINE:
        assert status < 500, "whoever asks can ask differently"


def test_only_named_classes_are_a_fault_of_the_program() -> None:
    assert {kind.__name__ for kind in FAMILY if kind.http_status == 500} == INTERNAL
    machine = {
        kind.__name__ for kind in FAMILY if issubclass(kind, UsageError) and kind.http_status >= 500
    }
    assert machine == OF_THE_MACHINE


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_the_exit_code_is_that_of_the_family(kind: type[ReidError]) -> None:
    expected = 2 if issubclass(kind, UsageError) else 3 if issubclass(kind, PartialFailure) else 1
    assert kind.exit_code == expected


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_each_class_says_what_it_means(kind: type[ReidError]) -> None:
    assert kind.__doc__, "its first sentence is the title of the API's problem details"
