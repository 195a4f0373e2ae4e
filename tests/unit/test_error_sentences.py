"""Errors of the database become one sentence by their SQLSTATE, never by their class."""

import psycopg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from db.database_url import BadDatabaseUrl, parse_url
from db.error_sentences import known_sentence, sentence_for
from db.unreachable import unreachable_sentence

E = psycopg.errors
URL = "postgresql://ann:s3cret@db.example:5433/people"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            E.ProgramLimitExceeded("index row size 2712 exceeds btree version 4 maximum 2704"),
            "that is more than the database can hold in one piece: index row size 2712 exceeds "
            "btree version 4 maximum 2704",
        ),
        (
            E.TooManyConnections("sorry, too many clients already"),
            "the server has no connection left (sorry, too many clients already); end some, or "
            "raise its max_connections",
        ),
        (
            E.LockNotAvailable("canceling statement due to lock timeout"),
            "the server gave up waiting for a lock (lock_timeout), since another command holds "
            "what this one needs; run the same command again",
        ),
        (
            E.DiskFull("could not extend file: No space left on device"),
            "the database's disk is full; free some space and run the same command again: what is "
            "stored stays stored",
        ),
        (
            E.DiskFull(
                'could not resize shared memory segment "/PostgreSQL.7" to 8388608 bytes: '
                "No space left on device"
            ),
            "the server's shared memory is full (could not resize shared memory segment "
            '"/PostgreSQL.7" to 8388608 bytes: No space left on device); give its container more '
            "(--shm-size=1g), or set max_parallel_workers_per_gather = 0 for this database user",
        ),
        (
            E.ConfigurationLimitExceeded("temporary file size exceeds temp_file_limit (1kB)"),
            "a limit of the server is reached: temporary file size exceeds temp_file_limit (1kB); "
            "raise it for this database user",
        ),
        (E.OutOfMemory("out of memory"), "the database server is out of memory: out of memory"),
        (
            E.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
            "the database takes no writes here, and this command has something to write (cannot "
            "execute INSERT in a read-only transaction); name the server that takes them in "
            "REID_DATABASE_URL",
        ),
        (
            E.NumericValueOutOfRange("bigint out of range"),
            "the database takes no such value: bigint out of range",
        ),
        (
            E.UniqueViolation("duplicate key value violates unique constraint"),
            "the database has this already: duplicate key value violates unique constraint",
        ),
        (
            E.ForeignKeyViolation("insert violates foreign key constraint"),
            "what this belongs to was removed meanwhile: insert violates foreign key constraint",
        ),
        (
            E.CheckViolation("new row violates check constraint"),
            "the database refuses what was to be stored: new row violates check constraint",
        ),
        (
            E.DataCorrupted("invalid page in block 3"),
            "the database's files are damaged: invalid page in block 3; restore a backup",
        ),
        (
            E.IdleSessionTimeout("terminating connection due to idle-session timeout"),
            "the server ended a session that it took for idle (terminating connection due to "
            "idle-session timeout); run the same command again",
        ),
        (
            E.AdminShutdown("terminating connection due to administrator command"),
            "the connection to the database was lost (terminating connection due to administrator "
            "command); run the same command again",
        ),
        (
            E.CannotConnectNow("the database system is starting up"),
            "the server takes no connections at this moment (the database system is starting up); "
            "try again in a moment",
        ),
        (
            psycopg.OperationalError("consuming input failed: EOF detected"),
            "the connection to the database was lost (consuming input failed: EOF detected); run "
            "the same command again",
        ),
        (
            psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
            "the database takes no such value: PostgreSQL text fields cannot contain NUL (0x00) "
            "bytes",
        ),
    ],
)
def test_what_is_known(error: psycopg.Error, sentence: str) -> None:
    assert known_sentence(error) == sentence
    assert sentence_for(OperationalError("SELECT", {}, error)) == sentence


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            E.SyntaxError('syntax error at or near "x"\nLINE 1: x'),
            'the database says: syntax error at or near "x" (42601)',
        ),
        (E.InternalError_("cache lookup failed"), "the database says: cache lookup failed (XX000)"),
        (psycopg.OperationalError("odd"), "the database says: odd"),
        (E.ExternalRoutineException(), "the database says: ExternalRoutineException (38000)"),
    ],
)
def test_what_is_not_known_is_shown_as_it_came(error: psycopg.Error, sentence: str) -> None:
    assert known_sentence(error) is None
    assert sentence_for(ProgrammingError("SELECT", {}, error)) == sentence


def test_what_is_no_error_of_the_database() -> None:
    assert sentence_for(ValueError("ours")) is None


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "postgresql://ann:p@ss@db.example/people",
            "REID_DATABASE_URL has more than one @; write one that belongs to the user's name or "
            "password as %40",
        ),
        (
            f"{URL}?sslmod=require",
            "REID_DATABASE_URL has an unknown option 'sslmod'; did you mean 'sslmode'?",
        ),
        (
            f"{URL}?sslmode=require&sslmode=disable",
            "REID_DATABASE_URL has the option 'sslmode' more than once",
        ),
        (
            f"{URL}?prepare_threshold=5",
            "REID_DATABASE_URL has an unknown option 'prepare_threshold'",
        ),
    ],
)
def test_a_url_with_a_mistake(url: str, sentence: str) -> None:
    with pytest.raises(BadDatabaseUrl) as caught:
        parse_url(url)
    assert str(caught.value).startswith(sentence)
    assert "s3cret" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "connection failed: server does not support SSL, but SSL was required",
            "the server at db.example:5433 has no TLS, and sslmode asks for it; leave sslmode out "
            "of REID_DATABASE_URL, or set up TLS there",
        ),
        (
            'connection is bad: invalid sslmode value: "requires"',
            "REID_DATABASE_URL says something that no connection can be made with: connection is "
            'bad: invalid sslmode value: "requires"',
        ),
        (
            "bad value for connect_timeout: 'abc'",
            "REID_DATABASE_URL says something that no connection can be made with: bad value for "
            "connect_timeout: 'abc'",
        ),
        (
            'connection failed: root certificate file "/x" does not exist',
            "the server at db.example:5433 and this machine do not agree on TLS: connection "
            'failed: root certificate file "/x" does not exist',
        ),
        (
            'could not translate host name "db.example" to address: Name or service not known',
            "no address is known for the host of db.example:5433 (could not translate host name "
            '"db.example" to address: Name or service not known); check REID_DATABASE_URL',
        ),
        (
            "connection failed: FATAL:  sorry, too many clients already",
            "the server at db.example:5433 has no connection left (sorry, too many clients "
            "already); end some, or raise its max_connections",
        ),
        (
            "connection failed: FATAL:  the database system is starting up",
            "the server at db.example:5433 takes no connections at this moment (the database "
            "system is starting up); try again in a moment",
        ),
        (
            'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ann"',
            "the server at db.example:5433 lets user 'ann' not in from here (no pg_hba.conf entry "
            'for host "10.0.0.1", user "ann"); its administrator changes that in pg_hba.conf',
        ),
        (
            "connection timeout expired",
            "no answer came from db.example:5433 in time (connection timeout expired); check the "
            "address in REID_DATABASE_URL, and whether a firewall stands between",
        ),
        (
            "something new about s3cret",
            "no connection to the server at db.example:5433: something new about ***",
        ),
        (
            "connection failed: FATAL:  tenant is paused",
            "the server at db.example:5433 refuses: tenant is paused",
        ),
    ],
)
def test_why_no_connection_can_be_made(said: str, sentence: str) -> None:
    assert unreachable_sentence(make_url(URL), psycopg.OperationalError(said)) == sentence
