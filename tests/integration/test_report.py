"""`reid evaluate --report`: what is written, what it says and shows, and what it refuses."""

import csv
import json
import os
import re
import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageColor
from sqlalchemy import Engine, text

from cli import run
from evaluation.report import folder as report_folder
from gallery.model_rows import ModelRow
from rendering.frames import OTHER, SAME, UNKNOWN
from tests.fakes import FakeNetwork, ingest, names, register_fake_model, write_pictures
from vocabulary import COLUMNS

REID = ("evaluate", "reid", "--query", "query", "--gallery", "gallery", "--gallery", "<b>others")
PLOTS = ["cmc.png", "distances.png", "precision-recall.png"]
Cli = Callable[..., tuple[int, str, str]]


class Page(HTMLParser):
    """What a browser would find: elements with attributes, and whether each was closed."""

    VOID = frozenset({"meta", "img", "source"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.9)


@pytest.fixture
def cli(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Cli:
    """One command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("REID_DATABASE_URL", database_url)
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REID_ACTOR", "tester")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def people(engine: Engine, model: ModelRow, tmp_path: Path) -> Path:
    """A query and a gallery image on another camera for each of six people, six strangers more,
    and a collection with a hostile name whose people are another space's."""
    network = FakeNetwork()
    for number, (name, files) in enumerate(
        (("query", names(12)), ("gallery", names(24)), ("<b>others", names(6)))
    ):
        folder = write_pictures(tmp_path / str(number), files, first_seed=100 * number)
        space = "elsewhere" if name.startswith("<") else "here"
        ingest(engine, folder, name, model, network, identities=space)
    return tmp_path


@pytest.fixture
def annotations(people: Path) -> Path:
    """The people of the gallery, two of whom are not there; hats are never worn."""
    path = people / "annotations.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *COLUMNS])
        for pid in range(1, 15):
            values = dict.fromkeys(COLUMNS, 1)
            values |= {"age": 1 + pid % 4, "gender": 1 + pid % 2, "backpack": 1 + (pid > 9)}
            values |= {"upred": 1 + (pid % 3 == 0), "downblue": 1 + (pid % 2)}
            writer.writerow([pid, *values.values()])
    return path


def page_of(folder: Path) -> Page:
    return Page((folder / "index.html").read_text("utf-8"))


def check_alone(page: Page, folder: Path) -> None:
    """The page needs nothing else, says what each picture shows, and every file is a picture."""
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    pictures = page.of("img") + page.of("source")
    addresses = [p.get("src", p.get("srcset", "")) for p in pictures]
    assert all(address.startswith("data:image/") for address in addresses)
    assert all(len(picture["alt"].split()) > 5 for picture in page.of("img"))
    policy = next(m for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    html = (folder / "index.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import", html)
    for file in folder.glob("*.png"):
        with Image.open(file) as image:
            assert image.width > 600


def test_a_report_on_people(cli: Cli, people: Path, annotations: Path, engine: Engine) -> None:
    out = people / "report"
    code, stdout, stderr = cli(*REID, "--report", out, "--purpose", "a test", "--format", "json")
    figures = json.loads(stdout)
    assert code == 0
    assert f"wrote {out / 'index.html'} and 5 plots beside it" in stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*PLOTS, "best.png", "worst.png", "index.html"]
    )
    page = page_of(out)
    check_alone(page, out)
    assert "This page shows images of people: it is personal data." in page.text
    assert f"{figures['mAP']:.4f}" in page.text
    assert f"{figures['chance_mAP']:.4f}" in page.text
    assert "model fake" in page.text
    assert "<b>others" in page.text  # as words, not as an element
    assert page.of("b") == []
    assert "Below the calibrated distance of 0.900" in page.text
    check_strips(page, out)

    # the command on the page gives the figures of the page
    words = shlex.split(page.text[page.text.index("reid evaluate reid") :].split(" Measured ")[0])
    assert words[0] == "reid"
    assert json.loads(cli(*words[1:], "--format", "json")[1]) == figures

    with engine.connect() as connection:
        (row,) = connection.execute(
            text("SELECT * FROM audit WHERE action = 'evaluate report'")
        ).mappings()
        shown = connection.execute(text("SELECT id FROM image")).scalars().all()
    assert (row["actor"], row["purpose"]) == ("tester", "a test")
    assert row["question"]["collections"] == ["gallery", "<b>others"]
    assert set(row["result_ids"]) <= set(shown)
    assert len(row["result_ids"]) > 20

    # another kind of report does not go into the same folder
    question = ("--collection", "gallery", "--annotations", annotations, "--report", out)
    code, _, err = cli("evaluate", "attributes", *question)
    assert (code, "is no report of `reid evaluate attributes`" in err) == (2, True)


def test_a_report_without_people(cli: Cli, people: Path, engine: Engine) -> None:
    out = people / "report"
    assert cli(*REID, "--report", out)[0] == 0
    assert (out / "worst.png").exists()
    question = (*REID, "--report", out, "--no-strips", "--rerank", "--format", "json")
    code, stdout, _ = cli(*question)
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*PLOTS, "index.html"])
    page = page_of(out)
    check_alone(page, out)
    assert "personal data" not in page.text
    assert f"{json.loads(stdout)['rerank']['mAP']:.4f}" in page.text
    assert "--rerank --model fake" in page.text
    assert not any("jpeg" in image["src"] for image in page.of("img"))
    with engine.connect() as connection:
        count = connection.execute(
            text("SELECT count(*) FROM audit WHERE action = 'evaluate report'")
        ).scalar_one()
    assert count == 1  # the first one's


