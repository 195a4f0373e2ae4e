"""An image that was sent: kept under REID_HOME, and taken in as a file of a folder is.

It lies at `uploads/COLLECTION ID/DIGEST/NAME`: the same content under the same name is one image,
under another name another one, as in a folder. `reid ingest` of `uploads/COLLECTION ID` into the
same collection finds what is there already, so that another model can look at these images too.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from actions.browse import image
from actions.models import chosen
from actions.page import Upload
from actions.query_images import Content, Load
from actions.strangers import check_picture
from db import uploaded
from db.audit import record
from db.collections import CollectionRow, collection_called
from db.connect import default_home
from db.manifest import FileFacts
from db.store import ERASED, erased_hashes
from errors import UsageError
from images.decode import UnreadableImage, content_hash
from images.listing import KINDS, SUFFIXES, suffix_of
from images.names import facts_of
from ingest.single import ingest_one
from search.browse import StoredImage
from search.pictures.files import write_whole

_DIGEST_LENGTH = 32  # hexadecimal digits: 128 bits, far beyond what anybody can make collide
_NAME_BYTES = 200


class BadImageName(UsageError):
    """An image that was sent has a name that no file of a folder could have."""


class ImageRefused(UnreadableImage):
    """The image was not taken in; nothing is kept of it."""


@dataclass(frozen=True)
class Taken:
    """What an image came to; `is_new` is False where it was stored already."""

    image: StoredImage
    is_new: bool


def named_contents(uploads: Sequence[Upload]) -> list[tuple[str, Content]]:
    """(name, content) of each upload. Raises UsageError where two have one name."""
    names = [upload.name for upload in uploads]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two images are called {twice}; search them one after the other")
    return [(upload.name, Content(upload.data)) for upload in uploads]


def ingest_image(
    engine: Engine,
    upload: Upload,
    collection_name: str,
    *,
    identities: str | None = None,
    allow_any_shape: bool = False,
    load: Load,
    device: str | None = None,
) -> Taken:
    """Takes one image into a collection, made where there is none, with the active model.

    Raises BadImageName, UnreadableImage, ImageRefused, IdentitiesDiffer; then nothing is kept.
    """
    _check_name(upload.name)
    check_picture(upload.data, any_shape=allow_any_shape)
    digest = content_hash(upload.data)
    model = chosen(engine, None)
    with engine.begin() as connection:
        if erased_hashes(connection, [digest]):
            raise ImageRefused(ERASED)
        collection = collection_called(connection, collection_name, identities)
        path = f"{digest.hex()[:_DIGEST_LENGTH]}/{upload.name}"
        known = uploaded.find(connection, collection.id, model.id, path)
    if known is not None and uploaded.is_stored(known):
        return Taken(image(engine, known.image_id), is_new=False)
    folder = uploads_folder(collection)
    file = _keep(folder, path, upload)
    outcome = ingest_one(
        engine, load(model, device), model.id, collection, str(folder), file,
        allow_any_shape=allow_any_shape,
    )  # fmt: skip
    if outcome.reason is not None:
        with engine.begin() as connection:
            forgotten = uploaded.forget(connection, outcome.image_id)
        if forgotten:
            remove_kept(str(folder), path)
        raise ImageRefused(outcome.reason)
    with engine.begin() as connection:
        question = {"collection": collection_name, "model": model.name}
        record(connection, "ingest", question, result_ids=[outcome.image_id])
    return Taken(image(engine, outcome.image_id), is_new=True)


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


def _check_name(name: str) -> None:
    if suffix_of(name) not in SUFFIXES:
        raise BadImageName(f"{name!r} is no image file's name; expected {KINDS}")
    if len(name.encode()) > _NAME_BYTES:
        raise BadImageName(f"the name has more than {_NAME_BYTES} bytes; choose a shorter one")


def _keep(folder: Path, path: str, upload: Upload) -> FileFacts:
    """Writes the file, readable for its owner alone."""
    target = folder / path
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder.parent).chmod(0o700)
    write_whole(target, upload.data)
    facts = target.stat()
    return FileFacts(path, None, facts.st_size, facts.st_mtime_ns, *facts_of(upload.name))
