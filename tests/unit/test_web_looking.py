"""The search page's own parts, without a database: the form of several images, the bars, the kept
answers."""

import pytest
from starlette.datastructures import FormData, QueryParams

from errors import UsageError
from rendering.pictures import Picture
from search.answer import Answer, Match
from search.histogram import Histogram
from web.kept_answers import OWN_WEIGHT, KeptAnswers
from web.pages.chart import HEIGHT, chart, number
from web.pages.facet_boxes import by_hand, facets
from web.pages.search_form import MAX_IMAGES, Form

# --- several images of one person


def test_several_images_survive_their_address() -> None:
    sent = FormData(
        [("image_id", "5, 7"), ("image_id", "9"), ("upload", "a"), ("upload", "b"), ("upload", "a"),
         ("nearest", "yes"), ("rerank", "yes"), ("set", "s"), ("query", "q")]
    )  # fmt: skip
    form = Form.read(sent)
    assert (form.image_ids(), form.uploads) == ((5, 7, 9), ("a", "b"))
    assert Form.read(QueryParams(form.address().partition("?")[2])) == form


def test_an_image_more_or_less_is_another_question() -> None:
    form = Form(image_id="5, 7", uploads=("a",), max_distance="auto", set="s", query="q", page=3)
    more = QueryParams(form.with_image(9).partition("?")[2])
    assert (more["image_id"], more["upload"], more["max_distance"]) == ("5, 7, 9", "a", "auto")
    assert not {"set", "query", "page"} & set(more)
    less = QueryParams(form.without_image(7).partition("?")[2])
    assert less["image_id"] == "5"
    # without any image there is nothing to measure a distance from
    nobody = QueryParams(
        Form(uploads=("a",), max_distance="1", where="hat").without_upload("a")[8:]
    )
    assert dict(nobody) == {"where": "hat"}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Form(("c",), image_id="5, x"), "'x' is no image number"),
        (Form(("c",), image_id=",".join(map(str, range(20)))), f"at most {MAX_IMAGES} images"),
        (Form(("c",), image_id="5", nearest=True), "images of one person"),
        (Form(("c",), image_id="5 7", nearest=True, rerank=True), "--nearest has several"),
        (Form(("c",), where="hat", rerank=True), "--rerank needs an image"),
    ],
)
def test_what_cannot_be_asked(form: Form, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        form.check()


def test_the_slider_counts_only_where_it_was_moved() -> None:
    resting = Form(max_distance="auto", slider="0.9", slider_before="0.9").merged()
    moved = Form(max_distance="auto", slider="0.8", slider_before="0.9").merged()
    assert (resting.max_distance, moved.max_distance) == ("auto", "0.8")
    assert moved.merged().max_distance == "0.8"


# --- boxes


def test_what_no_box_shows_was_edited_by_hand() -> None:
    assert by_hand("gender = male and hat") == ""
    assert by_hand("gender = male and (hat or camera = 3) and not bag") == (
        "(hat or camera = 3) and not bag"
    )


def test_numbers_beside_the_boxes() -> None:
    counts = {f.name: {box.word: 0 for box in f.boxes} for f in facets([])}
    counts["hat"]["yes"] = 12
    (hat,) = (facet for facet in facets(["hat:yes"], counts) if facet.name == "hat")
    assert [(box.word, box.count, box.ticked) for box in hat.boxes] == [
        ("no", 0, False), ("yes", 12, True),
    ]  # fmt: skip


# --- the bars


def test_bars_marks_and_words() -> None:
    drawn = chart(
        Histogram((1, 0, 100, 0), far=1.0, nearest=0.1, within=1),
        limit=0.5, shown=None, calibrated=0.25,
    )  # fmt: skip
    assert [bar.left for bar in drawn.bars] == ["0.000", "50.000"]
    assert [float(bar.height) for bar in drawn.bars] == [pytest.approx(HEIGHT / 10, 0.01), HEIGHT]
    assert drawn.limit is not None
    assert drawn.calibrated is not None
    assert (drawn.end, drawn.start, drawn.limit.left) == ("1.00", "0.500", "50.000")
    assert drawn.calibrated.left == "25.000"
    assert "Distances of 101 images" in drawn.words
    assert "Within the calibrated 0.2500: 1." in drawn.words


def test_a_slider_without_a_limit_stands_at_the_last_match() -> None:
    found = Histogram((3,), far=1.0, nearest=0.4)
    assert chart(found, limit=None, shown=0.7, calibrated=None).start == "0.700"
    nobody = chart(Histogram((0,), 0.0, None), limit=None, shown=None, calibrated=0.9)
    assert (nobody.bars, nobody.calibrated) == ((), None)
    assert nobody.words == "No image passes the filter."


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("", None), (None, None), ("nan", None), ("-1", None)]
)
def test_numbers_in_addresses(text: str | None, value: float | None) -> None:
    assert number(text) == value


# --- kept answers


def picture(matches: int) -> Picture:
    found = tuple(Match(n, n, "c", f"{n}.jpg", None, None, None, {}) for n in range(1, matches + 1))
    return Picture(Answer("q", "m", None, None, True, matches, found), None, {})


def test_answers_that_found_nobody_make_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.kept_answers.KEPT_MATCHES", 20 * OWN_WEIGHT)
    answers = KeptAnswers()
    keys = [answers.keep(picture(0)) for _ in range(120)]
    kept = [key for key in keys if answers.get(key) is not None]
    assert kept == keys[100:]


def test_old_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.kept_answers.KEPT_MATCHES", OWN_WEIGHT + 10)
    answers = KeptAnswers()
    first, second = answers.keep(picture(6)), answers.keep(picture(6))
    assert answers.get(first) is None
    assert answers.get(second) == picture(6)
    large = answers.keep(picture(50))
    assert answers.get(large) is not None, "the newest is kept, however large"
    monkeypatch.setattr("web.kept_answers.time.monotonic", lambda: 1e12)
    assert answers.get(large) is None
