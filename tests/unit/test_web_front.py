"""The public address and the proxies: what is believed, what is refused, where addresses lead."""

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import create_engine

from cli import run
from tests.web_client import Client
from web.app import create_app
from web.hosts import Hosts
from web.proxies import LOOPBACK, BadProxy, Proxies
from web.public_url import OWN_NAMES, BadPublicUrl, PublicUrl

TOKEN = "a-token-for-the-tests"
NOWHERE = "postgresql+psycopg://someone@127.0.0.1:1/nothing"
PUBLIC = "https://reid.example.org/find"


def app_of(public: str | None = PUBLIC, token: str | None = TOKEN, **more: Any) -> FastAPI:
    url = None if public is None else PublicUrl.parse(public)
    return create_app(create_engine(NOWHERE), token=token, public_url=url, **more)


def through_proxy(client: str | None = None, host: str = "reid.example.org") -> dict[str, str]:
    return {"host": host} | ({"x-forwarded-for": client} if client else {})


# --- the address


@pytest.mark.parametrize(
    ("text", "address", "origin"),
    [
        ("https://reid.example.org", "https://reid.example.org", "https://reid.example.org"),
        (" HTTP://Reid.Example.org:80/ ", "http://reid.example.org", "http://reid.example.org"),
        ("https://a.b:8443/x/y_z/", "https://a.b:8443/x/y_z", "https://a.b:8443"),
        ("http://[2001:DB8::1]:8000/r", "http://[2001:db8::1]:8000/r", "http://[2001:db8::1]:8000"),
        (
            "https://bücher.example",
            "https://xn--bcher-kva.example",
            "https://xn--bcher-kva.example",
        ),
        ("http://reid", "http://reid", "http://reid"),
    ],
)
def test_an_address_is_read_as_browsers_write_it(text: str, address: str, origin: str) -> None:
    url = PublicUrl.parse(text)
    assert (url.address, url.origin) == (address, origin)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("reid.example.org", "expected https://NAME, with a /PREFIX if there is one"),
        ("ftp://reid.example.org", "expected https://NAME, with a /PREFIX if there is one"),
        ("https://", "expected https://NAME, with a /PREFIX if there is one"),
        ("https://a:b@reid.example.org", "expected a name, a port and a path alone"),
        ("https://reid.example.org/?a=b", "expected a name, a port and a path alone"),
        ("https://reid.example.org:0", "expected a name, a port and a path alone"),
        ("https://reid.example.org:99999", "it is no web address"),
        ("https://reid.example.org/a/../b", "in its path letters, digits and -_.~ can stand"),
        ("https://reid.example.org//a", "in its path letters, digits and -_.~ can stand"),
        ("https://reid.example.org/é", "in its path letters, digits and -_.~ can stand"),
        ("https://re id", "its host is no name"),
        ("https://reid.example.org/search", "'/search' begins like an address of the page; choose"),
    ],
)
def test_what_is_no_address_is_said(text: str, why: str) -> None:
    with pytest.raises(BadPublicUrl, match=re.escape(f"{text!r} cannot be the page's")) as raised:
        PublicUrl.parse(text)
    assert f"public address: {why}" in str(raised.value)


def test_every_address_of_the_page_is_kept_from_being_a_prefix() -> None:
    def paths(router: APIRouter) -> Iterator[str]:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route.path
            elif included := getattr(route, "original_router", None):
                yield from paths(included)
            else:
                yield str(getattr(route, "path", ""))

    first = {path.split("/")[1] for path in paths(app_of().router)} - {""}
    assert len(first) > 8
    assert first <= OWN_NAMES


# --- who asks


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # the first is the client's word
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),  # two headers are one list
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # a proxy before the proxy
        ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, <script>"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),  # nobody's proxy
        ("", ["203.0.113.9"], ""),
    ],
)
def test_a_trusted_proxy_alone_says_who_asks(peer: str, forwarded: list[str], client: str) -> None:
    assert Proxies.parse(["10.0.0.0/24"]).client(peer, forwarded) == client


