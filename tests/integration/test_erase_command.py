"""`reid erase`, `reid retention` and `reid audit` as a person types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, text

from tests.fakes import ingest, names, register_fake_model, write_pictures

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "erase.json"
Reid = Callable[..., tuple[int, str, str]]


@pytest.fixture
def people(engine: Engine, tmp_path: Path) -> Path:
    """Six images of three people, as the collection `people`."""
    folder = write_pictures(tmp_path / "people", names(6))
    ingest(engine, folder, "people", register_fake_model(engine, max_distance=1.0))
    return folder


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT count(*) FROM image")).scalar_one()
        return found


def test_it_asks_and_says_what_is_left(
    engine: Engine, reid: Reid, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = people.parent / "backup.dump"
    assert reid("db", "backup", backup)[0] == 0
    code, out, err = reid("erase", "--pid", 1, "--collection", "people", "--dry-run")
    assert (code, count(engine)) == (0, 6)
    assert out.split()[:2] == ["images", "copies"]
    code, out, err = reid("erase", "--pid", 1, "--collection", "people")
    assert (code, count(engine)) == (2, 6)
    assert "would erase 2 images" in err
    assert "say --yes" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda _: False)
    assert reid("erase", "--pid", 1, "--collection", "people")[0] == 1
    assert count(engine) == 6
    monkeypatch.setattr("click.confirm", lambda _: True)
    code, out, err = reid("erase", "--pid", 1, "--collection", "people", "--format", "json")
    assert (code, count(engine)) == (0, 4)
    document = json.loads(out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert (document["images"], document["erased"], document["dropped_indexes"]) == (2, True, [])
    assert document["files_left"] == {str(people): 2}
    assert [row["file"] for row in document["written"]] == [str(backup)]
    assert f"image files still in {people}: 2" in err
    assert f"db backup wrote {backup}" in err
    assert "not reached: image files, backups" in err
    assert reid("erase", "--yes") == (
        0,
        "",
        "nothing is left to erase; name it with --image, --pid, --collection or --like\n",
    )


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--image", "1", "--collection", "people"), "one kind in a command"),
        (("--pid", "1"), "add --collection"),
        (("--image", "x1"), "'x1' is no image's number"),
        (("--image", "0"), "'0' is no image's number"),
        (("--collection", "peopl"), "did you mean 'people'?"),
        (("--lift", "abc"), "no SHA-256; `sha256sum FILE`"),
        (("--lift", "0" * 64, "--image", "1"), "--lift stands alone"),
        (("--image", "1", "--reason", "retention of people"), "that of `reid retention`"),
        (("--image", "1", "--reason", "x" * 501), "longer than 500"),
    ],
)
def test_what_is_asked_wrongly_changes_nothing(
    engine: Engine, reid: Reid, words: tuple[str, ...], says: str
) -> None:
    code, out, err = reid("erase", "--yes", *words)
    assert (code, out, count(engine)) == (2, "", 6)
    assert says in err


def test_an_image_that_was_sent_goes_with_its_file(
    engine: Engine, reid: Reid, people: Path
) -> None:
    """They are kept under REID_HOME; files elsewhere are their owner's."""
    kept = people.parent / "home" / "uploads" / "1"
    sent = [kept / "ab" / names(1)[0], kept / "cd" / names(2)[1]]
    with engine.begin() as connection:
        for path in sent:
            path.parent.mkdir(parents=True)
            path.write_bytes((people / path.name).read_bytes())
            connection.execute(
                text("UPDATE image SET source = :source, path = :path WHERE path = :name"),
                {
                    "source": str(kept),
                    "path": f"{path.parent.name}/{path.name}",
                    "name": path.name,
                },
            )
    assert reid("erase", "--like", sent[0], "--quick", "--yes")[0] == 0
    assert [path.exists() for path in sent] == [False, True]
    with engine.begin() as connection:
        connection.execute(text("UPDATE image SET ingested_at = now() - interval '3 days'"))
    assert reid("retention", "set", 2)[0] == 0
    counts = json.loads(reid("retention", "run", "--format", "json")[1])
    assert counts == {"images": 5, "queries": 0, "audit_rows": 0, "left": {}}
    assert [path.exists() for path in sent] == [False, False]
    assert len(list(people.iterdir())) == 6


@pytest.mark.usefixtures("people")
def test_terms_are_shown_and_switched_off(reid: Reid) -> None:
    assert reid("retention", "show")[1:] == (
        "", "no term is set: everything is kept until it is removed\n",
    )  # fmt: skip
    assert reid("retention", "set", 30, "--audit", 400)[0] == 0
    assert reid("retention", "set", 7, "--collection", "people")[0] == 0
    lines = reid("retention", "show", "--format", "csv")[1].splitlines()
    assert lines == [
        "what,name,days,due", "images,,30,0", "queries,,30,0", "collection,people,7,0",
        "audit log,,400,0",
    ]  # fmt: skip
    assert reid("retention", "off", "--collection", "people", "--audit")[0] == 2
    assert reid("retention", "off", "--audit")[0] == 0
    assert reid("retention", "off")[1] == "off; 0 contents may be taken in again\n"
    assert reid("retention", "show", "--format", "json")[1] == "[]\n"
    assert reid("retention", "set", 0)[0] == 2


@pytest.mark.usefixtures("people")
def test_the_log_is_listed_and_exported(reid: Reid) -> None:
    assert reid("search", "--collection", "people", "--where", "not hat")[0] == 0
    assert reid("retention", "set", 30)[0] == 0
    listed = reid("audit", "list", "--action", "retention", "--who", "tester", "--format", "json")
    assert [row["action"] for row in json.loads(listed[1])] == ["retention set"]
    assert reid("audit", "list", "--since", "soon")[0] == 2
    code, out, err = reid("audit", "export", "--out", "-")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["action"] for row in rows] == ["search", "retention set", "audit export"]
    assert (code, err) == (0, "3 rows, numbers 1 to 3; 0 numbers between them are missing\n")
