"""An image that was sent: kept under REID_HOME, and taken in as a file of a folder is.

It lies at `uploads/COLLECTION ID/DIGEST/NAME`: the same content under the same name is one image,
under another name another one, as in a folder. `reid ingest` of `uploads/COLLECTION ID` into the
same collection finds what is there already, so that another model can look at these images too.
"""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.audit import record
from gallery import sent_images
from gallery.collections import CollectionRow, collection_called
from gallery.models import Load, chosen
from gallery.sent_images import (
    DIGEST_LENGTH,
    Upload,
    check_name,
    keep_file,
    remove_kept,
    uploads_folder,
)
from gallery.store import ERASED, erased_hashes
from gallery.stored_images import StoredImage, image
from images.decode import UnreadableImage, content_hash
from images.untrusted import check_picture
from ingest.one_image import ingest_one


class ImageRefused(UnreadableImage):
    """The image was not taken in; nothing is kept of it."""


@dataclass(frozen=True)
class Taken:
    """What an image came to; `is_new` is False where it was stored already."""

    image: StoredImage
    is_new: bool


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
    check_name(upload.name)
    check_picture(upload.data, any_shape=allow_any_shape)
    digest = content_hash(upload.data)
    model = chosen(engine, None)
    with engine.begin() as connection:
        if erased_hashes(connection, [digest]):
            raise ImageRefused(ERASED)
        collection = collection_called(connection, collection_name, identities)
        path = f"{digest.hex()[:DIGEST_LENGTH]}/{upload.name}"
        known = sent_images.find(connection, collection.id, model.id, path)
    if known is not None and sent_images.is_stored(known):
        return Taken(image(engine, known.image_id), is_new=False)
    folder = uploads_folder(collection)
    network = load(model, device)  # before anything is kept: it may fail
    file = keep_file(folder, path, upload)
    try:
        outcome = ingest_one(
            engine, network, model.id, collection, str(folder), file,
            allow_any_shape=allow_any_shape,
        )  # fmt: skip
    except BaseException:
        _forget_without_row(engine, collection, model.id, str(folder), path)
        raise
    if outcome.reason is not None:
        with engine.begin() as connection:
            forgotten = sent_images.forget(connection, outcome.image_id)
        if forgotten:
            remove_kept(str(folder), path)
        raise ImageRefused(outcome.reason)
    with engine.begin() as connection:
        question = {"collection": collection_name, "model": model.name}
        record(connection, "ingest", question, result_ids=[outcome.image_id])
    return Taken(image(engine, outcome.image_id), is_new=True)


def _forget_without_row(
    engine: Engine, collection: CollectionRow, model_id: int, folder: str, path: str
) -> None:
    """Removes the file of an image that has no row: no erasure would find it. Where the database
    cannot be asked, `sweep` finds it later."""
    with suppress(DBAPIError), engine.begin() as connection:
        if sent_images.find(connection, collection.id, model_id, path) is None:
            remove_kept(folder, path)
