"""People as files: a CSV of their images, and a folder in Market-1501's layout to train on."""

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from errors import UsageError
from files import write_whole
from gallery.collections import collections_named
from images.decode import UnreadableImage
from images.sources.open import opened
from people import rows
from people.rows import NothingFound
from vocabulary import COLUMNS, values_in_order

_HEAD = (
    "person", "confidence", "image_id", "collection", "path", "pid", "camid", "captured_at",
)  # fmt: skip


class FolderInUse(UsageError):
    """The folder to write into holds something."""


def export_csv(engine: Engine, names: Sequence[str], out: Path) -> int:
    """A row an image that is in a person; gives their number. Raises NothingFound."""
    found = _members(engine, names, "people export csv")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEAD)
    for row in found:
        facts = row._mapping
        writer.writerow([f"{facts[name]:.3f}" if name == "confidence" else facts[name]
                         for name in _HEAD])  # fmt: skip
    write_whole(out, text.getvalue().encode())
    return len(found)


def export_market(
    engine: Engine, names: Sequence[str], out: Path, *, least: int = 2, link: bool = False
) -> tuple[int, int, dict[str, str]]:
    """`PPPP_cC_NNNNNNNNN.jpg` of everybody with at least `least` images below `out/train`, and
    `out/annotations_train.csv` with their attributes by vote; (people, images, reasons by path of
    what could not be read). `link` makes links to the files of folders instead of copies.

    Raises NothingFound, FolderInUse.
    """
    if out.exists() and any(out.iterdir()):
        raise FolderInUse(f"{out} holds something; give --out a folder that does not exist")
    members = _members(engine, names, "people export market")
    sizes = Counter(row.person for row in members)
    wanted = [row for row in members if sizes[row.person] >= least]
    if not wanted:
        raise NothingFound(f"nobody has {least} images; give --least a smaller number")
    folder = out / "train"
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}
    written = 0
    for row in wanted:
        camera = row.camid if row.camid is not None and row.camid > 0 else 0
        name = f"{row.person:04d}_c{camera}_{row.image_id:09d}.jpg"
        try:
            _write(row, folder / name, link=link)
            written += 1
        except (UnreadableImage, UsageError) as error:
            failed[row.path] = str(error)
    write_whole(out / "annotations_train.csv", _annotations(wanted).encode())
    return len({row.person for row in wanted}), written, failed


def _members(engine: Engine, names: Sequence[str], action: str) -> list[Any]:
    with engine.begin() as connection:
        ids = [row.id for row in collections_named(connection, tuple(names))]
        found = rows.members(connection, ids)
        if not found:
            raise NothingFound(
                f"no people were found in {', '.join(names)} yet; run `reid people find`"
            )
        question = {"collections": list(names), "images": len(found)}
        record(connection, action, question, result_ids=[row.image_id for row in found])
    return found


def _write(row: Any, target: Path, *, link: bool) -> None:
    """Raises UnreadableImage where the file is not there any more, UsageError where its source."""
    name = row.path if row.path_raw is None else os.fsdecode(bytes(row.path_raw))
    file = Path(row.source) / name
    if link and file.is_file():
        target.symlink_to(file.resolve())
        return
    target.write_bytes(opened(row.source).read((row.path, row.path_raw), None))


def _annotations(members: Sequence[Any]) -> str:
    """27 columns a person: of each the value that most images have, of equals the smaller."""
    by_person: dict[int, list[list[int]]] = {}
    for row in members:
        if row.labels is not None:
            by_person.setdefault(row.person, []).append(values_in_order(row.labels))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *COLUMNS])
    for person, values in sorted(by_person.items()):
        voted = [
            min(Counter(column).items(), key=lambda one: (-one[1], one[0]))[0]
            for column in zip(*values, strict=True)
        ]
        writer.writerow([person, *voted])
    return text.getvalue()
