"""The search page in a browser, as a person uses it: by mouse, by keys, on a phone, in the dark."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from tests.browser.conftest import Site

AXE = Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js"

GIVE = """([name, kind, data]) => {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], "picture.jpg", { type: "image/jpeg" }));
    const how = { bubbles: true, cancelable: true };
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { ...how, clipboardData: given })
        : new DragEvent(kind, { ...how, dataTransfer: given });
    document.querySelector(name).dispatchEvent(event);
}"""
MOVE = """(value) => {
    const slider = document.getElementById("slider");
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""


AT_REST = """() => document.readyState === "complete"
    && !document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling")"""


def asked(page: Any) -> dict[str, list[str]]:
    """What the address asks."""
    return parse_qs(urlsplit(page.url).query)


def give(page: Any, kind: str, image: Path) -> None:
    """Drops or pastes an image on the page, and waits for the answer."""
    data = base64.b64encode(image.read_bytes()).decode()
    with page.expect_navigation():
        page.evaluate(GIVE, ["main", kind, data])
    page.wait_for_selector("#slider")


def search(page: Any, image: Path) -> None:
    page.goto("/search")
    with page.expect_navigation():
        page.set_input_files("#image", image)
    page.wait_for_selector("#slider")


def live(page: Any, act: Any, path: str = "/search/live") -> None:
    """Does something, and waits until what it changes stands on the page."""
    page.wait_for_function(AT_REST)  # a click on what is just being drawn anew is lost
    with page.expect_response(lambda response: path in response.url):
        act()
    page.wait_for_function(AT_REST)


def images(page: Any) -> list[str]:
    """The ids of the images in the list, in order."""
    found: list[str] = page.eval_on_selector_all(
        "#answer [data-image]", "(cards) => cards.map((card) => card.dataset.image)"
    )
    return found


def verdicts(site: Site, name: str) -> dict[str, str]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT v.image_id, v.verdict FROM verdict v JOIN query q ON q.id = v.query_id"
                " JOIN query_set s ON s.id = q.query_set_id WHERE s.name = :set"
            ),
            {"set": name},
        )
        return {str(row.image_id): row.verdict for row in rows}


# --- from a picture to a file


def test_from_a_dropped_picture_to_an_export(page: Any, site: Site) -> None:
    page.goto("/search")
    give(page, "drop", site.queries[0])
    everybody = images(page)
    assert len(everybody) == 16
    assert "passed the filter" in page.inner_text("#distances")

    # the bars are drawn anew behind the answer
    tick = page.locator("label.pill:has(#is-gender-male)")
    live(page, tick.click, "/search/distances")
    assert asked(page)["where"] == ["gender = male"]
    assert page.input_value("#where") == "gender = male"

    live(page, lambda: page.evaluate(MOVE, "0.12"))
    near = images(page)
    assert 0 < len(near) < len(everybody)
    assert asked(page)["max_distance"] == ["0.12"] == [page.input_value("#max_distance")]

    page.click("text=Confirm and reject matches")
    page.fill("#set", "found")
    with page.expect_navigation():
        page.click("text=Keep as a query")
    assert asked(page)["query"] == ["picture.jpg"]
    live(page, lambda: page.locator("button.yes").first.click(), "/review")
    assert "confirmed" in page.inner_text(".matches > li >> nth=0")
    assert verdicts(site, "found") == {near[0]: "confirm"}

    with page.expect_download() as downloaded:
        page.click(".take >> text=table")
    lines = Path(downloaded.value.path()).read_text().splitlines()
    assert lines[0].startswith("query,rank,image_id,collection,path,distance")
    assert [line.split(",")[2] for line in lines[1:]] == near


def test_a_pasted_picture(page: Any, site: Site) -> None:
    page.goto("/search")
    give(page, "paste", site.queries[1])
    assert "picture.jpg" in page.inner_text(".asked h2")


def test_a_gallery_image_and_one_more_of_the_same_person(page: Any) -> None:
    page.goto("/search")
    with page.expect_navigation():
        page.locator(".begin a").first.click()
    first = asked(page)["image_id"][0]
    card = page.locator("#answer [data-image]").first
    other = card.get_attribute("data-image")
    card.locator("summary").click()
    with page.expect_navigation():
        card.locator("text=Add to the query").click()
    assert asked(page)["image_id"] == [f"{first}, {other}"]
    assert "and 1 more" in page.inner_text(".asked h2")
    live(page, lambda: page.check("[name=nearest]"))
    assert asked(page)["nearest"] == ["yes"]
    with page.expect_navigation():
        page.locator(".remove").first.click()
    assert asked(page)["image_id"] == [other]


# --- the filter as boxes and as text


def test_boxes_and_text_are_two_views_of_one_filter(page: Any) -> None:
    page.goto("/search")
    female = page.locator("#is-gender-female")
    count = page.locator("label.pill:has(#is-gender-female) .count")
    count.wait_for()
    total = sum(
        int(page.inner_text(f"label.pill:has(#is-gender-{word}) .count").split()[0])
        for word in ("female", "male")
    )
    assert total == 16

    def write(words: str) -> None:
        live(page, lambda: page.fill("#where", words))

    write("gender = female and not hat")
    assert female.is_checked()
    assert "edited by hand and not hat" in " ".join(page.inner_text(".hand").split())
    live(page, lambda: page.locator("label.pill:has(#is-gender-female)").click())
    assert page.input_value("#where") == "not hat"
    write("gender = female and hatt")
    said = page.inner_text("#where-said")
    assert "column 21" in said
    assert "did you mean 'hat'?" in said
    written, caret = said.splitlines()[-2:]
    assert written[caret.index("^") :].startswith("hatt")
    assert page.get_attribute("#where", "aria-invalid") == "true"
    # nothing was asked, so nothing was searched
    assert asked(page) == {}
    assert images(page) == []


