"""The page behind a real nginx with TLS, at the root of a name and below a prefix.

nginx runs from the text in docs/page.md, on a free port, with a certificate of its own.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from db.connect import DatabaseAddress, make_engine
from tests.acceptance.test_page import ROOT, served
from tests.servers import free_port
from tests.web_client import fake_network, jpeg, page_of_four

TOKEN = "a-token-for-the-tests"
NGINX, OPENSSL = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("openssl")

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="no nginx here: apt-get install nginx"),
    pytest.mark.skipif(OPENSSL is None, reason="no openssl here: apt-get install openssl"),
]


@dataclass(frozen=True)
class Page:
    """A page that was started with a public address; nginx is to listen at its port."""

    prefix: str
    port: int
    listens: str
    certificate: Path

    @property
    def public(self) -> str:
        return f"https://localhost:{self.port}{self.prefix}"


@pytest.fixture(scope="module", params=["", "/find"], ids=["root", "prefix"])
def page(
    request: pytest.FixtureRequest,
    clone: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("proxied")
    assert OPENSSL
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", "reid.key", "-out", "reid.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    with pytest.MonkeyPatch.context() as patch, clone() as url:
        patch.setenv("REID_HOME", str(folder / "home"))
        fake_network(patch)
        engine = make_engine(DatabaseAddress(Path(), url))
        page_of_four(engine, folder / "crops")
        engine.dispose()
        public = f"https://localhost:{port}{request.param}"
        started = served(url, folder / "home", "--public-url", public, REID_TOKEN=TOKEN)
        with started as (printed, process):
            assert process.stderr
            listens = re.search(r"http://\S+(?=,)", process.stderr.readline())
            assert printed == f"{public}/login"
            assert listens
            yield Page(request.param, port, listens[0], folder / "reid.pem")


def documented(page: Page, *, keeps_prefix: bool, passes_host: bool) -> str:
    """nginx's configuration in docs/page.md, with this page's ports and files."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs" / "page.md").read_text(), re.S)
    assert found
    folder = page.certificate.parent
    host = "proxy_set_header Host $host;"
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{page.port} ssl",
        "server_name reid.example.org": "server_name localhost",
        "/etc/ssl": str(folder),
        "location /": f"location {page.prefix}/",
        "http://127.0.0.1:8000": page.listens + ("" if keeps_prefix else "/"),
        host: host if passes_host else "",
    }
    text = found[1]
    for documented_line, ours in changes.items():
        assert documented_line in text
        text = text.replace(documented_line, ours)
    temporary = "".join(
        f"{kind}_temp_path {folder};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.geteuid() == 0 else ""  # else it cannot write into this folder
    return (
        f"{user}daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}}"
        f"http {{ access_log off; client_body_temp_path {folder}/bodies; {temporary} {text} }}"
    )


@contextmanager
def nginx(page: Page, *, keeps_prefix: bool = True, passes_host: bool = True) -> Iterator[None]:
    folder = page.certificate.parent
    file = folder / "nginx.conf"
    file.write_text(documented(page, keeps_prefix=keeps_prefix, passes_host=passes_host))
    assert NGINX
    process = subprocess.Popen([NGINX, "-p", folder, "-c", file], stderr=subprocess.PIPE)
    try:
        for _ in range(100):
            assert process.poll() is None, process.communicate()
            if (folder / "pid").exists() and (folder / "pid").read_text().strip():
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def client(page: Page, source: str = "127.0.0.1") -> httpx.Client:
    """Somebody's browser, so far as one can be told from its address."""
    import ssl

    trusted = ssl.create_default_context(cafile=str(page.certificate))
    transport = httpx.HTTPTransport(local_address=source, verify=trusted)
    return httpx.Client(base_url=page.public + "/", transport=transport, timeout=60)


def signed_in(page: Page, browser: httpx.Client) -> httpx.Response:
    """As a browser sends the form of the page that asks for the token."""
    form = browser.get("login")
    assert form.status_code == 200
    action = re.search(r'<form method="post" action="([^"]+)"', form.text)
    assert action
    assert action[1] == f"{page.prefix}/login"
    origin = f"https://localhost:{page.port}"
    return browser.post(
        urljoin(origin, action[1]),
        data={"token": TOKEN, "next": f"{page.prefix}/search?collection=gallery"},
        headers={"origin": origin, "sec-fetch-site": "same-origin"},
    )


@pytest.mark.parametrize("passes_host", [True, False], ids=["host", "no-host"])
@pytest.mark.parametrize("keeps_prefix", [True, False], ids=["kept", "taken-off"])
def test_signing_in_and_walking_through_every_link(
    page: Page, *, keeps_prefix: bool, passes_host: bool
) -> None:
    with (
        nginx(page, keeps_prefix=keeps_prefix, passes_host=passes_host),
        client(page) as browser,
    ):
        assert browser.get("").status_code == 401
        entered = signed_in(page, browser)
        assert entered.status_code == 303
        assert entered.headers["location"] == f"{page.prefix}/search?collection=gallery"
        cookie = entered.headers["set-cookie"]
        assert f"Path={page.prefix}/;" in cookie
        assert "Secure" in cookie
        seen = walk(page, browser)
        below = {urlsplit(address).path.removeprefix(page.prefix) for address in seen}
        for path in ("/", "/search", "/collections/gallery", "/static/page.css", "/models"):
            assert path in below
        assert any(path.startswith("/image/") for path in below)


def walk(page: Page, browser: httpx.Client) -> set[str]:
    """Follows every link, picture, style and part of the pages; all lead below the prefix to what
    is there."""
    waiting = [f"{page.public}/", f"{page.public}/search?collection=gallery&image_id=1"]
    seen: set[str] = set()
    while waiting and len(seen) < 60:
        address = waiting.pop(0)
        if address in seen:
            continue
        seen.add(address)
        answer = browser.get(address)
        # a part of the search page is asked for with what its form holds, and says so without
        assert answer.status_code in (200, 400), (address, answer.text)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        for found in re.findall(r'(?:href|src|action|hx-get)="(?!data:|#)([^"]+)"', answer.text):
            target = urljoin(address, unescape(found)).partition("#")[0]
            assert target.startswith(f"{page.public}/"), (address, found)
            if not re.search(r"/(logout|run|retry|keep)$", target):
                waiting.append(target)
    return seen


def test_a_form_with_a_picture_an_answer_of_the_api_and_its_documentation(page: Page) -> None:
    with nginx(page), client(page) as browser:
        signed_in(page, browser)
        origin = {"origin": f"https://localhost:{page.port}"}
        big = jpeg((200, 20, 20)) + b"\0" * 3 * 2**20  # more than nginx takes unasked
        asked = browser.post(
            "search",
            data={"collection": "gallery"},
            files={"image": ("who.jpg", big, "image/jpeg")},
            headers=origin,
        )
        assert asked.status_code == 303, asked.text
        assert asked.headers["location"].startswith(f"{page.prefix}/search?collection=gallery&")
        foreign = browser.post("search", headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert f"this page is at {page.public}" in foreign.text

    program = {"authorization": f"Bearer {TOKEN}"}
    with nginx(page), client(page) as browser:
        document = browser.get("api/v1/openapi.json", headers=program).json()
        (server,) = document["servers"]
        address = "api/v1/collections/gallery/images?limit=3"
        piece = browser.get(address, headers=program).json()
        assert len(piece["items"]) == 3
        rest = browser.get(urljoin(page.public, piece["next"]), headers=program).json()
        assert len(rest["items"]) == 1
        question = {"collections": ["gallery"], "image_ids": [1], "limit": 2}
        at = urljoin(page.public, server["url"]).rstrip("/") + "/api/v1/search"
        answer = browser.post(at, json=question, headers=program).json()
        assert [match["rank"] for match in answer["queries"][0]["matches"]] == [1, 2]


def test_a_slash_too_many_leads_back_below_the_prefix(page: Page) -> None:
    with nginx(page, passes_host=False), client(page) as browser:
        signed_in(page, browser)
        answer = browser.get("search/")
        assert answer.headers["location"] == f"{page.prefix}/search"


def test_wrong_tokens_lock_out_their_own_sender_alone(page: Page) -> None:
    with nginx(page), client(page, "127.0.0.7") as guesser, client(page) as other:
        wrong = {"authorization": "Bearer a-token-of-nobody", "x-forwarded-for": "127.0.0.1"}
        codes = [guesser.get("api/v1/models", headers=wrong).status_code for _ in range(12)]
        assert codes == [401] * 9 + [429] * 3
        right = {"authorization": f"Bearer {TOKEN}"}
        assert guesser.get("api/v1/models", headers=right).status_code == 429
        assert other.get("api/v1/models", headers=right).status_code == 200
        assert signed_in(page, other).status_code == 303


def test_a_name_with_a_nul_is_refused_behind_the_proxy_too(page: Page) -> None:
    with nginx(page), client(page) as browser:
        program = {"authorization": f"Bearer {TOKEN}"}
        answer = browser.get("search?collection=a%00b", headers=program)
        assert answer.status_code == 400
        assert 400 <= browser.get("collections/a%00b", headers=program).status_code < 500


def test_people_can_also_reach_the_page_itself(page: Page) -> None:
    """Whoever looks after the machine asks it without the proxy."""
    with httpx.Client(base_url=page.listens, timeout=60) as direct:
        assert direct.get("/health").json()["status"] == "ok"
        origin = {"origin": page.listens}
        entered = direct.post("/login", data={"token": TOKEN}, headers=origin)
        assert entered.headers["location"] == f"{page.prefix}/"
        assert direct.get(entered.headers["location"]).status_code == 200