def test_a_proxy_is_named_by_an_address() -> None:
    with pytest.raises(BadProxy, match=r"'nginx' is no address of a proxy; expected one like 10"):
        Proxies.parse(["nginx"])


def test_wrong_tokens_through_a_proxy_lock_out_their_sender_alone() -> None:
    page = Client(app_of())
    wrong = {"authorization": "Bearer a-token-of-nobody"}
    right = {"authorization": f"Bearer {TOKEN}"}
    url = "/api/v1/openapi.json"
    for _ in range(12):
        page.get(url, headers=through_proxy("6.6.6.6, 203.0.113.9") | wrong)
    assert page.get(url, headers=through_proxy("203.0.113.9") | right).status_code == 429
    assert page.get(url, headers=through_proxy("203.0.113.10") | right).status_code == 200
    assert page.get(url, headers=right).status_code == 200


def test_without_a_public_address_nobody_is_believed() -> None:
    page = Client(app_of(None))
    wrong = {"authorization": "Bearer a-token-of-nobody"}
    for number in range(12):
        page.get("/api/v1/models", headers=wrong | {"x-forwarded-for": f"203.0.113.{number}"})
    assert page.get("/api/v1/models", headers=wrong).status_code == 429


def test_a_proxy_that_does_not_say_who_asks_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page = Client(app_of())
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        page.get("/login", headers=through_proxy("203.0.113.9"))
        assert caplog.messages == []
        page.get("/login", headers=through_proxy())
        page.get("/login", headers=through_proxy())
    (said,) = caplog.messages
    assert "let it send X-Forwarded-For" in said


# --- the page itself, and no other site


