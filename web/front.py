"""What stands between people and the page: its public address, and the proxies before it."""

import logging
from dataclasses import dataclass, field
from threading import Event

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import Scope

from web.hosts import Hosts
from web.proxies import LOOPBACK, Proxies
from web.public_url import PublicUrl

_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Front:
    """How requests arrive. With a public address the proxy on this machine is believed; with tokens
    it may also call the page by any name, since a name then opens nothing to anybody."""

    hosts: Hosts
    proxies: Proxies = field(default_factory=Proxies)
    is_open: bool = True
    _warned: Event = field(default_factory=Event)

    @classmethod
    def of(cls, host: str, public: PublicUrl | None, proxies: Proxies, *, is_open: bool) -> "Front":
        if public is not None:
            proxies = Proxies((*proxies.networks, *LOOPBACK))
        return cls(Hosts(host, public), proxies, is_open)

    @property
    def prefix(self) -> str:
        public = self.hosts.public
        return "" if public is None else public.prefix

    def arrive(self, scope: Scope) -> None:
        """Writes down who asked, and the path below the prefix, which a proxy may have taken off or
        left where it was."""
        peer = scope["client"][0] if scope.get("client") else ""
        scope["reid.from_proxy"] = self.proxies.trusts(peer)
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        if forwarded:
            scope["client"] = (self.proxies.client(peer, forwarded), 0)
        elif scope["reid.from_proxy"] and self.hosts.is_public(
            Headers(scope=scope).get("host", "")
        ):
            self._warn()
        path = str(scope["path"])
        if self.prefix:
            if path != self.prefix and not path.startswith(self.prefix + "/"):
                path = self.prefix + path
            scope["root_path"], scope["path"] = self.prefix, path

    def _warn(self) -> None:
        """Once: whoever is wrong about the token locks out everybody whom nothing tells apart."""
        if not self._warned.is_set():
            self._warned.set()
            _LOG.warning(
                "the proxy does not say who asks, so that all its clients count as one; let it "
                "send X-Forwarded-For (docs/page.md)"
            )

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """Why a request does not come from the page itself or a program; None where it does."""
        host = request.headers.get("host", "")
        by_proxy = request.scope["reid.from_proxy"] and not self.is_open
        if not self.hosts.allow(host) and not (by_proxy and self.hosts.public):
            return 421, self.hosts.refusal(host)
        if not self._is_own(request, host):
            return 403, "a request from another web site is not taken" + self._way_out()
        return None

    def _way_out(self) -> str:
        if self.hosts.public is not None:
            return f"; this page is at {self.hosts.public.address}"
        return (
            "; where a proxy stands before this page, start it with `reid serve --public-url URL`"
        )

    def _is_own(self, request: Request, host: str) -> bool:
        """False for what a page of another site makes a browser send: a form, a picture, a script.
        Following a link is fine. Programs that are no browsers send neither header."""
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if request.method not in ("GET", "HEAD"):
            if origin is not None:
                return self._is_own_origin(origin, host)
            return site in (None, "same-origin", "none")
        follows_link = request.headers.get("sec-fetch-mode") == "navigate"
        return site in (None, "same-origin", "none") or follows_link

    def _is_own_origin(self, origin: str, host: str) -> bool:
        """The public one whole; the one that the request was sent to by its host alone, since only
        the page itself knows no TLS."""
        public = self.hosts.public
        if public is not None and origin == public.origin:
            return True
        known = self.hosts.allow(host) and not self.hosts.is_public(host)
        return known and origin.partition("://")[2] == host
