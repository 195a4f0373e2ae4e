"""What is removed, renamed or not yet done is said; nothing else goes with it."""

import os
import shutil
from pathlib import Path

from tests.acceptance.conftest import Reid


def test_stored_queries_outlive_the_collection_they_came_from(
    reid: Reid, people: Path, tmp_path: Path
) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    reid("ingest", people / "query", "--collection", "q")
    reid("query", "add", "s", people / "query", "--collection", "g", "--limit", "3")
    count = len(list((people / "query").iterdir()))
    assert reid("collection", "remove", "q", "--yes").code == 0
    run = reid("query", "run", "s", "--format", "json")
    assert run.json()["queries"] == count
    out = tmp_path / "reid_test.txt"
    reid("export", "reid-test", "--query-set", "s", "--out", out)
    assert len(out.read_text().splitlines()) == count


def test_two_folders_with_the_same_names_do_not_overwrite_each_other(
    reid: Reid, people: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "camA", tmp_path / "camB"
    images = sorted((people / "gallery").iterdir())[:4]
    for folder, chosen in ((first, images[:2]), (second, images[2:])):
        folder.mkdir()
        for number, path in enumerate(chosen):
            shutil.copyfile(path, folder / f"{number:03}.jpg")
            os.utime(folder / f"{number:03}.jpg", (0, 0))
    assert reid("ingest", first, "--collection", "c").code == 0
    refused = reid("ingest", second, "--collection", "c", "--format", "json")
    assert refused.code == 3
    assert (refused.json()["stored"], refused.json()["failed"]) == (0, 2)
    assert f"has a file of this name from {first}" in refused.err
    shutil.rmtree(second)
    first.rename(second)  # a folder that was moved is the same folder
    moved = reid("ingest", second, "--collection", "c", "--format", "json")
    assert (moved.code, moved.json()["known"], moved.json()["failed"]) == (0, 2, 0)


def test_an_answer_is_incomplete_while_images_wait(reid: Reid, people: Path) -> None:
    reid("ingest", people / "query", "--collection", "q", "--enqueue")
    query = sorted((people / "query").iterdir())[0]
    asked = ("search", query, "--collection", "q", "--limit", "1000", "--format", "json")
    (waiting,) = reid(*asked).json("search")["queries"]
    assert not waiting["complete"]
    assert "not embedded by 'default' yet" in waiting["incomplete_reason"]
    reid("worker", "--until-empty")
    (done,) = reid(*asked).json("search")["queries"]
    assert done["complete"]


def test_a_run_is_read_back_after_its_matches_were_removed(
    reid: Reid, people: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(people / "gallery", folder)
    reid("ingest", folder, "--collection", "g")
    query = sorted((people / "query").iterdir())[0]
    reid("query", "add", "s", query, "--collection", "g", "--limit", "1000")
    reid("query", "run", "s")
    for path in sorted(folder.iterdir())[::2]:
        path.unlink()
    reid("ingest", folder, "--collection", "g")
    assert reid("collection", "prune", "g").code == 0
    shown = reid("query", "show", "s", "--format", "json").json()
    assert shown["runs"][0]["stale"]

    from db.open import open_database
    from query_sets.read_run import stored_answers

    engine = open_database()
    with engine.connect() as connection:
        (stored,) = stored_answers(connection, shown["runs"][0]["id"])
    engine.dispose()
    assert not stored.answer.complete
    assert "were removed from the gallery since" in (stored.answer.incomplete_reason or "")
    assert [m.rank for m in stored.answer.matches] == list(range(1, len(stored.answer.matches) + 1))


def test_overwrite_reaches_the_worker_that_does_it(reid: Reid, people: Path) -> None:
    reid("ingest", people / "query", "--collection", "q")
    reid("ingest", people / "query", "--collection", "q", "--mode", "overwrite", "--enqueue")
    done = reid("worker", "--until-empty", "--format", "json").json()
    assert (done["stored"], done["known"]) == (len(list((people / "query").iterdir())), 0)


def test_folders_that_are_called_alike_give_all_their_queries(
    reid: Reid, people: Path, tmp_path: Path
) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    images = sorted((people / "query").iterdir())[:2]
    for parent, path in zip(("a", "b"), images, strict=True):
        (tmp_path / parent / "q").mkdir(parents=True)
        shutil.copyfile(path, tmp_path / parent / "q" / "1.jpg")
    added = reid("query", "add", "s", "a/q", "b/q", "--collection", "g")
    assert added.out.startswith("2 queries added")
