"""What a query can be made of: files, stored images, several of one person."""

from pathlib import Path

from tests.acceptance.conftest import Reid


def test_a_stored_image_is_a_query(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    image = min((people / "gallery").iterdir())
    asked = ("--collection", "g", "--limit", "4", "--format", "json")
    (by_file,) = reid("search", image, *asked).json("search")["queries"]
    image_id = by_file["matches"][0]["image_id"]
    (by_id,) = reid("search", "--image-id", str(image_id), *asked).json("search")["queries"]
    assert by_id["query"] == image.name
    assert by_id["matches"] == by_file["matches"]
    gone = reid("search", "--image-id", "999999", "--collection", "g")
    assert (gone.code, gone.out) == (2, "")
    assert "no image 999999 with features" in gone.err


def test_several_images_of_one_person(reid: Reid, people: Path) -> None:
    reid("ingest", people / "gallery", "--collection", "g")
    images = sorted((people / "gallery").iterdir())[:2]
    asked = ("search", *images, "--same-person", "--collection", "g", "--format", "json")
    (mean,) = reid(*asked).json("search")["queries"]
    (nearest,) = reid(*asked, "--nearest").json("search")["queries"]
    assert mean["query"] == nearest["query"] == f"{images[0].name} and 1 more"
    assert {match["path"] for match in nearest["matches"][:2]} == {image.name for image in images}
    assert [match["distance"] for match in nearest["matches"][:2]] == [0, 0]
    assert mean["matches"][0]["distance"] > 0
    alone = reid("search", images[0], "--collection", "g", "--nearest")
    assert (alone.code, "add --same-person" in alone.err) == (2, True)
    both = reid(*asked, "--nearest", "--rerank")
    assert (both.code, "leave out" in both.err) == (2, True)


def test_the_index_through_the_command_line(reid: Reid, people: Path) -> None:
    empty = reid("index", "build")
    assert (empty.code, "has embedded no image yet" in empty.err) == (2, True)
    reid("ingest", people / "gallery", "--collection", "g")
    image = min((people / "gallery").iterdir())
    asked = ("search", image, "--collection", "g", "--approximate", "--format", "json")
    (without,) = reid(*asked).json("search")["queries"]
    assert "`reid index build`" in without["plan"]
    built = reid("index", "build", "--format", "json").json()
    assert (built["state"], built["images"]) == ("ready", built["rows"])
    (status,) = reid("index", "status", "--format", "json").json()
    assert status == built
    (few,) = reid(*asked).json("search")["queries"]
    assert few["plan"].startswith("exact: ")
    assert few["complete"] == without["complete"]
    assert few["matches"] == without["matches"]
    assert reid("index", "drop").out == "dropped\n"
    assert reid("index", "drop").out == "there was none\n"
    assert reid("index", "status", "--format", "json").json()[0]["state"] == "none"
    entries = reid("audit", "list", "--format", "json").json()
    assert {"index build", "index drop"} <= {entry["action"] for entry in entries}
