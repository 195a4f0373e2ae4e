"""Who may do what with the API, how often, and how a refusal reads."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import Engine, create_engine, text

from tests.api_client import V1, detail, ingest
from tests.web_client import RED, Client, jpeg
from web.app import create_app
from web.rate_limit import FAILURES_AT_ONCE, Buckets
from web.roles import READING, needed, rule_for
from web.tokens import BadToken, Role, Token, distinct, from_environment, from_file

NOWHERE = "postgresql+psycopg://someone@127.0.0.1:1/nothing"
SECRETS = {role: f"the-token-to-{role.word}" for role in Role}
TOKENS = [Token(secret, role) for role, secret in SECRETS.items()]
ANNA = Token("anna's own secret", Role.REVIEW, "anna")


class Program(Client):
    """A client that sends a token with each request."""

    def __init__(self, app: FastAPI, secret: str) -> None:
        super().__init__(app)
        self.secret = secret

    def send(self, method: str, url: str, **options: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret}"}
        return super().send(method, url, **{"headers": headers, **options})


def app_of(**options: object) -> FastAPI:
    return create_app(create_engine(NOWHERE), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def app(engine: Engine, api: Client) -> Iterator[FastAPI]:
    """The same gallery, with tokens."""
    assert api.get(f"{V1}/health").is_success
    yield create_app(engine, tokens=[*TOKENS, ANNA])


# --- roles


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/images", Role.ADMIN),
        ("DELETE", "/query-sets/a", Role.ADMIN),
        ("POST", "/query-sets", Role.REVIEW),
        ("POST", "/query-sets/a/runs", Role.REVIEW),
        ("PUT", "/query-sets/a/queries/b/verdicts/1", Role.REVIEW),
        ("DELETE", "/query-sets/a/queries/b/verdicts/1", Role.REVIEW),
        ("POST", "/search", Role.READ),
        ("GET", "/query-sets/a/export", Role.READ),
        ("GET", "/metrics", Role.READ),
    ],
)
def test_a_role_lets_do_what_it_says_and_no_more(
    app: FastAPI, method: str, path: str, role: Role
) -> None:
    for own in Role:
        response = Program(app, SECRETS[own]).send(method, V1 + path)
        if own < role:
            said = f"this needs the role {role.word}; your token's role is {own.word}"
            assert detail(response, 403) == said
        else:
            assert response.status_code not in (401, 403)


def test_without_a_token_nothing_is_told(app: FastAPI) -> None:
    response = Client(app).get(f"{V1}/collections")
    assert detail(response, 401) == "send the token, as `Authorization: Bearer TOKEN`"
    assert response.headers["www-authenticate"] == "Bearer"
    assert Client(app).get(f"{V1}/health").is_success
    assert Client(app).get(f"{V1}/openapi.json").is_success


def routes_below(router: APIRouter) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from routes_below(included)


def test_every_route_that_changes_something_has_a_rule(app: FastAPI) -> None:
    routes = list(routes_below(app.router))
    changing = [(m, r.path) for r in routes for m in sorted((r.methods or set()) - READING)]
    assert len(changing) > 8
    for method, path in changing:
        example = path.replace("{image_id}", "7")
        assert rule_for(method, example), f"{method} {path}: add a rule to web/roles.py"


def test_what_no_rule_names_is_for_admins() -> None:
    assert needed("POST", "/something/new") is Role.ADMIN
    assert needed("GET", "/something/new") is Role.READ
    assert needed("POST", "/api/v1/searching") is Role.ADMIN
    assert needed("DELETE", "/api/v1/query-sets/a\nb") is Role.ADMIN


def test_who_searched_stands_in_the_audit_log(app: FastAPI, engine: Engine) -> None:
    def last_actor() -> str:
        with engine.connect() as connection:
            stmt = text("SELECT actor FROM audit ORDER BY id DESC LIMIT 1")
            actor: str = connection.execute(stmt).scalar_one()
        return actor

    question = {"collections": ["gallery"], "where": "hat"}
    Program(app, ANNA.secret).post(f"{V1}/search", json=question)
    assert last_actor() == "anna"
    Program(app, SECRETS[Role.READ]).post(f"{V1}/search", json=question)
    assert last_actor() == "web:read"
    browser = Client(app)
    browser.post("/login", data={"token": SECRETS[Role.REVIEW]})
    browser.post(f"{V1}/search", json=question)
    shared, _, session = last_actor().rpartition(":")
    assert (shared, len(session)) == ("web:review", 6)


def test_a_session_has_its_tokens_role(app: FastAPI) -> None:
    browser = Client(app)
    browser.post("/login", data={"token": SECRETS[Role.READ]})
    assert browser.get(f"{V1}/collections").is_success
    assert "this needs the role admin" in detail(ingest(browser, "a.jpg", jpeg(RED)), 403)


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"origin": "http://localhost:8000"}, False),
        ({"origin": "https://localhost:8000"}, True),
        ({"x-forwarded-proto": "https"}, True),
    ],
)
def test_behind_a_proxy_with_tls_the_cookie_is_secure(
    headers: dict[str, str], secure: bool
) -> None:
    token = {"token": SECRETS[Role.READ]}
    response = Client(app_of(tokens=TOKENS)).post("/login", data=token, headers=headers)
    assert ("; Secure" in response.headers["set-cookie"]) is secure
    assert "HttpOnly" in response.headers["set-cookie"]


# --- tokens


def test_tokens_of_the_environment() -> None:
    given = {"REID_TOKEN": "a" * 16, "REID_TOKEN_READ": "b" * 16, "REID_TOKEN_REVIEW": ""}
    roles = [(token.role, token.label) for token in from_environment(given)]
    assert roles == [(Role.ADMIN, "web:admin"), (Role.READ, "web:read")]
    with pytest.raises(BadToken, match="REID_TOKEN_REVIEW has fewer than 16 characters"):
        from_environment({"REID_TOKEN_REVIEW": "short"})
    with pytest.raises(BadToken, match="two tokens are equal"):
        distinct(from_environment({**given, "REID_TOKEN_READ": "a" * 16}))
    assert "a" * 16 not in repr(from_environment(given))


def test_tokens_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# people\n\nanna review {'a' * 16}\nbot  read  {'b' * 20}\n")
    assert [(t.label, t.role) for t in from_file(path)] == [
        ("anna", Role.REVIEW),
        ("bot", Role.READ),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no token; expected lines of NAME ROLE TOKEN"),
        ("anna owner aaaaaaaaaaaaaaaa", "line 1: expected NAME ROLE TOKEN, with a role of read"),
        ("anna read", "line 1: expected NAME ROLE TOKEN"),
        ("\nanna read short", "line 2 has fewer than 16 characters"),
    ],
)
def test_a_bad_file_of_tokens(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(content)
    with pytest.raises(BadToken, match=said):
        from_file(path)
    with pytest.raises(BadToken, match="cannot read the tokens in"):
        from_file(tmp_path / "nothing")


# --- rates


def test_who_asks_too_often_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("web.rate_limit.time.monotonic", lambda: now[0])
    client = Client(app_of(per_minute=12))  # three at once, one more each five seconds
    statuses = [client.get(f"{V1}/openapi.json").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = client.get(f"{V1}/openapi.json")
    assert detail(refused, 429) == "too many requests; try again in 5 s"
    assert refused.headers["retry-after"] == "5"
    assert client.get("/static/page.css").status_code == 200
    now[0] += 5
    assert client.get(f"{V1}/openapi.json").status_code == 200
    assert client.get(f"{V1}/openapi.json").status_code == 429


def test_each_token_has_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.rate_limit.time.monotonic", lambda: 1000.0)
    app = app_of(tokens=TOKENS, per_minute=4)
    first, second = (Program(app, SECRETS[role]) for role in (Role.READ, Role.REVIEW))
    assert [first.get("/static/x").status_code for _ in range(3)] == [404] * 3
    assert [first.get(f"{V1}/openapi.json").status_code for _ in range(2)] == [200, 429]
    assert second.get(f"{V1}/openapi.json").status_code == 200


def test_many_pictures_are_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.rate_limit.time.monotonic", lambda: 1000.0)
    client = Client(app_of(per_minute=8))
    assert {client.get("/image/x.jpg").status_code for _ in range(60)} == {404}
    assert {client.get("/image/x.jpg").status_code for _ in range(60)} == {404, 429}


def test_without_a_limit_nothing_is_counted() -> None:
    client = Client(app_of(per_minute=0))
    assert {client.get(f"{V1}/openapi.json").status_code for _ in range(20)} == {200}


def test_guessing_tokens_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("web.rate_limit.time.monotonic", lambda: now[0])
    app = app_of(tokens=TOKENS)
    signed_in, right = Client(app), Program(app, SECRETS[Role.READ])
    signed_in.post("/login", data={"token": SECRETS[Role.READ]})
    for n in range(FAILURES_AT_ONCE // 2):
        assert Client(app).post("/login", data={"token": f"guess {n}"}).status_code == 401
        assert Program(app, f"guess {n}").get(f"{V1}/models").status_code in (401, 429)
    refused = right.get(f"{V1}/openapi.json")
    assert "too many wrong tokens came from this address" in detail(refused, 429)
    assert Client(app).post("/login", data={"token": SECRETS[Role.READ]}).status_code == 429
    assert signed_in.get(f"{V1}/openapi.json").status_code == 200
    now[0] += 10
    assert right.get(f"{V1}/openapi.json").status_code == 200


def test_buckets_forget_the_longest_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.rate_limit.MAX_CLIENTS", 2)
    buckets = Buckets(per_minute=60, burst=1)
    assert [buckets.wait(key) for key in "abc"] == [0, 0, 0]
    assert buckets.wait("a") == 0
    assert 0 < buckets.wait("c") <= 1


# --- other refusals


def test_refusals_of_the_guard_are_problems() -> None:
    client = Client(app_of())
    name = client.get(f"{V1}/models", headers={"host": "evil.example"})
    assert "does not answer to the name 'evil.example'" in detail(name, 421)
    forged = client.post(f"{V1}/search", headers={"origin": "http://evil.example"})
    assert detail(forged, 403) == (
        "a request from another web site is not taken; where a proxy stands before this page, "
        "start it with `reid serve --public-url URL`"
    )
    large = client.post(f"{V1}/images", files={"image": ("a.jpg", b"x" * 17 * 2**20)})
    assert "larger than 16 MiB" in detail(large, 413)
    down = client.get(f"{V1}/models")
    assert "no database server answers at 127.0.0.1:1" in detail(down, 503)
    assert down.json()["type"] == "urn:reid:problem:database-unreachable"


def test_health_tells_a_stranger_nothing() -> None:
    app = app_of(tokens=TOKENS)
    said = detail(Client(app).get(f"{V1}/health"), 503)
    assert said == "the database cannot be used; `reid doctor` says why"
    known = Program(app, SECRETS[Role.READ]).get(f"{V1}/health")
    assert "127.0.0.1:1" in detail(known, 503)


def test_pages_may_run_their_own_scripts_alone() -> None:
    policy = Client(app_of()).get("/login").headers["content-security-policy"]
    assert "script-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
