"""A drawn data set in a folder, laid out as the real one, with the truth that the real one hides.

    train/0007_c3_012345678.jpg   annotations_train.csv      as in the real data
    test/000012.jpg               queries/000003.jpg         as in the real data: no pid, no camid
    annotations_test.csv          truth_test.csv             what each test image shows, and whom
    truth_queries.csv                                        whom each query shows
    gallery/, query/                                         the test people under standard names
    drawn.json                                               how it was drawn; written last

`test/` holds every image of `gallery/` and `query/`; a file of `queries/` is a copy of one of them.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from drawn.camera import CAMERAS
from drawn.person import Person, draw_lots
from drawn.plan import DISTRACTOR, Shot, choose_queries, shots_of
from errors import UsageError
from vocabulary import COLUMNS

# Raised by one whenever the same parameters would give other bytes.
VERSION = 1
STAMP = "drawn.json"


class FolderHoldsOther(UsageError):
    """The folder holds files that this drawing would mix with or replace."""


class ImpossibleSize(UsageError):
    """No data set has these numbers."""


@dataclass(frozen=True)
class DrawnCounts:
    """How many images each folder holds, and of how many people."""

    train_people: int
    test_people: int
    train_images: int
    test_images: int
    query_images: int
    gallery_images: int
    distractors: int


def draw_dataset(
    folder: Path,
    *,
    train_people: int = 24,
    test_people: int = 12,
    images_per_person: int = 6,
    distractors: int = 20,
    seed: int = 7,
) -> DrawnCounts:
    """Draw a data set into `folder`; the same arguments give the same bytes in any process.

    A folder that these arguments already filled stays as it is. Raises `FolderHoldsOther` for one
    that holds anything else, `ImpossibleSize` for numbers that no data set can have.
    """
    parameters = {
        "version": VERSION, "train_people": train_people, "test_people": test_people,
        "images_per_person": images_per_person, "distractors": distractors, "seed": seed,
    }  # fmt: skip
    _check_size(train_people, test_people, images_per_person, distractors)
    counts = _known_counts(folder, parameters)
    if counts is not None:
        return counts

    people = [draw_lots(seed, pid) for pid in range(1, train_people + test_people + 1)]
    Random(f"{seed}:split").shuffle(people)
    train, test = people[:train_people], people[train_people:]
    folder.mkdir(parents=True, exist_ok=True)
    train_images = _draw_train(folder, train, images_per_person, seed)
    test_images, query_images = _draw_test(folder, test, images_per_person, distractors, seed)
    counts = DrawnCounts(
        train_people=train_people,
        test_people=test_people,
        train_images=train_images,
        test_images=test_images,
        query_images=query_images,
        gallery_images=test_images - query_images,
        distractors=distractors,
    )
    stamp = {"parameters": parameters, "counts": asdict(counts)}
    (folder / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    return counts


def _check_size(train_people: int, test_people: int, images: int, distractors: int) -> None:
    if train_people < 1 or test_people < 1 or train_people + test_people > 9999:
        raise ImpossibleSize("no such number of people; ask for at least 1 each and 9999 in all")
    if not 2 <= images <= 999:
        raise ImpossibleSize(
            f"{images} images a person leave no query or no match; ask for 2 to 999"
        )
    if not 0 <= distractors <= 999:
        raise ImpossibleSize(f"cannot draw {distractors} distractors; ask for 0 to 999")


def _known_counts(folder: Path, parameters: dict[str, int]) -> DrawnCounts | None:
    """The counts of a folder that these parameters filled; None where there is nothing yet."""
    if folder.exists() and not folder.is_dir():
        raise FolderHoldsOther(f"{folder} is a file; name a new or an empty folder")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    try:
        stamp: dict[str, Any] = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        drawn_with, counts = stamp["parameters"], DrawnCounts(**stamp["counts"])
    except (OSError, ValueError, KeyError, TypeError):
        raise FolderHoldsOther(
            f"{folder} holds files that were not drawn here, or a drawing that was broken off; "
            "name a new or an empty folder, or delete this one first"
        ) from None
    if drawn_with != parameters:
        raise FolderHoldsOther(
            f"{folder} holds a set drawn with other parameters ({_listed(drawn_with)}); "
            "name another folder, or delete this one first"
        )
    return counts


def _listed(parameters: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _draw_train(folder: Path, people: list[Person], images: int, seed: int) -> int:
    (folder / "train").mkdir()
    for person in people:
        for shot in shots_of(person.pid, images, seed):
            (folder / "train" / shot.name).write_bytes(shot.draw())
    rows = ([person.pid, *person.values.values()] for person in people)
    _write_csv(folder / "annotations_train.csv", ("id", *COLUMNS), rows)
    return len(people) * images


def _draw_test(
    folder: Path, people: list[Person], images: int, distractors: int, seed: int
) -> tuple[int, int]:
    """Write everything of the test people; returns the numbers of test and of query images."""
    by_person = [shots_of(person.pid, images, seed) for person in people]
    shots = list(chain.from_iterable(by_person))
    queries = list(chain.from_iterable(map(choose_queries, by_person)))
    camids = islice(cycle(sorted(CAMERAS)), distractors)
    shots += [Shot(DISTRACTOR, camid, number, seed) for number, camid in enumerate(camids)]
    rng = Random(f"{seed}:order")
    rng.shuffle(shots)
    rng.shuffle(queries)

    for name in ("test", "queries", "gallery", "query"):
        (folder / name).mkdir()
    query_number = {shot: number for number, shot in enumerate(queries)}
    for number, shot in enumerate(shots):
        content = shot.draw()
        (folder / "test" / f"{number:06}.jpg").write_bytes(content)
        if shot in query_number:
            (folder / "queries" / f"{query_number[shot]:06}.jpg").write_bytes(content)
        (folder / ("query" if shot in query_number else "gallery") / shot.name).write_bytes(content)
    _write_truth(folder, people, shots, queries)
    return len(shots), len(queries)


def _write_truth(
    folder: Path, people: list[Person], shots: list[Shot], queries: list[Shot]
) -> None:
    values = {person.pid: person.values for person in people}
    rows = (
        [f"{number:06}.jpg", *values[shot.pid].values()]
        for number, shot in enumerate(shots)
        if shot.pid != DISTRACTOR
    )
    _write_csv(folder / "annotations_test.csv", ("id", *COLUMNS), rows)
    for name, listed in (("truth_test.csv", shots), ("truth_queries.csv", queries)):
        truth = ([f"{n:06}.jpg", shot.pid, shot.camid] for n, shot in enumerate(listed))
        _write_csv(folder / name, ("file", "pid", "camid"), truth)


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[list[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
