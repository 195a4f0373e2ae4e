"""Sheets and pages of ranked matches: what they say, and what hostile names cannot do to them."""

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor, ImageDraw

from errors import UsageError
from files import CannotWrite
from rendering import lettering, sheet
from rendering.captions import (
    Line,
    caption,
    facts,
    ordered_attributes,
    readable,
)
from rendering.cells import BORDER, CELL_WIDTH, FRAMED_HEIGHT, framed, match_cell
from rendering.frames import OTHER, SAME, UNKNOWN, Frame
from rendering.page import matches_html, write_page
from rendering.pictures import Picture
from rendering.sheet import contact_sheet, write_sheet
from search.answer import Answer, Match
from search.rerank import Reranking

ATTRIBUTES = {
    "gender": "female", "age": "adult", "hair": "long", "sleeve": "short", "lower_length": "long",
    "lower_type": "pants", "hat": "no", "backpack": "yes", "bag": "no", "handbag": "no",
    "upper_color": "red", "lower_color": "unknown",
}  # fmt: skip
HOSTILE = (
    "</title><script>alert(1)</script>\" onerror='x' \u202egpj.exe\x00\udcff<img src=//evil.tld>"
)


def jpeg(color: str = "#3060c0", size: tuple[int, int] = (64, 128)) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, color).save(content, format="JPEG", quality=95)
    return content.getvalue()


def match(rank: int = 1, pid: int | None = 7, path: str = "0007_c3.jpg") -> Match:
    return Match(rank, 100 + rank, "gallery", path, rank / 8, pid, 3, ATTRIBUTES)


def answer(*matches: Match, query: str = "0007_c1.jpg") -> Answer:
    return Answer(query, "joint", 0.8, None, True, 19_679, matches, query_pid=7, query_camid=1)


def picture(
    *matches: Match, deciding: tuple[str, ...] = (), thumbnails: Mapping[int, bytes] | None = None
) -> Picture:
    if thumbnails is None:
        thumbnails = {one.image_id: jpeg() for one in matches}
    return Picture(answer(*matches), jpeg("#804020"), thumbnails, deciding)


