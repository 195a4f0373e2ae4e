"""The names that the page answers to. A stranger's web site can make its own name mean this
machine (DNS rebinding); a request that comes under such a name is refused."""

import ipaddress
import socket
from dataclasses import dataclass

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True)
class Hosts:
    """Loopback names and the one that was given; where that is every address, also any number
    (an address cannot be rebound) and this machine's own names."""

    given: str

    @property
    def names(self) -> frozenset[str]:
        own = {socket.gethostname(), socket.getfqdn()} if self.given in EVERY_ADDRESS else set()
        return LOOPBACK_NAMES | {name.lower() for name in {self.given, *own}}

    def allow(self, header: str) -> bool:
        """Whether a `Host` header names this page, with or without a port."""
        name = host_name(header)
        return name in self.names or (self.given in EVERY_ADDRESS and is_address(name))


def host_name(header: str) -> str:
    """
    >>> host_name("Localhost:8000"), host_name("[::1]:8000"), host_name("::1")
    ('localhost', '::1', '::1')
    """
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    name, _, port = header.rpartition(":")
    return name if name and ":" not in name and port.isdigit() else header


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
