"""Why no connection can be made, as one sentence: libpq gives words there, and no SQLSTATE."""

from collections.abc import Sequence

from sqlalchemy.engine import URL

from db.database_url import without_secrets

_LONGEST = 200
# words of libpq or of the server -> the sentence; the first that fits. {said} is what was said,
# {where} the server, {user} who asked
_SENTENCES: Sequence[tuple[tuple[str, ...], str]] = (
    (
        ("password authentication failed", "no password supplied"),
        "the server at {where} refused user {user}: wrong or missing password; "
        "check REID_DATABASE_URL",
    ),
    (
        ("too many clients", "remaining connection slots", "too many connections"),
        "the server at {where} has no connection left ({said}); end some, or raise its "
        "max_connections",
    ),
    (
        ("starting up", "shutting down", "not yet accepting", "recovery mode"),
        "the server at {where} takes no connections at this moment ({said}); "
        "try again in a moment",
    ),
    (
        ("does not support SSL",),
        "the server at {where} has no TLS, and sslmode asks for it; leave sslmode out of "
        "REID_DATABASE_URL, or set up TLS there",
    ),
    (
        ("pg_hba.conf",),
        "the server at {where} lets user {user} not in from here ({said}); its administrator "
        "changes that in pg_hba.conf",
    ),
    (
        ("bad value for", "definition of service", "invalid sslmode value", "invalid value",
         "invalid integer value", "invalid port number",
         "invalid connection option", "weak sslmode", "invalid channel_binding",
         "invalid gssencmode", "invalid target_session_attrs", "invalid require_auth",
         "invalid load_balance_hosts", "invalid sslnegotiation", "protocol_version"),
        "REID_DATABASE_URL says something that no connection can be made with: {said}",
    ),
    (
        ("certificate", "SSL error", "root.crt"),
        "the server at {where} and this machine do not agree on TLS: {said}",
    ),
    (
        ("translate host name", "resolve", "Name or service not known", "getaddrinfo"),
        "no address is known for the host of {where} ({said}); check REID_DATABASE_URL",
    ),
    (
        ("timeout expired", "timed out"),
        "no answer came from {where} in time ({said}); check the address in REID_DATABASE_URL, and "
        "whether a firewall stands between",
    ),
    (
        ("Connection refused", "No such file or directory"),
        "no database server answers at {where}; start it, or unset REID_DATABASE_URL for the "
        "embedded one ({said})",
    ),
)  # fmt: skip


def unreachable_sentence(url: URL, cause: object) -> str:
    """One sentence for what libpq says when no connection can be made; without any secret."""
    said = without_secrets(url, " ".join(str(cause).split()))
    where = f"{url.host or url.query.get('host') or 'localhost'}:{url.port or 5432}"
    short = said.split("FATAL: ")[-1].strip()[:_LONGEST]
    for words, sentence in _SENTENCES:
        if any(word in said for word in words):
            return sentence.format(where=where, user=repr(url.username), said=short)
    if "FATAL: " in said and "does not exist" in said:
        return f"the server at {where} says: {short}; create it, or check REID_DATABASE_URL"
    if "FATAL: " in said:
        return f"the server at {where} refuses: {short}"
    return f"no connection to the server at {where}: {short}"
