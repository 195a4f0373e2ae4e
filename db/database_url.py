"""`REID_DATABASE_URL`: read with care, since what is wrong in it must not be shown with its secrets
nor be taken for a server that is down."""

from difflib import get_close_matches

from psycopg.pq import Conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from errors import UsageError

_EXPECTED = "expected postgresql://user:password@host:5432/database"


class BadDatabaseUrl(UsageError):
    """REID_DATABASE_URL does not read as a Postgres URL."""

    http_status = 503


def parse_url(url: str) -> URL:
    """Raises BadDatabaseUrl."""
    if url.partition("://")[2].partition("?")[0].count("@") > 1:
        raise BadDatabaseUrl(
            "REID_DATABASE_URL has more than one @; write one that belongs to the user's name or "
            "password as %40"
        )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadDatabaseUrl(f"REID_DATABASE_URL is no URL; {_EXPECTED}") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise BadDatabaseUrl(
            f"REID_DATABASE_URL names {parsed.get_backend_name()!r}; expected postgresql://"
        )
    _check_options(parsed)
    return parsed


def _check_options(url: URL) -> None:
    known = [option.keyword.decode() for option in Conninfo.get_defaults()]
    for name, value in url.query.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise BadDatabaseUrl(f"REID_DATABASE_URL has an unknown option {name!r}{hint}")
        if not isinstance(value, str) and name not in ("host", "port", "hostaddr"):
            raise BadDatabaseUrl(f"REID_DATABASE_URL has the option {name!r} more than once")


def without_secrets(url: URL, said: str) -> str:
    """What somebody else has written about this URL, its passwords taken out."""
    for secret in (url.password, url.query.get("password"), url.query.get("sslpassword")):
        if secret:
            said = said.replace(str(secret), "***")
    return said