class Page(HTMLParser):
    """What a browser would find: elements, attributes, visible text; the style apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, name: str) -> list[str]:
        return [value for one, key, value in self.attributes if (one, key) == (tag, name)]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a sheet draws, in order; a flowing text word by word."""
    texts: list[str] = []
    original = ImageDraw.ImageDraw.text

    def record(
        self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: Any
    ) -> None:
        texts.append(text)
        original(self, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return texts


def test_caption_without_filter_shows_gender_and_colours() -> None:
    words = caption(picture(match()), match())
    assert (words.rank, words.distance, words.camera) == ("1", "0.125", "c3")
    assert words.attributes == (Line("female"), Line("upper red"), Line("lower unknown"))


def test_caption_shows_the_deciding_fields_first_and_strong() -> None:
    words = caption(picture(match(), deciding=("hat", "upper_color")), match())
    assert words.attributes == (
        Line("no hat", strong=True),
        Line("upper red", strong=True),
        Line("female"),
    )


def test_caption_shows_every_deciding_field() -> None:
    fields = ("hair", "sleeve", "lower_length", "lower_type", "backpack")
    texts = [line.text for line in caption(picture(match(), deciding=fields), match()).attributes]
    assert texts == ["long hair", "short sleeve", "long lower", "pants", "backpack"]


def test_caption_leaves_out_what_is_not_known() -> None:
    bare = replace(match(), distance=None, camid=None, attributes={})
    words = caption(picture(bare), bare)
    assert (words.distance, words.camera, words.attributes) == ("", "", ())
    assert words.spoken == "rank 1, same person"


def test_all_twelve_attributes_are_there_once() -> None:
    found = ordered_attributes(picture(match(), deciding=("hat",)), match())
    assert len(found) == 12 and {one.name: one.value for one in found} == ATTRIBUTES
    assert found[0].name == "hat" and found[0].deciding


def test_facts_say_why_an_answer_is_not_complete() -> None:
    cut = replace(answer(), complete=False, reasons=("a limit of 50",), filter="hat")
    assert facts(cut) == (
        Line("model joint"),
        Line("max distance 0.8"),
        Line("filter: hat"),
        Line("not complete: a limit of 50", strong=True),
        Line("19,679 candidates"),
    )
    reordered = replace(answer(), rerank=Reranking(candidates=5))
    assert facts(reordered)[0] == Line("re-ranked: not in the order of the distances")


def test_unknown_deciding_field_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no attribute field 'hatt'; did you mean 'hat'\?"):
        picture(match(), deciding=("hatt",))


def test_readable_escapes_what_cannot_be_printed() -> None:
    assert readable("a\nb\u202e\udcff é中") == r"a\nb\u202e\udcff é中"


def white_in_corner(cell: Image.Image) -> Image.Image:
    corner = cell.crop((CELL_WIDTH - 20, 2, CELL_WIDTH - 2, 20)).convert("L")
    return corner.point(lambda level: 255 if level > 240 else 0)


@pytest.mark.parametrize(
    ("pid", "frame"), [(7, SAME), (8, OTHER), (0, OTHER), (None, UNKNOWN)], ids=str
)
def test_frame_has_the_colour_of_the_identity(pid: int | None, frame: Frame) -> None:
    one = match(pid=pid)
    cell = match_cell(jpeg(), caption(picture(one), one))
    color = ImageColor.getrgb(frame.color)
    edges = [(1, 1), (1, FRAMED_HEIGHT - 2), (CELL_WIDTH - 2, FRAMED_HEIGHT - 2), (40, 1)]
    assert {cell.getpixel(edge) for edge in edges} == {color}
    assert (white_in_corner(cell).getbbox() is not None) == (frame is not UNKNOWN)


def test_tick_and_cross_differ_without_colour() -> None:
    cells = [match_cell(None, caption(picture(one), one)) for one in (match(), match(pid=8))]
    assert len({white_in_corner(cell).tobytes() for cell in cells}) == 2


def test_sheet_holds_the_frames_where_the_matches_are() -> None:
    drawn = contact_sheet([picture(match(1, 7), match(2, 8), match(3, None))])
    left = sheet.MARGIN + sheet.QUERY_WIDTH + sheet.GAP
    step = CELL_WIDTH + sheet.GAP
    column = [drawn.getpixel((left + 1, y)) for y in range(drawn.height)]
    top = column.index(ImageColor.getrgb(SAME.color), 90) + 50
    found = [drawn.getpixel((left + 1 + number * step, top)) for number in range(3)]
    assert found == [ImageColor.getrgb(frame.color) for frame in (SAME, OTHER, UNKNOWN)]


def test_sheet_writes_captions_and_common_facts_once(written: list[str]) -> None:
    contact_sheet([picture(match(), deciding=("hat",)), picture(match())])
    text = " ".join(written)
    assert text.startswith("2 queries · model joint · max distance 0.8 · no filter · complete")
    assert text.count("19,679 candidates") == 1
    assert "query 0007_c1.jpg c1 1 0.125 c3 no hat female upper red" in text


def test_sheet_says_in_the_row_what_is_only_that_answers(written: list[str]) -> None:
    odd = picture(match())
    odd = replace(odd, answer=replace(odd.answer, complete=False, reasons=("cut off",)))
    contact_sheet([odd, picture(match())])
    text = " ".join(written)
    assert "1 match · not complete: cut off" in text and "1 match · complete" in text


def test_sheet_says_what_it_cuts(written: list[str]) -> None:
    many = picture(*(match(rank) for rank in range(1, 88)))
    contact_sheet([many] * 3, max_matches=12, max_queries=2)
    text = " ".join(written)
    assert "2 of 3 queries shown" in text
    assert text.count("12 of 87 matches shown") == 2


def test_sheet_says_that_there_is_no_match_and_for_which_limit(written: list[str]) -> None:
    by_filter = replace(answer(), max_distance=None, filter="hat")
    contact_sheet([picture(), Picture(by_filter, None, {})])
    assert "no match within the limit" in written
    assert "no match passes the filter" in written


def test_missing_and_broken_thumbnails_leave_a_placeholder(written: list[str]) -> None:
    broken = {101: jpeg()[:300], 102: b"no jpeg"}
    contact_sheet([replace(picture(match(1), match(2), match(3)), thumbnails=broken)])
    assert written.count("no picture") == 3


@pytest.mark.parametrize("size", [(64, 128), (50, 128), (128, 64), (1, 900), (900, 1)])
def test_crop_keeps_its_proportions(size: tuple[int, int]) -> None:
    crop = framed(jpeg("#ff0000", size), "#000000").crop(
        (BORDER, BORDER, CELL_WIDTH - BORDER, FRAMED_HEIGHT - BORDER)
    )
    blue = crop.getchannel("B").point(lambda level: 255 if level < 60 else 0)
    box = blue.getbbox()
    assert box is not None
    width, height = box[2] - box[0], box[3] - box[1]
    assert width == 96 or height == 192
    if min(size) > 1:
        assert width / height == pytest.approx(size[0] / size[1], rel=0.02)


def test_any_name_can_be_drawn() -> None:
    for name in (HOSTILE, "中文名字.jpg", "", "x" * 5000, "naïve–é.jpg", "a\nb"):
        contact_sheet([replace(picture(match()), answer=answer(match(), query=name))])


def test_names_are_degraded_and_shortened_in_the_middle() -> None:
    assert lettering.drawable("naïve–Straße 中.jpg") == "naive-Strasse ?.jpg"
    short = lettering.shorten("0002_c1s1_000451_03_with_a_long_tail.jpg", 120)
    assert re.fullmatch(r"0002_.+….*tail\.jpg", short)
    assert lettering.measure(short) <= 120
    assert lettering.shorten("short.jpg", 120) == "short.jpg"


def test_a_long_filter_wraps_within_the_sheet() -> None:
    rows = lettering.flow([Line("gender = female and " * 30), Line("y" * 900)], 400)
    widths = [lettering.measure(" ".join(word.text for word in row)) for row in rows]
    assert len(rows) > 5 and max(widths) <= 400


def test_a_sheet_needs_no_query_but_sensible_maxima(written: list[str]) -> None:
    contact_sheet([])
    assert " ".join(written).startswith("0 queries")
    with pytest.raises(ValueError, match="expected max_matches and max_queries from 1"):
        contact_sheet([picture()], max_matches=0)


def test_page_shows_every_match_with_all_its_attributes() -> None:
    page = Page(matches_html([picture(*(match(rank) for rank in range(1, 31)))], title="Found"))
    assert page.tags.count("img") == 31 and page.tags.count("details") == 30
    assert page.all("img", "loading") == ["lazy"] * 31
    assert "1 query, 30 matches" in page.text
    for said in (
        "0.125",
        "c3",
        "female",
        "upper red",
        "lower unknown",
        "person same person (pid 7)",
    ):
        assert said in page.text
    for name in ATTRIBUTES:
        assert page.text.count(f"{name.replace('_', ' ')} {ATTRIBUTES[name]}") >= 30
    for fact in facts(answer()):
        assert fact.text in page.text


def test_page_has_headings_alternatives_and_a_legend() -> None:
    page = Page(matches_html([picture(match(), match(2, 8))], title="Found"))
    assert [page.tags.count(tag) for tag in ("h1", "h2", "main", "ol")] == [1, 1, 1, 1]
    assert page.all("img", "alt") == [
        "query 0007_c1.jpg",
        "rank 1, same person, distance 0.125, camera c3, female, upper red, lower unknown",
        "rank 2, another person, distance 0.250, camera c3, female, upper red, lower unknown",
    ]
    for frame in (SAME, OTHER, UNKNOWN):
        assert frame.words in page.text and frame.color in page.text
    assert "frame crop same" in page.all("div", "class")
    assert "frame crop other" in page.all("div", "class")


def test_page_needs_nothing_else() -> None:
    html = matches_html([picture(match())], title="Found")
    page = Page(html)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", html)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in page.all("meta", "content")


def test_hostile_names_are_inert() -> None:
    hostile = replace(match(path=HOSTILE), collection=HOSTILE, attributes={"gender": HOSTILE})
    asked = replace(answer(hostile, query=HOSTILE), model=HOSTILE, filter=HOSTILE, complete=False)
    asked = replace(asked, reasons=(HOSTILE,))
    page = Page(matches_html([Picture(asked, jpeg(), {101: jpeg()})], title=HOSTILE))
    plain = Page(matches_html([replace(picture(match()), answer=answer(match()))], title="Found"))
    assert set(page.tags) == set(plain.tags)
    assert {name for _, name, _ in page.attributes} == {name for _, name, _ in plain.attributes}
    assert page.tags.count("img") == 2
    assert all(source.startswith("data:") for source in page.all("img", "src"))
    assert page.text.count("<script>alert(1)</script>") >= 6
    assert "\u202e" not in page.text and "\x00" not in page.text


def test_page_without_thumbnails_says_so() -> None:
    page = Page(matches_html([Picture(answer(match()), None, {})], title="Found"))
    assert "img" not in page.tags
    assert page.text.count("no picture") == 2
    assert page.all("div", "aria-label")[1].startswith("no picture: rank 1, same person")


def test_page_says_that_there_is_no_match() -> None:
    assert "no match within the limit" in matches_html([picture()], title="Found")
    assert "No query." in Page(matches_html([], title="Found")).text


def test_page_makes_an_incomplete_answer_stand_out() -> None:
    cut = replace(answer(match()), complete=False, reasons=("limit 1",))
    page = matches_html([Picture(cut, None, {})], title="Found")
    assert '<li class="strong">not complete: limit 1</li>' in page


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for number in range(2):
        made = [picture(match(), match(2, 8), deciding=("hat",)), picture()]
        write_sheet(tmp_path / f"{number}.png", made)
        write_page(tmp_path / f"{number}.html", made, "Found é \udcff")
    for kind in ("png", "html"):
        assert (tmp_path / f"0.{kind}").read_bytes() == (tmp_path / f"1.{kind}").read_bytes()
    with Image.open(tmp_path / "0.png") as found:
        assert found.format == "PNG" and found.size == contact_sheet(made).size
    assert "Found é" in (tmp_path / "0.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 4  # no partial file is left


def test_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "sheet.png"
    with pytest.raises(UsageError) as caught:
        write_sheet(target, [picture()])
    assert str(caught.value) == (
        f"cannot write {target}: there is no folder {tmp_path / 'nowhere'}; create it first"
    )
    with pytest.raises(CannotWrite, match="there is no folder"):
        write_page(target, [picture()], "Found")
    assert not target.parent.exists()


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="that is no file"):
        write_page(tmp_path, [], "Found")
    with pytest.raises(CannotWrite, match="File name too long"):
        write_page(tmp_path / ("x" * 300), [], "Found")


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(CannotWrite, match="No space left on device; choose another place"):
        write_page(target, [], "Found")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert target.read_text() == "old"
