"""`reid search --rerank` and `--explain` through the command line, on drawn people."""

from pathlib import Path

from tests.acceptance.conftest import Reid


def test_a_new_order_of_the_same_answer(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    reid("ingest", people / "query", "--collection", "q")
    images = sorted((people / "query").iterdir())[:2]
    asked = ("search", *images, "--same-person", "--collection", "g", "--limit", "500")
    (plain,) = reid(*asked, "--format", "json").json("search")["queries"]
    done = reid(*asked, "--rerank", "--candidates", "12", "--format", "json")
    (new,) = done.json("search")["queries"]
    assert done.err == ""
    assert (plain["reranked"], plain["rerank"], plain["explain"]) == (False, None, None)
    assert new["rerank"] == {"k1": 20, "k2": 6, "lambda": 0.3, "candidates": 12}
    assert new["reranked"]
    assert new["complete"] and plain["complete"]
    assert (new["max_distance_from"], new["max_distance"]) == (None, None)
    by_id = {match["image_id"]: match["distance"] for match in plain["matches"]}
    assert {match["image_id"]: match["distance"] for match in new["matches"]} == by_id
    ordered = [match["rerank_distance"] for match in new["matches"]]
    assert ordered[:12] == sorted(ordered[:12])
    assert ordered[12:] == [None] * (len(by_id) - 12)

    entry = reid("audit", "list", "--limit", "1", "--format", "json").json()[0]
    assert entry["question"]["rerank"]["candidates"] == 12
    assert entry["result_ids"] == [match["image_id"] for match in new["matches"]]
    header = reid(*asked, "--rerank", "--format", "csv").out.splitlines()[0]
    assert "distance,rerank_distance,pid" in header
    table = reid(*asked, "--rerank")
    assert "rerank_distance" in table.out.splitlines()[0]
    assert " matches, re-ranked; " in table.err
    # with a limit it is the re-ranked distance that decides
    within = reid(*asked, "--rerank", "--max-distance", "1")
    assert "within 1.0000, re-ranked;" in within.err


def test_what_cannot_be_re_ranked(reid: Reid, people: Path) -> None:
    reid("ingest", people / "query", "--collection", "q")
    alone = reid("search", "--collection", "q", "--where", "pid >= 0", "--rerank")
    assert (alone.code, alone.out) == (2, "")
    assert "--rerank needs an image; a filter alone gives no order to change" in alone.err
    image = min((people / "query").iterdir())
    without = reid("search", image, "--collection", "q", "--candidates", "5")
    assert without.code == 2
    assert "add --rerank" in without.err
    many = reid("search", image, "--collection", "q", "--rerank", "--candidates", "20001")
    assert many.code == 2
    assert "expected at most 20,000" in many.err


def test_an_explanation_stands_beside_the_answer(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    image = min((people / "query").iterdir())
    asked = ("search", image, "--collection", "g", "--where", "camera >= 1")
    explained = reid(*asked, "--max-distance", "auto", "--explain")
    assert explained.code == 0, explained.err
    assert explained.out == reid(*asked, "--max-distance", "auto").out
    for line in (
        f"{image.name}, explained:", "  filter: camera at least 1", "  rows: ", "  plan: exact",
        "  time: embedding ", "  statement:", "512 numbers]'",
    ):  # fmt: skip
        assert line in explained.err
    assert "  distance: at most " in explained.err
    assert "`auto` of model 'default'" in explained.err

    (answer,) = reid(
        *asked, "--max-distance", "auto", "--explain", "--rerank", "--format", "json"
    ).json("search")["queries"]
    assert answer["max_distance_from"] == "auto"
    assert answer["explain"]["passed"] == answer["candidates"]
    assert set(answer["explain"]["seconds"]) == {
        "embedding", "statement", "recheck", "rerank", "count",
    }  # fmt: skip
    alone = reid(*asked[:1], *asked[2:], "--explain", "--format", "json").json("search")
    assert alone["queries"][0]["explain"]["max_distance"] == "no limit"
    rows = reid(*asked, "--explain", "--format", "jsonl")
    assert rows.out.count("\n") == len(rows.out.splitlines())
    assert "explained:" in rows.err