def check_strips(page: Page, folder: Path) -> None:
    """One image to find for each query, always shown, and marked as what it is."""
    said = [i["alt"] for i in page.of("img") if i["src"].startswith("data:image/jpeg")]
    assert len(said) == 12  # six worst, six best, none twice
    for alt in said:
        assert alt.startswith("query 00")
        assert alt.count(SAME.words) == 1
        assert OTHER.words in alt
    assert any(UNKNOWN.words in alt for alt in said)  # people of another identity space
    with Image.open(folder / "worst.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**24) or []}
    assert {ImageColor.getrgb(frame.color) for frame in (SAME, OTHER, UNKNOWN)} <= colors


def test_a_report_on_attributes(cli: Cli, people: Path, annotations: Path, engine: Engine) -> None:
    out = people / "report"
    question = ("--collection", "gallery", "--annotations", annotations)
    code, stdout, stderr = cli(
        "evaluate", "attributes", *question, "--report", out, "--format", "json"
    )
    figures = json.loads(stdout)
    assert code == 0
    assert "2 rows of" in stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "attributes.png", "groups.png", "index.html",
    ]  # fmt: skip
    page = page_of(out)
    check_alone(page, out)
    for name in ("mean_accuracy", "majority_accuracy", "bits_accuracy", "groups_accuracy"):
        assert f"{figures[name]:.4f}" in page.text
    assert "24 images of 12 people" in page.text
    assert len(page.of("table")) == 5
    assert "jpeg" not in (out / "index.html").read_text()
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>', (out / "index.html").read_text())
    assert set(COLUMNS) <= set(rows)
    words = shlex.split(page.text[page.text.index("reid evaluate attr") :].split(" Measured ")[0])
    assert json.loads(cli(*words[1:], "--format", "json")[1]) == figures
    with engine.connect() as connection:
        actions = connection.execute(text("SELECT action FROM audit")).scalars().all()
    assert "evaluate report" not in actions


def test_the_table_of_attributes(cli: Cli, people: Path, annotations: Path) -> None:
    code, stdout, stderr = cli(
        "evaluate", "attributes", "--collection", "gallery", "--annotations", annotations
    )
    assert (code, people.exists()) == (0, True)
    blocks = stdout.split("\n\n")
    heads = [block.split()[0] for block in blocks]
    assert heads == ["attribute", "group", "mean", "upper_color", "lower_color"]
    assert [len(block.splitlines()) - 1 for block in blocks] == [27, 12, 6, 9, 10]
    assert max(map(len, stdout.splitlines())) <= 100
    assert "24 images of 12 people; model fake" in stderr


def test_figures_as_they_are_promised(cli: Cli, people: Path, annotations: Path) -> None:
    from jsonschema import Draft202012Validator

    schema = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "evaluate-attributes.json"
    _, stdout, _ = cli(
        "evaluate", "attributes", "--collection", "gallery", "--annotations", annotations,
        "--format", "json",
    )  # fmt: skip
    document = json.loads(stdout)
    Draft202012Validator(json.loads(schema.read_text())).validate(document)
    total = sum(sum(row.values()) for row in document["upper_color_confusion"].values())
    assert total == document["num_images"] == 24
    assert (document["unnamed_images"], document["unused_rows"]) == (0, 2)
    assert people.exists()


def test_what_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database is needed for these sentences: none of the collections exists."""
    file = tmp_path / "file"
    file.touch()
    foreign = tmp_path / "site"
    foreign.mkdir()
    (foreign / "index.html").write_text("<p>my page")

    def sentence(folder: Path, *more: str) -> tuple[int, str]:
        code, out, err = cli(*REID, "--report", folder, *more)
        assert out == ""
        assert err.count("\n") == 1
        return code, err

    assert sentence(file) == (
        2, f"reid: cannot write a report to {file}: that is a file; name a folder\n",
    )  # fmt: skip
    below = tmp_path / "no" / "such"
    assert sentence(below) == (
        2, f"reid: cannot write a report to {below}: there is no folder {below.parent}; "
        "create it first\n",
    )  # fmt: skip
    assert "choose another place" in sentence(Path("/proc/report"))[1]
    assert "is no report of `reid evaluate reid`" in sentence(foreign)[1]
    assert (foreign / "index.html").read_text() == "<p>my page"
    assert "add --rerank" in sentence(tmp_path / "new", "--candidates", "5")[1]
    assert not (tmp_path / "new").exists()
    code, _, err = cli(*REID, "--no-strips")
    assert (code, "add --report DIR" in err) == (2, True)
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.R_OK)  # root may write anywhere
    assert "it is read-only to you" in sentence(tmp_path)[1]
    monkeypatch.setattr(report_folder, "find_spec", lambda _: None)
    code, said = sentence(tmp_path / "new")
    assert (code, "its extra `report`" in said) == (1, True)
    assert not (tmp_path / "new").exists()


def test_nothing_to_plot(cli: Cli, engine: Engine, people: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE collection SET identities = 'x' WHERE name = 'gallery'"))
    code, out, err = cli(*REID, "--report", people / "report")
    assert (code, out) == (1, "")
    assert "no query of 'query' has a match to find" in err
