"""Images that were sent one by one, in the manifest."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from db.connect import default_home
from errors import UsageError
from files import write_whole
from gallery.collections import CollectionRow
from gallery.manifest import FileFacts, Known, known_files
from images.listing import KINDS, SUFFIXES, suffix_of
from images.names import facts_of

DIGEST_LENGTH = 32  # hexadecimal digits: 128 bits, far beyond what anybody can make collide
NAME_BYTES = 200


class BadImageName(UsageError):
    """An image that was sent has a name that no file of a folder could have."""


@dataclass(frozen=True)
class Upload:
    """An image that was sent: its file name and its content."""

    name: str
    data: bytes


def find(connection: Connection, collection_id: int, model_id: int, path: str) -> Known | None:
    """What the manifest holds of the file of that path, for one model."""
    return known_files(connection, collection_id, model_id, [path]).get((path, None))


def is_stored(known: Known) -> bool:
    return known.state == "done" and not known.missing


def forget(connection: Connection, image_id: int) -> bool:
    """Removes an image that no model has embedded; False where one has."""
    stmt = text(
        "DELETE FROM image WHERE id = :id AND NOT EXISTS (SELECT FROM feature WHERE image_id = :id)"
    )
    return connection.execute(stmt, {"id": image_id}).rowcount > 0


def uploads_folder(collection: CollectionRow) -> Path:
    """Where the images lie that were sent into a collection."""
    return default_home().resolve() / "uploads" / str(collection.id)


def remove_kept(source: str, path: str) -> bool:
    """Removes the file of an image that was sent; False for a file of anybody's folder, which is
    not ours to remove, and where there is none."""
    kept = Path(source) / path
    if Path(source).parent != default_home().resolve() / "uploads" or not kept.is_file():
        return False
    kept.unlink()
    with suppress(OSError):  # another image of the same content lies there
        kept.parent.rmdir()
    return True


def remove_all_kept(collection: CollectionRow) -> None:
    """Removes the files that were sent into a collection, which is removed itself."""
    shutil.rmtree(uploads_folder(collection), ignore_errors=True)


def check_name(name: str) -> None:
    if suffix_of(name) not in SUFFIXES:
        raise BadImageName(f"{name!r} is no image file's name; expected {KINDS}")
    if len(name.encode()) > NAME_BYTES:
        raise BadImageName(f"the name has more than {NAME_BYTES} bytes; choose a shorter one")


def keep_file(folder: Path, path: str, upload: Upload) -> FileFacts:
    """Writes the file, readable for its owner alone."""
    target = folder / path
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder.parent).chmod(0o700)
    write_whole(target, upload.data)
    facts = target.stat()
    return FileFacts(path, None, facts.st_size, facts.st_mtime_ns, *facts_of(upload.name))
