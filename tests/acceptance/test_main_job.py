"""The main job through the command line, with the shipped model, on drawn people."""

import csv
from pathlib import Path

from tests.acceptance.conftest import Reid
from tests.batch_answers import read_reid_test
from vocabulary import COLUMNS


def test_from_a_folder_of_crops_to_a_filtered_search(reid: Reid, people: Path) -> None:
    taken_in = reid("ingest", people / "gallery", "--collection", "mine", "--format", "json")
    assert taken_in.code == 0, taken_in.err
    count = len(list((people / "gallery").iterdir()))
    assert taken_in.json("ingest")["stored"] == count

    again = reid("ingest", people / "gallery", "--collection", "mine", "--format", "json")
    assert (again.json()["stored"], again.json()["known"]) == (0, count)

    query = sorted((people / "query").iterdir())[0]
    found = reid("search", query, "--collection", "mine", "--limit", "5", "--format", "json")
    (answer,) = found.json("search")["queries"]
    assert answer["candidates"] == count
    assert [match["rank"] for match in answer["matches"]] == [1, 2, 3, 4, 5]
    distances = [match["distance"] for match in answer["matches"]]
    assert distances == sorted(distances)
    assert not answer["complete"]
    assert "limit" in answer["incomplete_reason"]

    filtered = reid(
        "search", query, "--collection", "mine", "--limit", "1000", "--format", "json",
        "--where", "gender = male or gender = female",
    )  # fmt: skip
    (answer,) = filtered.json("search")["queries"]
    assert answer["complete"]
    assert len(answer["matches"]) == answer["candidates"] == count


def test_a_filter_narrows_to_what_it_says(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "mine")
    everything = reid(
        "search", "--collection", "mine", "--where", "pid >= 0", "--limit", "1000",
        "--format", "json",
    ).json("search")["queries"][0]["matches"]  # fmt: skip
    colors = {match["attributes"]["upper_color"] for match in everything}
    for color in colors:
        found = reid(
            "search", "--collection", "mine", "--limit", "1000", "--format", "json",
            "--where", f"upper_color = {color} and camera in (1, 2)",
        ).json("search")["queries"][0]["matches"]  # fmt: skip
        expected = [
            match["path"]
            for match in everything
            if match["attributes"]["upper_color"] == color and match["camid"] in (1, 2)
        ]
        assert [match["path"] for match in found] == expected


def test_stored_queries_to_the_assignments_two_files(
    reid: Reid, people: Path, tmp_path: Path
) -> None:
    reid("ingest", people / "test", "--collection", "test")
    added = reid("query", "add", "all", people / "queries", "--collection", "test", "--limit", "4")
    assert added.code == 0, added.err
    assert "were stored already" in added.out
    run = reid("query", "run", "all", "--format", "json")
    names = sorted(path.name for path in (people / "queries").iterdir())
    assert run.json()["queries"] == len(names)

    first, second = tmp_path / "reid_test.txt", tmp_path / "again.txt"
    # drawn people are no photographs: the model's word on their quality means nothing
    export = ("export", "reid-test", "--query-set", "all", "--min-quality", 0, "--out")
    assert reid(*export, first).code == 0
    reid(*export, second)
    assert first.read_bytes() == second.read_bytes()
    lines = list(read_reid_test(first.read_text()))
    assert [query for query, _ in lines] == names
    assert all(len(matches) == 4 for _, matches in lines)
    gallery = {path.name for path in (people / "test").iterdir()}
    assert all(match in gallery for _, matches in lines for match in matches)
    # every drawn query is byte-identical to one gallery image, which is therefore at distance 0
    content = {path.name: path.read_bytes() for path in (people / "test").iterdir()}
    for query, matches in lines:
        assert content[matches[0]] == (people / "queries" / query).read_bytes()

    out = tmp_path / "classification_test.csv"
    assert reid("export", "classification", "--collection", "test", "--out", out).code == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == ("id", *COLUMNS)
    assert [row["id"] for row in rows] == sorted(gallery)
    assert {row["age"] for row in rows} <= set("1234")
    assert {row["gender"] for row in rows} <= set("12")


