"""A training folder: labels follow images, and one sentence for each folder that cannot be used."""

import csv
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.annotations import BadAnnotations, read_annotations
from images.listing import KINDS
from images.preprocessing import JOINT, Preprocessing
from models.training.data import (
    SET_STRIDE,
    BadTrainingData,
    load_training_folder,
    load_training_folders,
    people_by_space,
)
from vocabulary import COLUMNS, NUM_VALUES

TINY = Preprocessing(8, 4)
PEOPLE = (1, 2, 7, 30)
Row = dict[str, object]


def values_of(pid: int) -> tuple[int, ...]:
    """Different for every person of `PEOPLE`."""
    return tuple(1 + (pid * 7 + c * (pid % 5)) % NUM_VALUES[name] for c, name in enumerate(COLUMNS))


def picture(pid: int, camid: int) -> bytes:
    """One colour that says who and where, in a JPEG as good as its numbers."""
    out = io.BytesIO()
    Image.new("RGB", (4, 8), (pid * 8, camid * 40, 0)).save(out, "JPEG", quality=100, subsampling=0)
    return out.getvalue()


def row_of(pid: int) -> Row:
    return {"id": pid, **dict(zip(COLUMNS, values_of(pid), strict=True))}


def write_annotations(
    folder: Path, rows: list[Row], header: tuple[str, ...] = ("id", *COLUMNS)
) -> Path:
    path = folder / "annotations_train.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four people by three cameras, their files and rows created in random order."""
    files = [(pid, camid) for pid in PEOPLE for camid in (1, 2, 3)]
    random.Random(3).shuffle(files)
    (tmp_path / "train").mkdir()
    for pid, camid in files:
        name = f"{pid:04}_c{camid}_{random.Random(pid + camid).randrange(10**9):09}.jpg"
        (tmp_path / "train" / name).write_bytes(picture(pid, camid))
    rows = [row_of(pid) for pid in PEOPLE]
    random.Random(4).shuffle(rows)
    write_annotations(tmp_path, rows)
    return tmp_path


def complaint(folder: Path) -> str:
    with pytest.raises((BadTrainingData, BadAnnotations)) as caught:
        load_training_folder(folder, TINY)
    assert caught.value.exit_code == 2
    return str(caught.value)


# Labels follow images: the report's authors read the two in different orders

ORDERS: dict[str, Callable[[list[Path]], object]] = {
    "as the file system says": lambda _: None,
    "sorted": list.sort,
    "backwards": lambda paths: paths.sort(reverse=True),
    "shuffled": random.Random(5).shuffle,
}


@pytest.mark.parametrize("order", ORDERS)
def test_labels_follow_images_whatever_the_directory_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    globbed = Path.glob

    def reordered(self: Path, pattern: str) -> Iterator[Path]:
        paths = list(globbed(self, pattern))
        ORDERS[order](paths)
        return iter(paths)

    monkeypatch.setattr(Path, "glob", reordered)
    images = load_training_folder(folder, TINY)
    assert list(images.names) == sorted(path.name for path in (folder / "train").iterdir())
    assert images.pids == list(PEOPLE)
    for name, pixels_HWC, pid, camid, values_C in zip(
        images.names, images.pixels_NHWC, images.pids_N, images.camids_N, images.values_NC,
        strict=True,
    ):  # fmt: skip
        assert name.startswith(f"{pid:04}_c{camid}_")
        red, green, _ = pixels_HWC[4, 2].tolist()
        assert (round(red / 8), round(green / 40)) == (pid, camid), "the pixels are that person's"
        assert tuple(values_C) == values_of(int(pid))


def test_the_tensors_are_as_declared(folder: Path) -> None:
    images = load_training_folder(folder, JOINT)
    assert images.pixels_NHWC.shape == (12, 128, 64, 3)
    assert images.pixels_NHWC.dtype == np.uint8
    assert images.values_NC.shape == (12, 27)


def test_junk_distractors_and_strange_names_are_left_out(folder: Path) -> None:
    for name in ("-1_c1_000000001.jpg", "0000_c2_000000002.jpg", "000616.jpg", "notes.txt"):
        (folder / "train" / name).write_bytes(picture(1, 1))
    images = load_training_folder(folder, TINY)
    assert len(images.names) == 12
    assert images.pids == list(PEOPLE)


