"""How often somebody may ask: token buckets in memory, one for each client."""

import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from starlette.requests import Request

MAX_CLIENTS = 10_000
PER_MINUTE = 1_200  # requests of one client; twice what a search takes from two cores
BURST_SHARE = 1 / 4  # of a minute's requests may come at once
PICTURE = 0.02  # a stored thumbnail, beside any other request: a page shows hundreds
FAILURES_PER_MINUTE, FAILURES_AT_ONCE = 10, 10


@dataclass
class Buckets:
    """A bucket of `burst` tokens for each key, filled at `per_minute`. Full ones are forgotten."""

    per_minute: float
    burst: float
    _kept: "OrderedDict[str, tuple[float, float]]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def wait(self, key: str, cost: float = 1.0) -> float:
        """Takes `cost` tokens and gives 0; where there are too few, takes none and gives the
        seconds until there are enough."""
        with self._lock:
            level = self._level(key)
            if level < cost:
                return (cost - level) / self.per_minute * 60
            self._keep(key, level - cost)
            return 0.0

    def seconds_left(self, key: str) -> float:
        """The seconds until one token is there; takes none."""
        with self._lock:
            return max(0.0, 1.0 - self._level(key)) / self.per_minute * 60

    def _level(self, key: str) -> float:
        level, at = self._kept.get(key, (self.burst, 0.0))
        return min(self.burst, level + (time.monotonic() - at) * self.per_minute / 60)

    def _keep(self, key: str, level: float) -> None:
        self._kept[key] = level, time.monotonic()
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_CLIENTS:  # the longest unused one is the fullest
            self._kept.popitem(last=False)


@dataclass(frozen=True)
class Rates:
    """What one client may ask, and how often it may be wrong about a token. `requests` is None
    where nothing is counted."""

    requests: Buckets | None
    failures: Buckets = field(
        default_factory=lambda: Buckets(FAILURES_PER_MINUTE, FAILURES_AT_ONCE)
    )

    @classmethod
    def of(cls, per_minute: float) -> "Rates":
        """`per_minute` requests of one client, 0 for no limit."""
        if per_minute <= 0:
            return cls(None)
        return cls(Buckets(per_minute, max(1.0, per_minute * BURST_SHARE)))

    def wait(self, key: str, path: str) -> int:
        """Whole seconds to wait, 0 where a request may go on."""
        if self.requests is None or path.startswith("/static/"):
            return 0
        is_picture = path.startswith("/image/") or path.endswith("/thumbnail")
        return math.ceil(self.requests.wait(key, PICTURE if is_picture else 1.0))

    def locked(self, address: str) -> int:
        """Whole seconds for which no token is taken from an address."""
        return math.ceil(self.failures.seconds_left(address))


def address_of(request: Request) -> str:
    """Return where a request comes from; of IPv6 the network, since a machine has many addresses.

    >>> from starlette.requests import Request
    >>> address_of(Request({"type": "http", "client": ("2001:db8::7", 1)}))
    '2001:db8::/64'
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
