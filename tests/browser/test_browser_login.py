"""The printed link in a real browser: the code leaves the address, and a press of the button signs
in."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Site
from web.app import create_app
from web.serve import _listening
from web.tokens import Role, Token

TOKEN = "a-token-for-the-tests"


@pytest.fixture
def locked(site: Site) -> Iterator[tuple[str, Any]]:
    """(the address of a page that asks for a token, who may see it)."""
    import socket

    import uvicorn

    app = create_app(site.engine, token=TOKEN)
    with _listening("127.0.0.1", 0, socket.AF_INET) as listening:
        serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", app.state.reid.access
        serving.should_exit = True
        thread.join(20)


def test_the_printed_link_signs_in_by_a_press_and_leaves_no_secret(
    browser: Any, locked: tuple[str, Any]
) -> None:
    url, access = locked
    code = access.new_code(Token(TOKEN, Role.ADMIN))
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/login#code={code}")
    page.wait_for_selector("#by-link", state="visible")
    assert page.url == f"{url}/login"
    assert not page.is_visible("#token")
    page.wait_for_timeout(300)
    assert context.cookies() == []  # opening it has signed nobody in
    page.click("button[type=submit]")
    page.wait_for_url(f"{url}/")
    assert "Overview" in page.text_content("nav")
    assert not any(code in address for address in asked)

    page.goto(f"{url}/login#code={code}")
    page.click("button[type=submit]")
    assert "This link has signed somebody in already" in page.text_content("#wrong")
    context.close()


def test_a_link_of_another_site_fills_nothing_in_but_a_code(
    browser: Any, locked: tuple[str, Any]
) -> None:
    url, _ = locked
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/login#token={TOKEN}")
    assert page.input_value("#token") == ""
    assert page.is_visible("#token")
    context.close()