# --- the limit


def test_the_slider_shows_who_comes_and_who_goes(page: Any, site: Site) -> None:
    search(page, site.queries[2])
    live(page, lambda: page.evaluate(MOVE, "0.2"))
    wide = images(page)
    live(page, lambda: page.evaluate(MOVE, "0.1"))
    narrow = images(page)
    assert narrow == wide[: len(narrow)]
    went = len(wide) - len(narrow)
    assert went > 0
    assert page.inner_text(".changes").strip() == f"{went} went"
    assert page.inner_text("#said").endswith(f"0 came, {went} went")
    page.focus("#slider")
    live(page, lambda: page.keyboard.press("ArrowRight"))
    assert asked(page)["max_distance"] == ["0.101"]
    assert page.evaluate("document.activeElement.id") == "slider"


def test_back_and_forward(page: Any, site: Site) -> None:
    search(page, site.queries[0])
    before, address = images(page), page.url
    live(page, lambda: page.locator("label.pill:has(#is-gender-male)").click())
    after = images(page)
    assert after != before
    page.go_back()
    page.wait_for_function("() => !document.getElementById('is-gender-male').checked")
    assert page.url == address
    assert images(page) == before
    page.go_forward()
    page.wait_for_function("() => document.getElementById('is-gender-male').checked")
    assert images(page) == after


def test_a_long_answer_comes_as_it_is_scrolled(
    page: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.search_view.MATCHES_A_PAGE", 5)
    search(page, site.queries[0])
    for _ in range(200):
        if not page.locator("#answer .more").count():
            break
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
    assert len(images(page)) == len(set(images(page))) == 16
    assert page.locator("#answer .rank").all_inner_texts() == [str(n) for n in range(1, 17)]


# --- the review


def test_a_review_by_keys(page: Any, site: Site) -> None:
    page.goto("/review?set=demo")
    cards = page.eval_on_selector_all(
        "[data-image]", "(cards) => cards.map((card) => card.dataset.image)"
    )
    for key in ("c", "r"):
        live(page, lambda key=key: page.keyboard.press(key), "/review")
    assert verdicts(site, "demo") == {cards[0]: "confirm", cards[1]: "reject"}
    assert "1 confirmed, 1 rejected" in page.inner_text("#judged")
    live(page, lambda: page.keyboard.press("u"), "/review")
    assert verdicts(site, "demo") == {cards[0]: "confirm"}
    page.keyboard.press("ArrowLeft")
    focused = page.evaluate("document.activeElement.closest('[data-image]').dataset.image")
    assert focused == cards[0]
    with page.expect_navigation():
        page.keyboard.press("n")
    assert asked(page)["query"] == [site.queries[1].name]


# --- what goes wrong


def test_a_broken_picture(page: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    page.goto("/search")
    with page.expect_navigation():
        page.set_input_files("#image", broken)
    assert "broken.jpg: no image that can be read" in page.inner_text("[role=alert]")


def test_the_database_stops_and_comes_back(page: Any, site: Site) -> None:
    search(page, site.queries[0])
    before = images(page)
    site.server.stop()
    try:
        live(page, lambda: page.locator("label.pill:has(#is-gender-male)").click())
        assert "the embedded database server was stopped" in page.inner_text("#alert")
        assert images(page) == before
    finally:
        site.server.ensure_running()
    live(page, lambda: page.locator("label.pill:has(#is-hat-no)").click())
    assert page.inner_text("#alert") == ""
    assert asked(page)["where"] == ["gender = male and hat = no"]


# --- for everybody


def test_without_scripts(browser: Any, site: Site) -> None:
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/search")
    page.set_input_files("#image", site.queries[0])
    page.click("label.pill:has(#is-gender-male)")
    with page.expect_navigation():
        page.click("button >> text=Search")
    assert asked(page)["where"] == ["gender = male"]
    assert images_of(page)
    with page.expect_navigation():
        page.click("text=How far everybody is")
    assert "passed the filter" in page.inner_text("main")
    page.goto("/review?set=demo")
    with page.expect_navigation():
        page.locator("button.no").last.click()
    assert page.locator(".is-rejected").count() == 1
    with page.expect_navigation():
        page.locator("button.undo").last.click()
    context.close()


def images_of(page: Any) -> int:
    count: int = page.locator("#answer [data-image]").count()
    return count


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", (1280, 900)), ("dark", (390, 844))], ids=["desk", "phone"]
)
def test_accessible_to_all(browser: Any, site: Site, scheme: str, size: tuple[int, int]) -> None:
    """axe-core finds nothing: names, roles, contrast, order, focus."""
    context = browser.new_context(
        base_url=site.url, color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
    )
    page = context.new_page()
    found: list[str] = []
    for address in ("/search", "/search?collection=gallery&where=hatt", "/review?set=demo"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found += complaints(page)
    search(page, site.queries[0])
    live(page, lambda: page.evaluate(MOVE, "0.15"))
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    found += complaints(page)
    assert found == []
    wide: int = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size[0]
    context.close()


def complaints(page: Any) -> list[str]:
    page.evaluate(AXE.read_text())
    violations = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{page.url}: {one['id']}: {node['target']} {node['failureSummary']}"
        for one in violations
        for node in one["nodes"]
    ]
