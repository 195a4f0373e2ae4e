"""Errors become exit codes in one place, and each is one sentence."""

import errno

import click
import psycopg
import pytest
from sqlalchemy.exc import OperationalError

import cli
from errors import PartialFailure, ReidError, UsageError, did_you_mean


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (ReidError("it broke; mend it"), 1, "reid: it broke; mend it"),
        (UsageError("ask differently"), 2, "reid: ask differently"),
        (PartialFailure("some failed"), 3, "reid: some failed"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), 2, "no UTF-8 text"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on"),
        (OSError(errno.ENOSPC, "No space left on device", "out.txt"), 1, "No space left on device"),
        (
            OperationalError("COPY", {}, psycopg.errors.DiskFull("could not extend file")),
            1,
            "the database's disk is full; free some space and run the same command again",
        ),
        (
            OperationalError("UPDATE", {}, psycopg.errors.DeadlockDetected("deadlock detected")),
            1,
            "another command changed the same rows",
        ),
        (
            OperationalError("SELECT", {}, psycopg.OperationalError("server closed")),
            1,
            "the connection to the database was lost (server closed)",
        ),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    raised: BaseException,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(cli.cli, "main", fail)
    assert cli.run([]) == code
    assert says in capsys.readouterr().err


def test_a_bug_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run([])


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3)])
def test_a_command_gives_its_own_exit_code(
    result: int | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.cli, "main", lambda **_: result)
    assert cli.run([]) == code


def test_wrong_words_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serach"]) == 2
    assert "did you mean 'search'?" in capsys.readouterr().err
    assert cli.run(["ingest"]) == 2
    assert "Missing argument" in capsys.readouterr().err
    assert cli.run(["--help"]) == 0
    assert isinstance(cli.cli, click.Group)


def test_suggestions() -> None:
    assert did_you_mean("hatt", ["bag", "Hat"]) == "; did you mean 'Hat'?"
    assert did_you_mean("xyz", ["bag", "hat"]) == ""
