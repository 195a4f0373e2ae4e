"""What is stored, in a browser: the overview, a collection's gallery, failures, models, runs."""

from pathlib import Path
from typing import Any

import pytest

from gallery.status import remove_collection
from ingest.options import Options
from ingest.run import ingest
from tests.browser.conftest import Site
from tests.browser.test_browser_search import asked, complaints, live

PAGES = (
    "/", "/collections", "/collections/gallery", "/collections/gallery?where=hatt", "/models",
    "/models/default", "/sets", "/sets/demo",
)  # fmt: skip


def shots(page: Any) -> list[str]:
    """The ids of a gallery's images, in order."""
    found: list[str] = page.eval_on_selector_all(
        "#shots [data-image]", "(cards) => cards.map((card) => card.dataset.image)"
    )
    return found


def scroll_to_the_end(page: Any) -> None:
    for _ in range(200):
        if not page.locator("#shots .more").count():
            return
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
    raise AssertionError("it never ends")


def test_through_a_gallery(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.pages.gallery.IMAGES_AT_ONCE", 5)
    page.goto("/")
    page.wait_for_selector(".spread")
    page.click("text=gallery >> nth=0")
    scroll_to_the_end(page)
    everybody = shots(page)
    assert len(everybody) == len(set(everybody)) == 16
    # a box narrows it, and says how many there are
    pill = page.locator("label.pill:has(#is-gender-male)")
    pill.locator(".count").wait_for()
    count = int(pill.locator(".count").inner_text().split()[0])
    live(page, pill.click, "/search/facets")
    assert asked(page)["where"] == ["gender = male"] == [page.input_value("#where")]
    scroll_to_the_end(page)
    assert len(shots(page)) == count
    assert set(shots(page)) <= set(everybody)
    # the text is marked where it cannot be read
    page.fill("#where", "hatt")
    live(page, lambda: page.click("button >> text=Filter"), "/collections/gallery")
    assert "did you mean 'hat'" in page.inner_text("#where-said")
    page.go_back()
    page.wait_for_selector("#shots [data-image]")
    assert page.input_value("#where") == "gender = male"
    # by keys to a person
    second = shots(page)[1]
    page.focus("#shots a.frame >> nth=0")
    page.keyboard.press("ArrowRight")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert asked(page)["image_id"] == [second]
    assert asked(page)["collection"] == ["gallery"]


def test_what_failed_is_watched(page: Any, site: Site, tmp_path: Path) -> None:
    image = tmp_path / "people" / "0001_c1_000000001.jpg"
    image.parent.mkdir()
    image.write_bytes(b"\xff\xd8 no picture")
    ingest(site.engine, image.parent, "mixed", Options())
    try:
        page.goto("/collections/mixed")
        assert "no image that can be read" in page.inner_text("main")
        with page.expect_navigation():
            page.click("text=Try 1 file again")
        assert "1 file waits" in page.inner_text("#state")
        image.write_bytes(site.queries[0].read_bytes())
        ingest(site.engine, image.parent, "mixed", Options())
        page.wait_for_selector("#state >> text=Nothing waits any more")
        assert page.get_attribute("#state", "hx-trigger") is None
        page.click("text=Show what has come")
        page.wait_for_selector("#shots [data-image]")
    finally:
        remove_collection(site.engine, "mixed")


def test_a_set_is_run_again_and_compared(page: Any) -> None:
    page.goto("/sets/demo")
    with page.expect_navigation():
        page.click("text=Run again")
    with page.expect_navigation():
        page.click("button >> text=Compare")
    assert "both runs give the same lists" in page.inner_text("main")
    for label, start in (("reid_test.txt", b"0"), ("contact sheet", b"\x89PNG")):
        with page.expect_download() as downloaded:
            page.click(f".take >> text={label}")
        assert Path(downloaded.value.path()).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", (1280, 900)), ("dark", (390, 844))], ids=["desk", "phone"]
)
def test_accessible_to_all(browser: Any, site: Site, scheme: str, size: tuple[int, int]) -> None:
    """axe-core finds nothing, and nothing is wider than the window."""
    context = browser.new_context(
        base_url=site.url, color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
    )
    page = context.new_page()
    found: list[str] = []
    for address in PAGES:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
        found += complaints(page)
        wide: int = page.evaluate("document.documentElement.scrollWidth")
        if wide > size[0]:
            found.append(f"{address} is {wide} wide")
    assert found == []
    context.close()


def test_without_scripts(browser: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.pages.gallery.IMAGES_AT_ONCE", 10)
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    with page.expect_navigation():
        page.click("text=Count the attributes")
    assert "16 images" in page.inner_text("main")
    page.goto("/collections/gallery")
    with page.expect_navigation():
        page.click("text=More images")
    assert page.locator("#shots [data-image]").count() == 6
    page.click("label.pill:has(#is-gender-male)")
    with page.expect_navigation():
        page.click("button >> text=Filter")
    assert page.input_value("#where") == "gender = male"
    assert page.locator("#shots [data-image]").count()
    context.close()
