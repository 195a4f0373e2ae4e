"""The names that the page answers to. A stranger's web site can make its own name mean this
machine (DNS rebinding); a request that comes under such a name is refused."""

import ipaddress
import socket
from threading import Thread

from web.public_url import PublicUrl

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


class Hosts:
    """Loopback names, the one that was given and that of the public address; where the given one is
    every address, also any number (an address cannot be rebound) and this machine's own names."""

    def __init__(self, given: str, public: PublicUrl | None = None) -> None:
        self.public = public
        self._is_everywhere = given in EVERY_ADDRESS
        self._names = LOOPBACK_NAMES | {given.lower(), *([public.host] if public else [])}
        if self._is_everywhere:
            self._names |= {socket.gethostname().lower()}
            # it asks the network, which may take long to say nothing
            Thread(target=self._learn_full_name, daemon=True).start()

    def _learn_full_name(self) -> None:
        self._names |= {socket.getfqdn().lower()}

    def allow(self, header: str) -> bool:
        """Whether a `Host` header names this page, with or without a port."""
        name = host_name(header)
        return name in self._names or (self._is_everywhere and is_address(name))

    def is_public(self, header: str) -> bool:
        """Whether a `Host` header has the public address's name, which no other page here has."""
        name = host_name(header)
        return self.public is not None and name == self.public.host and name not in LOOPBACK_NAMES

    def refusal(self, header: str) -> str:
        """What to say to a request under another name."""
        said = f"this page does not answer to the name {header!r}; "
        if self.public is not None:
            return said + f"open it at {self.public.address}"
        return said + (
            "open it as localhost, or start it with `reid serve --public-url URL`, the address "
            "that is typed into the browser"
        )


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