def test_annotations_for_nobody_are_no_error(folder: Path) -> None:
    rows = [row_of(pid) for pid in (*PEOPLE, 900)]
    write_annotations(folder, [*rows, {**row_of(1), "id": "000616.jpg"}])
    assert load_training_folder(folder, TINY).pids == list(PEOPLE)


# Folders that cannot be used


def test_no_image_of_a_person(tmp_path: Path) -> None:
    wanted = (
        f"no image of a person in {tmp_path / 'train'} or {tmp_path}: expected "
        "PPPP_cC_NNNNNNNNN.jpg there"
    )
    assert complaint(tmp_path) == wanted
    (tmp_path / "train").write_text("a file")
    assert complaint(tmp_path) == wanted


def test_annotations_that_are_a_folder(folder: Path) -> None:
    (folder / "annotations_train.csv").unlink()
    (folder / "annotations_train.csv").mkdir()
    assert complaint(folder) == f"cannot read {folder / 'annotations_train.csv'}: Is a directory"


def test_missing_columns(folder: Path) -> None:
    path = write_annotations(folder, [], ("id", *COLUMNS[2:]))
    assert complaint(folder) == f"{path}: the header lacks age, backpack"
    path.write_text("")
    assert complaint(folder).startswith(f"{path}: the header lacks age, backpack, bag, clothes")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("hat", 3, "hat is '3', expected 1 to 2, or nothing"),
        ("age", 5, "age is '5', expected 1 to 4, or nothing"),
        ("age", 0, "age is '0', expected 1 to 4, or nothing"),
        ("bag", "1.0", "bag is '1.0', expected 1 to 2, or nothing"),
        ("bag", "-1", "bag is '-1', expected 1 to 2, or nothing"),
        ("bag", "yes", "bag is 'yes', expected 1 to 2, or nothing"),
    ],
)
def test_a_value_out_of_range(folder: Path, column: str, value: object, why: str) -> None:
    path = write_annotations(folder, [row_of(1), {**row_of(2), column: value}])
    assert complaint(folder) == f"{path}, line 3: {why}"


def test_a_row_that_ends_early(folder: Path) -> None:
    path = write_annotations(folder, [row_of(1)])
    path.write_text(path.read_text() + "2,1,1\n")
    assert complaint(folder) == f"{path}, line 3: bag is None, expected 1 to 2, or nothing"


@pytest.mark.parametrize("header", [("id", *COLUMNS), (*COLUMNS, "id")])
def test_a_row_without_an_id(folder: Path, header: tuple[str, ...]) -> None:
    path = write_annotations(folder, [row_of(1), {**row_of(2), "id": ""}], header)
    assert complaint(folder) == f"{path}, line 3: the id is missing"
    path.write_text(path.read_text().rstrip(",\n"))
    if header[-1] == "id":
        assert complaint(folder) == f"{path}, line 3: the id is missing"


def test_a_repeated_id(folder: Path) -> None:
    path = write_annotations(folder, [row_of(pid) for pid in (1, 2, 1)])
    assert complaint(folder) == f"{path}, line 4: id 1 occurs twice"
    write_annotations(folder, [row_of(1), {**row_of(2), "id": "0001"}])
    assert complaint(folder) == f"{path}: person 1 occurs twice, also as '0001'"


# What nobody knows


def test_a_person_without_a_row_and_an_empty_cell_are_unknown(folder: Path) -> None:
    write_annotations(folder, [row_of(1), {**row_of(30), "bag": "", "hat": " "}])
    images = load_training_folder(folder, TINY)
    values = {int(pid): row for pid, row in zip(images.pids_N, images.values_NC, strict=True)}
    assert tuple(values[1]) == values_of(1)
    assert not values[2].any()
    unknown = {COLUMNS.index("bag"), COLUMNS.index("hat")}
    expected = [0 if c in unknown else value for c, value in enumerate(values_of(30))]
    assert values[30].tolist() == expected


def test_without_a_file_nothing_is_known(folder: Path) -> None:
    (folder / "annotations_train.csv").unlink()
    assert not load_training_folder(folder, TINY).values_NC.any()


