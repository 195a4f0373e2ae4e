"""Which role each request needs: the one place that says so.

`read` looks and searches; every search is in the audit log. `review` also stores query sets, runs
them and gives verdicts. `admin` also takes images in and removes what is stored. What no rule
names: reading needs `read`, everything else `admin`; a test asks for a rule for each route that
changes something.
"""

import re
from dataclasses import dataclass

from web.tokens import Role

READING = frozenset({"GET", "HEAD"})
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class AccessRule:
    """Requests by these methods for such a path need the role; None: no token at all."""

    methods: frozenset[str]
    path: re.Pattern[str]
    role: Role | None


def _rule(methods: frozenset[str], path: str, role: Role | None) -> AccessRule:
    return AccessRule(methods, re.compile(path, re.DOTALL), role)


# the first that fits
RULES = (
    _rule(READING, r"/(health|login|static/.*|api/v1/health|api/v1/openapi\.json)", None),
    _rule(_CHANGING, r"/(login|logout)", None),
    _rule(_CHANGING, r"/search(/.*)?|/api/v1/search(/batch)?", Role.READ),
    _rule(_CHANGING, r"/review(/.*)?", Role.REVIEW),
    _rule(_CHANGING, r"/sets/.+/run", Role.REVIEW),
    _rule(_CHANGING, r"/collections/.+/retry", Role.ADMIN),
    _rule(READING, r"/audit(/.*)?", Role.ADMIN),
    _rule(_CHANGING, r"/api/v1/query-sets/.+/queries/.+/verdicts/[0-9]+", Role.REVIEW),
    _rule(frozenset({"DELETE"}), r"/api/v1/query-sets/.*", Role.ADMIN),
    _rule(_CHANGING, r"/api/v1/query-sets(/.*)?", Role.REVIEW),
    _rule(_CHANGING, r"/api/v1/images", Role.ADMIN),
)


def rule_for(method: str, path: str) -> AccessRule | None:
    """The rule that names a request, None where none does."""
    fits = (r for r in RULES if method in r.methods and r.path.fullmatch(path))
    return next(fits, None)


def needed(method: str, path: str) -> Role | None:
    """The role that a request needs; None where anybody may send it."""
    rule = rule_for(method, path)
    if rule is not None:
        return rule.role
    return Role.READ if method in READING else Role.ADMIN