@pytest.mark.parametrize(
    "host", ["reid.example.org", "REID.example.org:443", "upstream", "reid:80"]
)
def test_a_form_of_the_public_page_is_taken_however_the_proxy_calls_us(host: str) -> None:
    page = Client(app_of())
    headers = through_proxy("203.0.113.9", host) | {"origin": "https://reid.example.org"}
    answer = page.post("/login", data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/find/"
    assert "Path=/find/;" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("reid.example.org", "http://reid.example.org"),  # the same name without TLS
        ("reid.example.org", "https://reid.example.org:8443"),
        ("reid.example.org", "https://evil.example"),
        ("reid.example.org", "null"),
        ("evil.example", "https://evil.example"),  # a rebound name through a proxy for all names
        ("127.0.0.1:8000", "https://evil.example"),
    ],
)
def test_a_form_of_any_other_page_is_not(host: str, origin: str) -> None:
    headers = through_proxy("203.0.113.9", host) | {"origin": origin}
    answer = Client(app_of()).post("/login", data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 403
    assert "this page is at https://reid.example.org/find" in answer.text


def test_a_strange_name_from_nobodys_proxy_is_refused() -> None:
    page = Client(app_of("http://localhost:8443", None))  # open to whoever reaches it
    answer = page.get("/", headers=through_proxy("203.0.113.9", "evil.example"))
    assert answer.status_code == 421
    assert "open it at http://localhost:8443" in answer.text


def test_the_way_out_is_one_that_works() -> None:
    page = Client(app_of(None))
    renamed = page.get("/", headers={"host": "reid.example.org"})
    assert "start it with `reid serve --public-url URL`" in renamed.text
    forged = page.post("/login", headers={"origin": "https://reid.example.org"})
    assert "start it with `reid serve --public-url URL`" in forged.text


# --- below a prefix


@pytest.mark.parametrize("path", ["/login", "/find/login"])
def test_a_prefix_may_be_taken_off_or_not(path: str) -> None:
    answer = Client(app_of()).get(path)
    assert answer.status_code == 200
    assert 'action="/find/login"' in answer.text
    assert 'href="/find/static/page.css"' in answer.text
    assert Client(app_of()).get(path.replace("login", "static/page.css")).status_code == 200


def test_rights_and_problems_are_those_of_the_path_below_the_prefix() -> None:
    page = Client(app_of())
    answer = page.get("/find/api/v1/models")
    assert answer.status_code == 401
    assert answer.json()["instance"] == "/find/api/v1/models"
    asked = page.get("/find/sets?page=2")
    assert asked.status_code == 401
    assert 'name="next" value="/find/sets?page=2"' in asked.text
    assert page.get("/finder").status_code in (401, 404)


@pytest.mark.parametrize(
    "wanted", ["/other/page", "//evil.example", "https://evil.example", "/find"]
)
def test_signing_in_leads_nowhere_else(wanted: str) -> None:
    headers = {"origin": "https://reid.example.org"}
    answer = Client(app_of()).post("/login", data={"token": TOKEN, "next": wanted}, headers=headers)
    assert answer.headers["location"] == "/find/"


def test_another_pages_cookie_of_the_same_name_does_no_harm() -> None:
    page = Client(app_of())
    origin = {"origin": "https://reid.example.org"}
    entered = page.post("/login", data={"token": TOKEN}, headers=origin)
    session = entered.headers["set-cookie"].partition(";")[0]
    for cookie in (f"{session}; reid_session=theirs", f"reid_session=theirs; {session}"):
        answer = Client(app_of()).get("/openapi", headers={"cookie": cookie})
        assert answer.status_code == 401
        found = Client(page.app).get("/nowhere", headers={"cookie": cookie})
        assert found.status_code == 404


def test_a_fault_has_a_page_whose_links_lead_below_the_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_engine: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("web.pages.overview.all_held", broken)
    answer = Client(app_of()).get("/find/", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 500
    assert 'href="/find/"' in answer.text


# --- names


def test_the_network_is_asked_for_this_machines_name_once_and_by_nobody_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = [], threading.Event()

    def slow() -> str:
        asked.append(threading.current_thread())
        answer.wait(20)
        return "Box.Example"

    monkeypatch.setattr("socket.getfqdn", slow)
    hosts = Hosts("0.0.0.0")
    assert hosts.allow("localhost:8000")
    assert hosts.allow("10.0.0.7:8000")
    assert not hosts.allow("box.example:8000")
    answer.set()
    (thread,) = asked
    thread.join(20)
    assert all(hosts.allow("box.example:8000") for _ in range(100))
    assert len(asked) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/collections/a%00b", "/models/%00", "/sets/a%00", "/sets/a%00/export?as=csv",
        "/search?collection=%00", "/search?image_id=%00", "/nowhere%00", "/review?set=%00",
        "/attributes?collection=a%00", "/find/collections/%00", "/static/%00",
        "/api/v1/collections/a%00b/images", "/api/v1/query-sets/%00",
        "/api/v1/collections/gallery/images?where=%00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_nul_in_an_address_is_the_askers_mistake(method: str, path: str) -> None:
    """No database is there: whatever reached it would be 503 or 500."""
    page = Client(app_of(token=None, public="http://localhost/find"))
    answer = page.send(method, path)
    assert answer.status_code == 400
    assert "the address holds a character that no name has: %00" in answer.text


# --- the command


def test_a_public_address_needs_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--public-url", "https://reid.example.org/find"]) == 2
    assert capsys.readouterr().err.startswith(
        "reid: https://reid.example.org/find can be reached from other machines; add --token"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--public-url", "reid.example.org"], "'reid.example.org' cannot be the page's public"),
        (["--trusted-proxy", "nginx"], "'nginx' is no address of a proxy"),
        (["--host", "no such host.invalid"], "the name that others type is given by --public-url"),
    ],
)
def test_what_cannot_be_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_name_of_another_machine_says_what_it_may_have_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["serve", "--host", "192.0.2.1", "--token"]) == 1
    assert "give that by --public-url" in capsys.readouterr().err


def test_loopback_is_what_every_machine_calls_itself() -> None:
    proxies = Proxies(LOOPBACK)
    assert [proxies.trusts(a) for a in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == [True] * 3
    assert not proxies.trusts("10.0.0.1")