def test_a_flat_folder_with_its_annotations_beside_it(folder: Path) -> None:
    flat = (folder / "train").rename(folder.parent / "ilids")
    (folder / "annotations_train.csv").rename(folder.parent / "ilids-attributes.csv")
    images = load_training_folder(flat, TINY)
    assert images.pids == list(PEOPLE)
    assert tuple(images.values_NC[0]) == values_of(1)


def test_a_camera_of_zero_is_not_known(folder: Path) -> None:
    (folder / "train" / "0001_c0_000000009.jpg").write_bytes(picture(1, 0))
    images = load_training_folder(folder, TINY)
    assert images.camids_N[images.names.index("0001_c0_000000009.jpg")] == -1


# Several folders


def test_equal_numbers_of_two_folders_are_two_people_and_two_cameras(folder: Path) -> None:
    both = load_training_folders([folder, folder], TINY)
    alone = load_training_folder(folder, TINY)
    n = len(alone.names)
    assert both.pids_N[:n].tolist() == alone.pids_N.tolist()
    assert both.pids_N[n:].tolist() == (alone.pids_N + SET_STRIDE).tolist()
    assert not set(both.camids_N[:n].tolist()) & set(both.camids_N[n:].tolist())
    assert (both.values_NC[n:] == alone.values_NC).all()
    assert people_by_space(both.pids, ["first", "second"]) == {
        "first": list(PEOPLE),
        "second": list(PEOPLE),
    }


def test_an_unknown_camera_stays_unknown_in_the_second_folder(folder: Path) -> None:
    (folder / "train" / "0001_c0_000000009.jpg").write_bytes(picture(1, 0))
    both = load_training_folders([folder, folder], TINY)
    assert [int(c) for c in both.camids_N].count(-1) == 2


@pytest.mark.parametrize("kept", [(), (7,)])
def test_one_identity_only(folder: Path, kept: tuple[int, ...]) -> None:
    for path in (folder / "train").iterdir():
        if int(path.name[:4]) not in kept:
            path.unlink()
    assert complaint(folder) == f"{folder / 'train'} holds fewer than two people"


def test_an_image_that_cannot_be_read(folder: Path) -> None:
    path = min((folder / "train").iterdir())
    whole = path.read_bytes()
    mend = "mend it or move it away"
    path.write_bytes(b"")
    assert complaint(folder) == f"{path}: an empty file; {mend}"
    path.write_bytes(b"no image")
    assert complaint(folder) == (f"{path}: no image that can be read; expected {KINDS}; {mend}")
    path.write_bytes(whole[: len(whole) // 2])
    assert complaint(folder).startswith(f"{path}: ")


def test_training_sees_the_pixels_that_ingest_sees(folder: Path) -> None:
    """A photograph with a rotation in its EXIF is upright in both."""
    upright = Image.new("RGB", (4, 8), (200, 0, 0))
    upright.paste((0, 0, 200), (0, 4, 4, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right when shown
    path = min((folder / "train").iterdir())
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.save(path, quality=100, subsampling=0, exif=exif)
    pixels_HWC = load_training_folder(folder, TINY).pixels_NHWC[0]
    assert pixels_HWC[0, 0, 0] > 150 > pixels_HWC[7, 0, 0]


# The annotation file


def test_annotations_of_a_spreadsheet(tmp_path: Path) -> None:
    """A byte order mark, other columns, another order of columns, Windows line ends."""
    path = tmp_path / "table.csv"
    header = ("notes", *reversed(COLUMNS), "id")
    path.write_text("﻿" + ",".join(header) + "\r\n", encoding="utf-8", newline="")
    values = ",".join("4" if column == "age" else "2" for column in reversed(COLUMNS))
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(f'"a, b",{values},001609.jpg\r\n\r\n')
    found = read_annotations(path)
    assert found == {"001609.jpg": tuple(NUM_VALUES[column] for column in COLUMNS)}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe\x00", ", line 1: no UTF-16 text; save the file as UTF-8"),
        (b"id\ncaf\xe9", ", line 2: no UTF-8 text; save the file as UTF-8"),
        (b"id," + b"x" * 200_000, " is no CSV file: field larger than field limit (131072)"),
    ],
)
def test_annotations_that_are_no_table(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(BadAnnotations) as caught:
        read_annotations(path)
    assert str(caught.value) == f"{path}{why}"
