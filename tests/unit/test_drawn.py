"""The drawn data set: known people, the real layout, the same bytes everywhere."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drawn import palette
from drawn.camera import CAMERAS
from drawn.dataset import DrawnCounts, FolderHoldsOther, ImpossibleSize, draw_dataset
from drawn.figure import Light, Placement, paint_figure
from drawn.person import Person, draw_lots
from drawn.pose import Pose
from drawn.sheet import caption, contact_sheet
from drawn.shot import shoot
from errors import UsageError
from vocabulary import COLUMNS, LOWER_COLUMNS, NUM_VALUES, UPPER_COLUMNS

ROOT = Path(__file__).parents[2]
SMALL = {"train_people": 2, "test_people": 2, "images_per_person": 4, "distractors": 3}
PEOPLE = [draw_lots(7, pid) for pid in range(1, 61)]
# All that faces the camera is as bright as its own colour.
EVEN = Light(direction=(0, 0, 1), sun=0.2, sky=0.9)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DrawnCounts]:
    folder = tmp_path_factory.mktemp("drawn")
    return folder, draw_dataset(folder, **SMALL, seed=7)


def test_counts_are_what_the_folders_hold(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, counts = drawn
    assert counts == DrawnCounts(
        train_people=2,
        test_people=2,
        train_images=8,
        test_images=11,
        query_images=4,
        gallery_images=7,
        distractors=3,
    )
    found = Counter(path.parent.name for path in folder.rglob("*.jpg"))
    assert found == {"train": 8, "test": 11, "queries": 4, "gallery": 7, "query": 4}


def test_names_are_those_of_the_real_data(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    for name in ("train", "gallery", "query"):
        for path in (folder / name).iterdir():
            assert re.fullmatch(r"\d{4}_c[1-6]_\d{9}\.jpg", path.name)
    for name, count in (("test", 11), ("queries", 4)):
        names = sorted(path.name for path in (folder / name).iterdir())
        assert names == [f"{number:06}.jpg" for number in range(count)]


def test_every_image_is_a_64_by_128_rgb_jpeg(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


def test_annotations_have_the_real_header_and_values(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    for name, ids in (
        ("annotations_train.csv", r"[1-9]\d*"),
        ("annotations_test.csv", r"\d{6}.jpg"),
    ):
        header = (folder / name).read_text(encoding="utf-8").splitlines()[0]
        assert header == ",".join(("id", *COLUMNS))
        for row in read(folder / name):
            assert re.fullmatch(ids, row.pop("id"))
            assert all(1 <= int(value) <= NUM_VALUES[column] for column, value in row.items())
    in_train = {int(path.name[:4]) for path in (folder / "train").iterdir()}
    assert in_train == {int(row["id"]) for row in read(folder / "annotations_train.csv")}


def test_truth_names_whom_each_test_image_shows(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    named = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path.name
        for name in ("gallery", "query")
        for path in (folder / name).iterdir()
    }
    annotated = {row["id"]: row for row in read(folder / "annotations_test.csv")}
    for name, truth in (("test", "truth_test.csv"), ("queries", "truth_queries.csv")):
        for row in read(folder / truth):
            content = (folder / name / row["file"]).read_bytes()
            whom = named[hashlib.sha256(content).hexdigest()]
            assert whom.startswith(f"{int(row['pid']):04}_c{row['camid']}_")
            if name == "test" and row["pid"] == "0":
                assert row["file"] not in annotated
            elif name == "test":
                values = draw_lots(7, int(row["pid"])).values
                assert all(int(annotated[row["file"]][c]) == values[c] for c in COLUMNS)


def test_a_query_is_a_copy_of_exactly_one_test_image(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    test = Counter(path.read_bytes() for path in (folder / "test").iterdir())
    assert all(test[path.read_bytes()] == 1 for path in (folder / "queries").iterdir())


def test_people_of_train_are_not_in_test(drawn: tuple[Path, DrawnCounts]) -> None:
    folder, _ = drawn
    train = {path.name[:4] for path in (folder / "train").iterdir()}
    test = {path.name[:4] for name in ("gallery", "query") for path in (folder / name).iterdir()}
    assert not train & test
    assert "0000" in test


@pytest.mark.parametrize("images", [2, 3, 4, 5, 6, 9, 20])
def test_every_query_has_a_match_by_another_camera(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drawn.plan.Shot.draw", lambda shot: shot.name.encode())
    draw_dataset(
        tmp_path, train_people=1, test_people=25, images_per_person=images, distractors=0, seed=3
    )
    gallery = [path.name for path in (tmp_path / "gallery").iterdir()]
    queries = [path.name for path in (tmp_path / "query").iterdir()]
    assert len(gallery) + len(queries) == 25 * images
    assert not set(gallery) & set(queries)
    for query in queries:
        assert any(name[:4] == query[:4] and name[5:7] != query[5:7] for name in gallery)


def test_same_seed_same_bytes_in_another_process(
    drawn: tuple[Path, DrawnCounts], tmp_path: Path
) -> None:
    code = (
        "import json, sys; from pathlib import Path; from drawn.dataset import draw_dataset;"
        "draw_dataset(Path(sys.argv[1]), **json.loads(sys.argv[2]), seed=7)"
    )
    sizes = str(SMALL).replace("'", '"')
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "again"), sizes],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "4321"},
        check=True,
    )
    assert contents(tmp_path / "again") == contents(drawn[0])


def test_another_seed_draws_other_people() -> None:
    first, second = (shoot(draw_lots(seed, 5), CAMERAS[1], 0, seed) for seed in (7, 8))
    assert first.tobytes() != second.tobytes()
    assert first.tobytes() == shoot(draw_lots(7, 5), CAMERAS[1], 0, 7).tobytes()


def test_cameras_and_looks_differ() -> None:
    looks = {
        shoot(PEOPLE[0], camera, n, 7).tobytes() for camera in CAMERAS.values() for n in (0, 1)
    }
    assert len(looks) == 12


def test_drawing_again_changes_nothing(
    drawn: tuple[Path, DrawnCounts], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, counts = drawn
    monkeypatch.delattr("drawn.plan.Shot.draw")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert draw_dataset(folder, **SMALL, seed=7) == counts
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_parameters_are_refused(drawn: tuple[Path, DrawnCounts]) -> None:
    with pytest.raises(FolderHoldsOther, match=r"other parameters .*seed 7.* name another folder"):
        draw_dataset(drawn[0], **SMALL, seed=8)


@pytest.mark.parametrize("name", ["notes.txt", "drawn.json"])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(FolderHoldsOther, match=r"not drawn here.*name a new or an empty folder"):
        draw_dataset(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(FolderHoldsOther, match="is a file"):
        draw_dataset(file)


@pytest.mark.parametrize(
    "sizes",
    [
        {"train_people": 0},
        {"test_people": 0},
        {"train_people": 9999},
        {"images_per_person": 1},
        {"distractors": -1},
    ],
)
def test_impossible_numbers_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ImpossibleSize, match="ask for"):
        draw_dataset(tmp_path / "new", **sizes)
    assert not (tmp_path / "new").exists()
    assert issubclass(ImpossibleSize, UsageError)


@pytest.mark.parametrize("first", [1, 17, 40, 121])
def test_every_value_of_every_column_occurs(first: int) -> None:
    people = [draw_lots(7, pid) for pid in range(first, first + 79)]
    seen = {(column, value) for person in people for column, value in person.values.items()}
    assert seen == {(c, value) for c in COLUMNS for value in range(1, NUM_VALUES[c] + 1)}


def test_sixty_people_show_every_value() -> None:
    seen = {(column, value) for person in PEOPLE for column, value in person.values.items()}
    assert seen == {(c, value) for c in COLUMNS for value in range(1, NUM_VALUES[c] + 1)}


def test_at_most_one_colour_and_some_unknown() -> None:
    for group, least in ((UPPER_COLUMNS, 3), (LOWER_COLUMNS, 1)):
        colors = Counter(sum(person.has(column) for column in group) for person in PEOPLE)
        assert set(colors) == {0, 1}
        assert least <= colors[0] <= 10


def test_an_impossible_person_is_refused() -> None:
    person = PEOPLE[0]
    for values, message in (
        ({**person.values, "upred": 2, "upblue": 2, "upgray": 2}, "more than one of upblack"),
        ({**person.values, "age": 5}, "age has no value 5"),
        ({"age": 1}, "expected the 27 columns"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(person, values=MappingProxyType(values))
    with pytest.raises(ValueError, match="expected a pid"):
        replace(person, pid=0)


def torso_color(person: Person) -> NDArray[np.float64]:
    """Mean RGB (3) of the middle of the back, seen from behind in even light."""
    placement = Placement()
    image = paint_figure(person, Pose(heading=180, stride=0.1), EVEN, placement)
    feet, height = placement.feet[1], placement.height * person.looks.stature
    rows = slice(round(feet - 0.72 * height), round(feet - 0.58 * height))
    pixels = np.asarray(image)[rows, 27:38].reshape(-1, 4).astype(np.float64)
    assert (pixels[:, 3] > 250).mean() > 0.9
    return np.asarray(pixels[:, :3].mean(axis=0))


def test_the_upper_colour_is_seen() -> None:
    names = list(palette.UPPER)
    bases = np.array([palette.UPPER[name] for name in names], dtype=np.float64)
    worn = [(p, name) for p in PEOPLE for name in names if p.has(f"up{name}")]
    clear = [(p, name) for p, name in worn if not p.has("backpack")]
    right = 0
    for person, name in clear:
        away = np.linalg.norm(bases - torso_color(person), axis=1)
        right += names[int(away.argmin())] == name
    assert len(clear) > 30
    assert right / len(clear) > 0.9


@pytest.mark.parametrize("column", ["hat", "backpack", "bag", "handbag", "hair", "up", "down"])
def test_a_column_changes_the_picture(column: str) -> None:
    plain = next(p for p in PEOPLE if not any(map(p.has, ("hat", "backpack", "bag", "handbag"))))
    values = MappingProxyType({**plain.values, column: 3 - plain.values[column]})
    looks = replace(plain.looks, hair_style="loose") if column == "hair" else plain.looks
    other = replace(plain, values=values, looks=looks)
    first, second = (
        np.asarray(paint_figure(p, Pose(heading=150)), dtype=np.int64) for p in (plain, other)
    )
    assert (abs(first - second).max(axis=2) > 40).sum() > 20


def test_a_contact_sheet_has_a_row_a_person_and_a_column_a_camera() -> None:
    sheet = contact_sheet(PEOPLE[:2], camids=(1, 4, 6), scale=1, captions=False)
    assert sheet.size == (3 * (64 + 3) + 3, 2 * (128 + 3) + 3)
    crop = sheet.crop((3 + 67, 3, 3 + 67 + 64, 3 + 128))
    assert crop.tobytes() == shoot(PEOPLE[0], CAMERAS[4], 0, 7).tobytes()


def test_a_caption_says_what_the_columns_say() -> None:
    person = next(p for p in PEOPLE if p.has("bag") and p.has("upwhite"))
    assert "bag" in caption(person)[-1]
    assert caption(person)[2].startswith("upper white, ")
