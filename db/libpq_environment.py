"""The `PG*` variables of the shell: libpq reads them by itself, at every connection and in psql.

They are one set that describes one database, mostly another one: a hosting service hands them out
for its own. Which database is used, and how a session behaves, is said by `REID_HOME` and
`REID_DATABASE_URL` alone; how a user proves who he is may come from the variables too, where they
name no other server.
"""

import os

from sqlalchemy.engine import URL

# which database, and how a session behaves
_WHICH = frozenset(
    (
        "PGAPPNAME", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATA", "PGDATABASE",
        "PGDATESTYLE", "PGGEQO", "PGHOST", "PGHOSTADDR", "PGLOADBALANCEHOSTS", "PGOPTIONS",
        "PGPORT", "PGREQUIREPEER", "PGSERVICE", "PGTARGETSESSIONATTRS", "PGTZ", "PGUSER",
    )
)  # fmt: skip
# how the two prove to each other who they are
_PROOF = frozenset(
    (
        "PGCHANNELBINDING", "PGGSSDELEGATION", "PGGSSENCMODE", "PGGSSLIB", "PGKRBSRVNAME",
        "PGMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION", "PGPASSFILE", "PGPASSWORD", "PGREQUIREAUTH",
        "PGREQUIRESSL", "PGSERVICEFILE", "PGSSLCERT", "PGSSLCERTMODE", "PGSSLCOMPRESSION",
        "PGSSLCRL", "PGSSLCRLDIR", "PGSSLKEY", "PGSSLMAXPROTOCOLVERSION",
        "PGSSLMINPROTOCOLVERSION", "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLSNI",
    )
)  # fmt: skip
_PLACES = ("PGHOST", "PGHOSTADDR", "PGSERVICE")

_removed: set[str] = set()


def leave_out(url: URL | None) -> None:
    """Takes out of this process' environment, so of its children's too, what is not about this
    server; all of them for None, the embedded one."""
    unwanted = set(_WHICH)
    if url is None or _another(url):
        unwanted |= _PROOF
    for name in unwanted & os.environ.keys():
        del os.environ[name]
        _removed.add(name)


def _another(url: URL) -> bool:
    """Whether the variables name a server that is not the URL's."""
    named = {os.environ[name] for name in _PLACES if os.environ.get(name)}
    return not named <= {url.host, *map(str, url.query.values())}


def left_out() -> list[str]:
    """The variables that were set and are not used, by name."""
    return sorted(_removed)
