"""Images that were sent one by one, in the manifest."""

import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from db.connect import NoHome, default_home
from db.each import plain_text
from errors import PartialFailure, UsageError
from files import write_whole
from gallery.collections import CollectionRow
from gallery.manifest import FileFacts, Known, known_files
from images.decode import content_hash
from images.listing import KINDS, SUFFIXES, suffix_of
from images.names import facts_of

DIGEST_LENGTH = 32  # hexadecimal digits: 128 bits, far beyond what anybody can make collide
NAME_BYTES = 200
_UNTIL_REGISTERED_S = 60  # so long a file that was just written may have no row yet
_SENT = re.compile(rf"[0-9a-f]{{{DIGEST_LENGTH}}}/[^/]+$")


class BadImageName(UsageError):
    """An image that was sent has a name that no file of a folder could have."""


class FilesLeft(PartialFailure):
    """Rows are removed, but files of pictures stay where they were."""


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
    """Return the folder of the images that were sent into a collection."""
    return default_home().resolve() / "uploads" / str(collection.id)


def is_sent(source: str, path: str) -> bool:
    """Whether a source and a path are those of an image that was sent, into whatever home."""
    folder = Path(source)
    if folder.parent == _uploads():
        return True
    return folder.parent.name == "uploads" and folder.name.isdecimal() and bool(_SENT.match(path))


def remove_kept(source: str, path: str) -> bool:
    """Removes the file of an image that was sent, into this home or another one that this process
    reaches; False for a file of anybody's folder, which is not ours to remove, and where there is
    none."""
    if not is_sent(source, path) or not _is_ours(source, path):
        return False
    kept = Path(source) / path
    kept.unlink()
    with suppress(OSError):  # another image of the same content lies there
        kept.parent.rmdir()
    return True


def stays(source: str, path: str) -> bool:
    """Whether the file of an image that was sent is left by `remove_kept`, as far as anybody knows:
    it lies in another home, which this process does not reach."""
    return Path(source).parent != _uploads() and not _is_ours(source, path)


def _is_ours(source: str, path: str) -> bool:
    """Whether it is there; in another home its folder must be named by its content."""
    kept = Path(source) / path
    if not kept.is_file():
        return False
    if Path(source).parent == _uploads():
        return True
    return content_hash(kept.read_bytes()).hex()[:DIGEST_LENGTH] == kept.parent.name


def _uploads() -> Path | None:
    """The folder of sent images in this home; None where there is no home."""
    try:
        return default_home().resolve() / "uploads"
    except NoHome:
        return None


def sweep(connection: Connection) -> int:
    """Removes the files of sent images that have no row and are older than a minute, as a process
    that was killed between the two leaves them; gives their number."""
    own, swept = _uploads(), 0
    if own is None or not own.is_dir():
        return 0
    for folder in own.iterdir():
        files = [str(file.relative_to(folder)) for file in folder.glob("*/*") if _is_old(file)]
        stmt = text("SELECT path FROM image WHERE source = :source AND path = ANY(:paths)")
        known = set(connection.scalars(stmt, {"source": str(folder), "paths": files}))
        swept += sum(remove_kept(str(folder), path) for path in files if path not in known)
    return swept


def _is_old(file: Path) -> bool:
    try:
        return file.stat().st_mtime < time.time() - _UNTIL_REGISTERED_S
    except OSError:  # it has gone meanwhile
        return False


def remove_all_kept(collection: CollectionRow) -> None:
    """Removes the files that were sent into a collection, which is removed itself.

    Raises FilesLeft for those that stay.
    """
    folder = uploads_folder(collection)
    left: list[str] = []
    shutil.rmtree(folder, onerror=lambda _, path, error: left.append(f"{path}: {error[1]}"))
    if folder.exists():
        raise FilesLeft(
            f"the collection is removed, but pictures that were sent into it stay in {folder} "
            f"({left[0] if left else 'they came meanwhile'}); remove that folder"
        )


def check_name(name: str) -> None:
    """Raises BadImageName for a name that no file of a folder, or no row, can have."""
    if plain_text(name) != name or "/" in name:
        raise BadImageName(f"{name!r} is no file's name; choose another one")
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