def test_a_query_without_a_match_keeps_its_colon(reid: Reid, people: Path, tmp_path: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    reid("query", "add", "none", people / "query", "--collection", "g", "--max-distance", "0")
    reid("query", "run", "none")
    out = tmp_path / "reid_test.txt"
    reid("export", "reid-test", "--query-set", "none", "--out", out)
    assert all(line.endswith(".jpg:") for line in out.read_text().splitlines())


def test_evaluation_stands_beside_what_guessing_gives(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    reid("ingest", people / "query", "--collection", "q")
    report = reid("evaluate", "reid", "--query", "q", "--gallery", "g", "--format", "json").json(
        "evaluate-reid"
    )
    assert report["num_valid_queries"] == report["num_queries"] > 0
    assert report["num_distractors"] == 6
    assert report["mAP"] > report["chance_mAP"]

    reid("ingest", people / "test", "--collection", "t")
    attributes = reid(
        "evaluate", "attributes", "--collection", "t",
        "--annotations", people / "annotations_test.csv", "--format", "json",
    ).json("evaluate-attributes")  # fmt: skip
    assert [row["name"] for row in attributes["attributes"]] == list(COLUMNS)


def test_pictures_are_written(reid: Reid, people: Path, tmp_path: Path) -> None:
    from PIL import Image

    reid("ingest", people / "gallery", "--collection", "g")
    query = sorted((people / "query").iterdir())[0]
    sheet, page = tmp_path / "m.png", tmp_path / "m.html"
    done = reid(
        "search", query, "--collection", "g", "--limit", "6", "--sheet", sheet, "--html", page
    )
    assert done.code == 0, done.err
    with Image.open(sheet) as picture:
        assert picture.width > 6 * 64
    assert page.read_text().count("data:image/jpeg") == 7
    assert "http" not in page.read_text().replace("http-equiv", "")


def test_every_search_is_in_the_audit_log(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    query = sorted((people / "query").iterdir())[0]
    found = reid(
        "search", query, "--collection", "g", "--limit", "3", "--purpose", "lost child",
        "--format", "json",
    ).json("search")  # fmt: skip
    entry = reid("audit", "list", "--limit", "1", "--format", "json").json()[0]
    assert (entry["actor"], entry["action"], entry["purpose"]) == ("tester", "search", "lost child")
    assert entry["question"]["query"] == query.name
    assert entry["result_ids"] == [m["image_id"] for m in found["queries"][0]["matches"]]


def test_enqueue_then_worker(reid: Reid, people: Path) -> None:
    queued = reid("ingest", people / "query", "--collection", "q", "--enqueue", "--format", "json")
    count = len(list((people / "query").iterdir()))
    assert queued.json("ingest")["pending"] == count
    assert reid("status", "--format", "json").json("status")[0]["pending"] == count
    done = reid("worker", "--until-empty", "--format", "json")
    assert done.json()["stored"] == count
    assert reid("status", "--format", "json").json("status")[0]["done"] == count


def test_collections_and_models(reid: Reid, people: Path) -> None:
    reid("ingest", people / "query", "--collection", "q")
    assert reid("collection", "list", "--format", "json").json()[0]["identities"] == "default"
    assert reid("model", "list", "--format", "json").json()[0]["active"]
    assert '"max_distance"' in reid("model", "card").out
    assert reid("collection", "remove", "q", "--yes").code == 0
    assert reid("collection", "list", "--format", "json").json() == []


def test_backup_and_restore(
    reid: Reid, people: Path, tmp_path: Path, empty_database_url: str
) -> None:
    reid("ingest", people / "query", "--collection", "q")
    file = tmp_path / "backup.dump"
    assert reid("db", "backup", file).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    refused = reid("db", "restore", file)
    assert refused.code == 2
    assert "empty" in refused.err
    assert reid("collection", "remove", "q", "--yes").code == 0
    refused = reid("db", "restore", file)
    assert refused.code == 2
    assert "audit log holds" in refused.err
    moved = reid("--database-url", empty_database_url, "db", "restore", file)
    assert moved.code == 0, moved.err
    listed = reid("--database-url", empty_database_url, "collection", "list", "--format", "json")
    assert listed.json()[0]["name"] == "q"


def test_several_images_of_one_person_are_one_query(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    images = sorted((people / "query").iterdir())[:2]
    apart = reid("search", *images, "--collection", "g", "--format", "json").json("search")
    assert [answer["query"] for answer in apart["queries"]] == [path.name for path in images]
    together = reid(
        "search", *images, "--collection", "g", "--same-person", "--format", "json"
    ).json("search")
    (answer,) = together["queries"]
    assert answer["query"] == f"{images[0].name} and 1 more"
    assert len(answer["matches"]) == answer["candidates"]
