"""The proxies that stand before the page, and what they say of where a request comes from."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


class BadProxy(UsageError):
    """A proxy is named by what is no address."""


@dataclass(frozen=True)
class Proxies:
    """The addresses whose `X-Forwarded-For` is believed."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """From addresses and networks, several in one text too. Raises BadProxy.

        >>> Proxies.parse(["10.0.0.7, 172.16.0.0/12"]).trusts("172.18.0.2")
        True
        """
        words = [word for text in texts for word in re.split(r"[,\s]+", text) if word]
        return cls(tuple(_network(word) for word in words))

    def trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self.networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """Who asked: `peer` is who opened the connection, `forwarded` the values of
        `X-Forwarded-For`. Each proxy adds at the end from whom it had the request, so it is read
        from there, and only as far as those who wrote it are trusted: what a client has put there
        itself counts for nothing.

        >>> proxies = Proxies.parse(["127.0.0.1"])
        >>> proxies.client("127.0.0.1", ["6.6.6.6, 203.0.113.9"])
        '203.0.113.9'
        >>> proxies.client("198.51.100.1", ["6.6.6.6"])
        '198.51.100.1'
        """
        hop = peer
        for said in reversed([part for value in forwarded for part in value.split(",")]):
            address = _address(said)
            if address is None or not self.trusts(hop):
                break
            hop = str(address)
        return hop


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise BadProxy(
            f"{word!r} is no address of a proxy; expected one like 10.0.0.7, or a network like "
            "172.16.0.0/12"
        ) from None


def _address(text: str) -> Address | None:
    """Some proxies write a port behind it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
