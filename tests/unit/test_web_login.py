"""Signing in: no secret in an address, a link that works once, and nobody signed in by another
site."""

import pytest

from tests.unit.test_web_guard import TOKEN, without_database
from tests.web_client import Client
from web.sessions import Access
from web.tokens import Role, Token


@pytest.fixture
def page() -> Client:
    return Client(without_database(TOKEN))


def access(page: Client) -> Access:
    found = page.app.state.reid.access
    assert isinstance(found, Access)
    return found


def code_for(page: Client) -> str:
    token = access(page).token_of(TOKEN)
    assert token
    return access(page).new_code(token)


def test_a_token_in_an_address_signs_nobody_in_and_does_not_stay_there(page: Client) -> None:
    for given in (TOKEN, "a-token-of-nobody"):
        answer = page.get(f"/login?token={given}")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?typed=yes"
        assert "set-cookie" not in answer.headers
    assert "A token is not taken from an address" in page.get("/login?typed=yes").text
    assert page.get("/").status_code == 401


def test_a_token_in_any_other_address_lets_nobody_in(page: Client) -> None:
    for url in (f"/?token={TOKEN}", f"/api/v1/models?token={TOKEN}", f"/sets?access_token={TOKEN}"):
        assert page.get(url).status_code == 401


def test_a_code_signs_in_once(page: Client) -> None:
    code = code_for(page)
    assert page.get(f"/login?code={code}").status_code == 200  # opening a link uses nothing up
    entered = page.post("/login", data={"code": code, "next": "/sets"})
    assert entered.status_code == 303
    assert entered.headers["location"] == "/sets"
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert page.get("/nowhere").status_code == 404

    other = Client(page.app)
    again = other.post("/login", data={"code": code})
    assert again.status_code == 401
    assert "This link has signed somebody in already" in again.text
    assert other.get("/nowhere").status_code == 401


def test_a_code_has_the_rights_of_its_token() -> None:
    page = Client(without_database(TOKEN))
    reader = Token("a-token-for-reading", Role.READ)
    code = access(page).new_code(reader)
    page.post("/login", data={"code": code})
    assert page.get("/nowhere").status_code == 404
    assert page.post("/collections/gallery/retry").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("field", ["code", "token"])
def test_another_site_signs_nobody_in(page: Client, field: str, headers: dict[str, str]) -> None:
    secret = code_for(page) if field == "code" else TOKEN
    forged = page.post("/login", data={field: secret}, headers=headers)
    assert forged.status_code == 403
    assert "set-cookie" not in forged.headers
    own = {"origin": "http://localhost:8000"}
    assert page.post("/login", data={field: secret}, headers=own).status_code == 303


def test_guessed_codes_lock_out_like_guessed_tokens(page: Client) -> None:
    answers = [page.post("/login", data={"code": f"guess-{n}"}).status_code for n in range(12)]
    assert answers == [401] * 10 + [429] * 2


@pytest.mark.parametrize("given", ["", "é", "\ud7ff", "x" * 100_000])
def test_whatever_is_sent_as_a_code_is_no_fault(page: Client, given: str) -> None:
    assert page.post("/login", data={"code": given}).status_code == 401


def test_the_form_needs_no_script(page: Client) -> None:
    form = page.get("/login").text
    assert '<form method="post" action="/login"' in form
    assert 'id="by-link" hidden' in form
    assert 'src="/static/login.js"' in form
    assert page.post("/login", data={"token": TOKEN, "code": ""}).status_code == 303
