"""What every request passes: host, origin, access, size; and what every answer carries."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine

from rendering.frames import FRAMES
from tests.web_client import Client
from web.app import create_app
from web.guard import BODY_BYTES
from web.render import HERE
from web.sessions import COOKIE, SESSION_SECONDS

TOKEN = "a-token-for-the-tests"
NOWHERE = "postgresql+psycopg://someone@127.0.0.1:1/nothing"


def without_database(token: str | None = None, host: str = "127.0.0.1") -> FastAPI:
    """An app whose database does not answer."""
    return create_app(create_engine(NOWHERE), token=token, host=host)


@pytest.fixture
def open_page() -> Client:
    return Client(without_database())


@pytest.fixture
def locked_page() -> Client:
    return Client(without_database(TOKEN))


# --- headers


@pytest.mark.parametrize("url", ["/login", "/nowhere", "/health", "/static/page.css", "/"])
def test_every_answer_has_the_safety_headers(open_page: Client, url: str) -> None:
    headers = open_page.get(url).headers
    policy = headers["content-security-policy"]
    for part in (
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    # with no-referrer a browser would send `Origin: null` with the page's own forms
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if url.startswith("/static") else "no-store")


def test_a_refusal_has_them_too(locked_page: Client) -> None:
    for response in (
        locked_page.get("/"),
        locked_page.get("/", headers={"host": "evil.example"}),
        locked_page.post("/login", headers={"origin": "http://evil.example"}),
    ):
        assert response.status_code >= 400
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_a_fault_of_our_own_has_a_page(open_page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_engine: object) -> None:
        raise RuntimeError("inside information")

    monkeypatch.setattr("web.pages.overview.all_held", broken)
    response = open_page.get("/")
    assert response.status_code == 500
    assert "a fault of the program" in response.text
    assert "inside information" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


# --- host names: DNS rebinding


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:8000"])
def test_loopback_names_are_answered(open_page: Client, host: str) -> None:
    assert open_page.get("/login", headers={"host": host}).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost@evil", "10.0.0.7", ""]
)
def test_other_names_are_not(open_page: Client, host: str) -> None:
    response = open_page.get("/health", headers={"host": host})
    assert response.status_code == 421
    assert "does not answer to the name" in response.text


def test_a_hostile_name_is_escaped(open_page: Client) -> None:
    response = open_page.get("/", headers={"host": "<script>alert(1)</script>"})
    assert response.status_code == 421
    assert "<script" not in response.text


def test_the_given_name_is_answered() -> None:
    page = Client(without_database(TOKEN, "people.example"))
    assert page.get("/login", headers={"host": "people.example:8000"}).status_code == 200
    assert page.get("/login", headers={"host": "10.0.0.7:8000"}).status_code == 421


def test_on_every_address_any_number_is_answered_but_no_strange_name() -> None:
    page = Client(without_database(TOKEN, "0.0.0.0"))
    assert page.get("/login", headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert page.get("/login", headers={"host": "[fe80::1]:8000"}).status_code == 200
    assert page.get("/login", headers={"host": "evil.example"}).status_code == 421


# --- other web sites: forged requests


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:8001"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(open_page: Client, headers: dict[str, str]) -> None:
    response = open_page.post("/login", headers=headers, data={"token": "x"})
    assert response.status_code == 403
    assert "another web site" in response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
        {"origin": "https://localhost:8000"},  # behind a proxy
        {},  # a program
    ],
)
def test_an_own_form_is_taken(locked_page: Client, headers: dict[str, str]) -> None:
    assert locked_page.post("/login", headers=headers, data={"token": TOKEN}).status_code == 303


def test_another_site_may_link_here_but_not_embed(open_page: Client) -> None:
    linked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert open_page.get("/login", headers=linked).status_code == 303
    assert open_page.get("/image/1", headers=embedded).status_code == 403


# --- the token


@pytest.mark.parametrize("url", ["/", "/search", "/sets", "/image/1", "/nowhere", "/loginx"])
def test_without_the_token_nothing_is_shown(locked_page: Client, url: str) -> None:
    response = locked_page.get(url)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert f'name="next" value="{url}"' in response.text


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 404),
        (f"bearer {TOKEN}", 404),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer töken", 401),
    ],
)
def test_bearer(locked_page: Client, given: str, status: int) -> None:
    headers = {"authorization": given.encode()}
    assert locked_page.get("/nowhere", headers=headers).status_code == status


def test_the_cookie_is_for_this_page_alone(locked_page: Client) -> None:
    response = locked_page.post("/login", data={"token": TOKEN})
    cookie = response.headers["set-cookie"]
    assert response.status_code == 303
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert locked_page.get("/nowhere").status_code == 404


def test_the_form_signs_in_and_goes_where_one_wanted_to(locked_page: Client) -> None:
    wrong = locked_page.post("/login", data={"token": "nonsense", "next": "/sets"})
    assert wrong.status_code == 401
    assert "That is not the token" in wrong.text
    assert "set-cookie" not in wrong.headers
    right = locked_page.post("/login", data={"token": f" {TOKEN} ", "next": "/sets?page=2"})
    assert (right.status_code, right.headers["location"]) == (303, "/sets?page=2")
    assert locked_page.get("/nowhere").status_code == 404


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_signing_in_leads_to_no_other_site(locked_page: Client, elsewhere: str) -> None:
    response = locked_page.post("/login", data={"token": TOKEN, "next": elsewhere})
    assert response.headers["location"] == "/"


def test_over_https_the_cookie_is_secure() -> None:
    page = Client(without_database(TOKEN), "https://localhost")
    assert "Secure" in page.post("/login", data={"token": TOKEN}).headers["set-cookie"]


def test_signing_out(locked_page: Client) -> None:
    locked_page.post("/login", data={"token": TOKEN})
    session = locked_page.cookies[COOKIE]
    assert locked_page.post("/logout").headers["location"] == "/login"
    locked_page.cookies.set(COOKIE, session)
    assert locked_page.get("/nowhere").status_code == 401


def test_a_session_ends(locked_page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    locked_page.post("/login", data={"token": TOKEN})
    later = time.monotonic() + SESSION_SECONDS + 1
    monkeypatch.setattr("web.sessions.time.monotonic", lambda: later)
    assert locked_page.get("/nowhere").status_code == 401


def test_what_is_needed_to_sign_in_is_open(locked_page: Client) -> None:
    assert locked_page.get("/login").status_code == 200
    assert locked_page.get("/static/page.css").status_code == 200
    assert locked_page.get("/static/../app.py").status_code in (401, 404)


# --- size


def test_a_declared_length_beyond_the_limit_is_refused_unread(open_page: Client) -> None:
    response = open_page.post("/search", files={"image": ("a.jpg", b"x" * (BODY_BYTES + 1))})
    assert response.status_code == 413
    assert "larger than 16 MiB" in response.text


def test_a_length_that_was_not_declared_is_refused_too(open_page: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(BODY_BYTES // 2**20 + 2):
            yield b"x" * 2**20

    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = open_page.post("/search", content=endless(), headers=headers)
    assert response.status_code == 413
    assert "larger than 16 MiB" in response.text


# --- the database is down


def test_health_says_why(open_page: Client) -> None:
    response = open_page.get("/health")
    assert response.status_code == 503
    assert response.json()["status"] == "down"
    assert "no database server answers at 127.0.0.1:1" in response.json()["reason"]


def test_health_is_open_but_tells_a_stranger_nothing(locked_page: Client) -> None:
    response = locked_page.get("/health")
    assert response.status_code == 503
    assert "127.0.0.1" not in response.text
    known = locked_page.get("/health", headers={"authorization": f"Bearer {TOKEN}"})
    assert "127.0.0.1" in known.text


def test_a_page_says_why_and_offers_the_way_back(open_page: Client) -> None:
    response = open_page.get("/search?where=hat&collection=a")
    assert response.status_code == 503
    assert "no database server answers at 127.0.0.1:1; start it" in response.text
    assert 'href="/search?where=hat&amp;collection=a"' in response.text


# --- what the pages are made of


def test_no_template_holds_a_script_or_a_style_or_needs_another_site() -> None:
    own = re.compile(r'<script src="{{ prefix }}/static/[\w.-]+\.js"( defer)?></script>')
    for path in sorted((HERE / "templates").iterdir()):
        text = own.sub("", path.read_text())
        found = re.findall(r"<script|<style|style=|\son\w+=|javascript:|https?://|//\w", text)
        assert found == [], path.name
        # behind a proxy the page may lie below a prefix
        assert re.findall(r"""(?:href|src|action|hx-\w+)=["']/|url=/""", text) == [], path.name
    assert not re.search(r"https?://|@import|url\(", (HERE / "static" / "page.css").read_text())


def test_each_template_is_escaped() -> None:
    for path in sorted((HERE / "templates").iterdir()):
        assert not re.search(r"\|\s*safe|autoescape false", path.read_text()), path.name


def test_frames_have_the_colours_of_the_sheet() -> None:
    css = (Path(HERE) / "static" / "page.css").read_text()
    for frame in FRAMES:
        assert f"--{frame.name}: {frame.color};" in css
