"""The address by which people reach the page, where it is another one than the page listens on: a
proxy stands before it, or the machine has a name of its own."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from errors import UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# what the page's own addresses begin with: behind such a prefix nobody could tell whether a proxy
# has taken it off
OWN_NAMES = frozenset(
    {"api", "attributes", "audit", "collections", "health", "image", "login", "logout"}
    | {"models", "review", "search", "sets", "static"}
)  # fmt: skip


class BadPublicUrl(UsageError):
    """The page's public address cannot be one."""


@dataclass(frozen=True)
class PublicUrl:
    """`scheme://host[:port][prefix]`; the host as browsers send it, the prefix empty or `/...`."""

    scheme: str
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadPublicUrl.

        >>> PublicUrl.parse("HTTPS://Reid.Example.org:443/find/").address
        'https://reid.example.org/find'
        """
        try:
            parts = urlsplit(text.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise _bad(text, "it is no web address") from None
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise _bad(text, "expected https://NAME, with a /PREFIX if there is one")
        if parts.username is not None or parts.query or parts.fragment or port == 0:
            raise _bad(text, "expected a name, a port and a path alone")
        prefix = parts.path.rstrip("/")
        if not _PREFIX.fullmatch(prefix):
            raise _bad(text, "in its path letters, digits and -_.~ can stand")
        if prefix.split("/")[1:][:1] and prefix.split("/")[1] in OWN_NAMES:
            raise _bad(text, f"{prefix!r} begins like an address of the page; choose another path")
        return cls(parts.scheme, _ascii(text, host), port or DEFAULT_PORTS[parts.scheme], prefix)

    @property
    def origin(self) -> str:
        """Return the origin as a browser writes it into `Origin`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == DEFAULT_PORTS[self.scheme]
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")

    @property
    def address(self) -> str:
        """Without a slash at the end."""
        return self.origin + self.prefix

    @property
    def is_of_this_machine(self) -> bool:
        """Whether nobody else can mean this page by it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def _bad(text: str, why: str) -> BadPublicUrl:
    return BadPublicUrl(f"{text!r} cannot be the page's public address: {why}")


def _ascii(text: str, host: str) -> str:
    """A name as it is looked up and as browsers send it. Raises BadPublicUrl."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _bad(text, "its host is no address") from None
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise _bad(text, "its host is no name")
    return name
