"""The page's small parts, and what `reid serve` refuses, without a database."""

import socket

import pytest
from starlette.datastructures import FormData, QueryParams

from cli import run
from search.filters.errors import BadFilter
from search.filters.parse import parse
from web.hosts import host_name
from web.pages.facet_boxes import facets, ticked_in, with_ticks
from web.pages.gallery import MAX_ID, after_of
from web.pages.paging import page_number, pages_of
from web.pages.search_form import Form
from web.uploads import file_name

# --- attributes as boxes


@pytest.mark.parametrize(
    ("where", "ticked"),
    [
        ("", set()),
        ("gender = female", {"gender:female"}),
        ("hat", {"hat:yes"}),
        ("upper_color in (red, white) and hat = no",
         {"upper_color:red", "upper_color:white", "hat:no"}),
        ("gender = female or hat", set()),
        ("not hat and camera = 3", set()),
        ("upper_color = red and upper_color = white", set()),
        ("(gender = male and hat) and quality > 0.5", {"gender:male", "hat:yes"}),
    ],
)  # fmt: skip
def test_which_boxes_a_filter_ticks(where: str, ticked: set[str]) -> None:
    assert ticked_in(where) == ticked


@pytest.mark.parametrize(
    ("where", "before", "after", "expected"),
    [
        ("", [], ["gender:female"], "gender = female"),
        ("", [], ["hat:yes", "upper_color:red", "upper_color:white"],
         "hat and upper_color in (white, red)"),
        ("camera = 3", [], ["gender:male"], "camera = 3 and gender = male"),
        ("gender = male and camera = 3", ["gender:male"], ["gender:female"],
         "gender = female and camera = 3"),
        ("gender = male", ["gender:male"], [], ""),
        ("camera = 3 and gender = male", ["gender:male"], [], "camera = 3"),
        ("hat or backpack", [], ["gender:male"], "(hat or backpack) and gender = male"),
        # what was typed wins over a box that nobody touched
        ("CAMERA =  3", ["gender:male"], ["gender:male"], "CAMERA =  3"),
        ("camera = 3", ["gender:male"], [], "camera = 3"),
        # a box that is none
        ("hat", [], ["gender:nobody", "pid:3", "x"], "hat"),
    ],
)  # fmt: skip
def test_ticking_changes_the_filter(
    where: str, before: list[str], after: list[str], expected: str
) -> None:
    assert with_ticks(where, before, after) == expected
    if expected:
        parse(expected)


def test_ticks_need_a_filter_that_reads() -> None:
    with pytest.raises(BadFilter):
        with_ticks("hatt", [], ["gender:male"])


def test_every_box_makes_a_filter_and_is_ticked_by_it() -> None:
    for facet in facets([]):
        for box in facet.boxes:
            assert ticked_in(with_ticks("", [], [box.value])) == {box.value}


# --- the form and its address


def test_a_form_survives_its_address() -> None:
    sent = FormData(
        [
            ("collection", 'a "b"&c'), ("collection", "d/ä"), ("image_id", "5"),
            ("where", 'path starts with "x&y=z#"'), ("max_distance", "auto"), ("limit", "3"),
            ("not_same_camera", "yes"), ("no_duplicates", "yes"), ("purpose", "why, + what"),
        ]
    )  # fmt: skip
    form = Form.read(sent)
    address = form.address()
    assert Form.read(QueryParams(address.partition("?")[2])) == form
    assert "page" not in address


def test_an_empty_form_asks_nothing() -> None:
    assert not Form.read(QueryParams("collection=a&limit=3&where=+")).asks


# --- names and numbers


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Localhost:8000", "localhost"), ("[::1]:8000", "::1"), ("::1", "::1"), ("a", "a"),
        ("a:b", "a:b"), (":80", ":80"), ("a:1:2", "a:1:2"), ("[::1", "::1"),
    ],
)  # fmt: skip
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("C:\\people\\a.jpg", "a.jpg"), ("../../etc/passwd", "passwd"), ("", "upload"),
        (None, "upload"), ("a\0b.jpg", "ab.jpg"), ("a/", "upload"), ("x" * 300, "x" * 200),
    ],
)  # fmt: skip
def test_file_names(sent: str | None, name: str) -> None:
    assert file_name(sent) == name


@pytest.mark.parametrize(
    ("given", "page"),
    [(None, 1), ("", 1), ("3", 3), ("0", 1), ("-1", 1), ("x", 1), ("9" * 30, 1), ("²", 1)],
)
def test_page_numbers(given: str | None, page: int) -> None:
    assert page_number(given) == page


def test_pages() -> None:
    empty, middle, beyond = (pages_of(*a, "?") for a in ((0, 10, 1), (25, 10, 2), (25, 10, 9)))
    assert (empty.first, empty.last, empty.pages, empty.next) == (0, 0, 1, None)
    assert (middle.first, middle.last) == (11, 20)
    assert (middle.previous, middle.next) == ("?page=1", "?page=3")
    assert (beyond.previous, beyond.next) == ("?page=3", None)


# --- reid serve


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_TOKEN", raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_need_a_token(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", host]) == 2
    assert f"{host} can be reached from other machines; add --token" in capsys.readouterr().err


def test_a_short_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REID_TOKEN", "secret")
    assert run(["serve", "--host", "0.0.0.0", "--token"]) == 2
    assert "REID_TOKEN has fewer than 16 characters" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["", "no such host.invalid"])
def test_an_unknown_host(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", host]) == 2
    assert "no address is known for host" in capsys.readouterr().err


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert said == f"reid: port {port} of 127.0.0.1 is in use; choose another one with --port\n"


def test_a_port_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--port", "65536"]) == 2
    assert "65536" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ("7", 7),
        (None, 0),
        ("-1", 0),
        ("²", 0),
        ("9" * 19, MAX_ID),
        ("9" * 20, MAX_ID),
        ("1" * 5_000, MAX_ID),
    ],
)
def test_where_a_piece_of_a_gallery_starts(given: str | None, after: int) -> None:
    assert after_of(given) == after
