"""What a query is made of: images that are decoded and embedded, or stored ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, text

from db.arrays import vector_from_send
from errors import UsageError
from gallery.centring import cameras, means_of
from gallery.model_rows import ModelRow
from gallery.models import Load, load_network
from gallery.sent_images import Upload
from gallery.stored_images import UnknownImage
from images.decode import Decoded, UnreadableImage, content_hash, decode, read_file
from images.names import facts_of
from images.untrusted import check_picture
from search.question import QueryPerson, mean_embedding
from search.statement import binary_results

_BATCH = 64


@dataclass(frozen=True)
class Content:
    """An image file's bytes, where there is no file to read: an upload. One that was `tried` has
    passed `check_picture` already."""

    data: bytes
    tried: bool = False


Source = bytes | str | Content  # a path, or the content itself


@dataclass(frozen=True)
class EmbeddedImage:
    """A query image: decoded, with its embedding. `stored` is (image id, pid, camid, identities)
    of an image with the same content that is stored, whose embedding is used."""

    name: str
    content_hash: bytes
    thumbnail: bytes
    embedding_D: "np.ndarray[Any, np.dtype[np.float32]]"
    image_id: int | None
    pid: int | None
    camid: int | None
    identities: str

    def as_query(self) -> QueryPerson:
        return QueryPerson(
            self.name,
            self.embedding_D,
            (self.content_hash,),
            self.pid,
            self.camid,
            self.identities,
        )


Embedded = tuple[list[EmbeddedImage], dict[str, str]]


def embed_files(
    engine: Engine,
    model: ModelRow,
    files: Sequence[tuple[str, Source]],
    device: str | None,
    on_progress: Callable[[int], object] | None = None,
    load: Load | None = None,
) -> Embedded:
    """(embedded images in order, reasons by name of those that cannot be used).

    What is stored already is not embedded again; torch is imported only when something is left.
    `load` gives the network; without it, one is loaded for this call.
    """
    decoded: dict[str, tuple[bytes, Decoded]] = {}
    failed: dict[str, str] = {}
    for name, source in files:
        try:
            data = source.data if isinstance(source, Content) else read_file(source)
            if isinstance(source, Content) and not source.tried:
                check_picture(data, any_shape=True)
            decoded[name] = content_hash(data), decode(data, any_shape=True)
        except UnreadableImage as error:
            failed[name] = str(error)
        if on_progress:
            on_progress(1)
    stored: dict[bytes, Any] = {}
    if decoded:
        with engine.connect() as connection:
            stored = _stored(connection, model, [item[0] for item in decoded.values()])
    fresh = {n: item for n, item in decoded.items() if item[0] not in stored}
    pixels = {n: item[1] for n, item in fresh.items()}
    computed = _embed(model, pixels, device, load or load_network)
    images = [
        _embedded(name, digest, image, stored.get(digest), computed.get(name))
        for name, (digest, image) in decoded.items()
    ]
    return images, failed


def _embedded(
    name: str, digest: bytes, image: Decoded, stored: Any, computed: Any
) -> EmbeddedImage:
    pid, camid = facts_of(name.rsplit("/", 1)[-1])
    return EmbeddedImage(
        name=name,
        content_hash=digest,
        thumbnail=image.thumbnail,
        embedding_D=computed if stored is None else vector_from_send(stored.bytes),
        image_id=None if stored is None else stored.id,
        pid=pid if pid is not None or stored is None else stored.pid,
        camid=camid if camid is not None or stored is None else stored.camid,
        identities="default" if stored is None else stored.identities,
    )


def _stored(connection: Connection, model: ModelRow, hashes: list[bytes]) -> dict[bytes, Any]:
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (i.content_hash) i.content_hash, i.id, i.pid, i.camid,"
            " c.identities, vector_send(f.embedding) AS bytes FROM image i"
            " JOIN collection c ON c.id = i.collection_id"
            " JOIN feature f ON f.image_id = i.id AND f.model_id = :model"
            " WHERE i.content_hash = ANY(:hashes)"
            " ORDER BY i.content_hash, i.pid NULLS LAST, i.id"
        ),
        {"model": model.id, "hashes": hashes},
    )
    return {row.content_hash: row for row in rows}


def _embed(
    model: ModelRow, images: dict[str, Decoded], device: str | None, load: Load
) -> dict[str, Any]:
    if not images:
        return {}
    network = load(model, device)
    names = list(images)
    result: dict[str, Any] = {}
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        pixels = np.stack([network.pixels_of(images[name].image) for name in batch])
        result.update(zip(batch, network(pixels)[1], strict=True))
    return result


_STORED_IMAGES = text(
    """
    SELECT i.id, i.path, i.content_hash, i.pid, i.camid, c.identities, t.jpeg,
           vector_send(f.embedding) AS bytes
    FROM image i
    JOIN collection c ON c.id = i.collection_id
    JOIN feature f ON f.image_id = i.id AND f.model_id = :model
    LEFT JOIN thumbnail t ON t.image_id = i.id AND :with_thumbnails
    WHERE i.id = ANY(:images)
    """
)


def images_by_id(
    connection: Connection,
    model: ModelRow,
    image_ids: Sequence[int],
    *,
    with_thumbnails: bool = True,
) -> dict[int, EmbeddedImage]:
    """Gallery images as queries, their stored embeddings used; by one statement. What the model has
    not embedded is left out."""
    known = sorted({image_id for image_id in image_ids if 0 < image_id < 2**63})
    values = {"model": model.id, "images": known, "with_thumbnails": with_thumbnails}
    with binary_results(connection):
        rows = connection.execute(_STORED_IMAGES, values).all() if known else []
    return {
        row.id: EmbeddedImage(
            name=row.path,
            content_hash=bytes(row.content_hash),
            thumbnail=bytes(row.jpeg or b""),
            embedding_D=vector_from_send(row.bytes),
            image_id=row.id,
            pid=row.pid,
            camid=row.camid,
            identities=row.identities,
        )
        for row in rows
    }


def stored_images(engine: Engine, model: ModelRow, image_ids: Sequence[int]) -> Embedded:
    """Gallery images as queries, each once. Raises UnknownImage."""
    if not image_ids:
        return [], {}
    with engine.connect() as connection:
        return images_of(connection, model, image_ids), {}


def images_of(
    connection: Connection, model: ModelRow, image_ids: Sequence[int]
) -> list[EmbeddedImage]:
    """The same in the caller's transaction."""
    found = images_by_id(connection, model, image_ids)
    wanted = list(dict.fromkeys(image_ids))
    for image_id in wanted:
        if image_id not in found:
            raise UnknownImage(not_embedded(image_id, model))
    return [found[image_id] for image_id in wanted]


def not_embedded(image_id: int, model: ModelRow) -> str:
    return f"no image {image_id} with features by model {model.name!r}; it may have been removed"


def as_queries(
    connection: Connection, model: ModelRow, collection_ids: Sequence[int],
    images: Sequence[EmbeddedImage],
) -> list[QueryPerson]:  # fmt: skip
    """The images as queries in some collections. Of a centred model a stored image is compared as
    it is stored; another one goes by the mean of the collections' images of its camera, or of all
    where its camera is not known to them."""
    queries = [image.as_query() for image in images]
    if not model.centred or all(image.image_id is not None for image in images):
        return queries
    means = means_of(connection, model.id, collection_ids)
    return [
        query if image.image_id is not None else replace(query, embedding_D=own[0])
        for image, query in zip(images, queries, strict=True)
        for own in [means.centred(query.embedding_D[None], cameras([query.camid]))]
    ]


def one_query(queries: Sequence[QueryPerson]) -> QueryPerson:
    """Several images of one person as one query, the mean of their embeddings; what they disagree
    on is unknown."""

    def agreed(values: set[Any]) -> Any:
        return values.pop() if len(values) == 1 else None

    first = queries[0]
    return QueryPerson(
        f"{first.name} and {len(queries) - 1} more",
        mean_embedding([query.embedding_D for query in queries]),
        tuple(digest for query in queries for digest in query.content_hashes),
        agreed({query.pid for query in queries}),
        agreed({query.camid for query in queries}),
        agreed({query.identities for query in queries}),
    )


def one_by_one(queries: Sequence[QueryPerson]) -> list[QueryPerson]:
    """The same person by each of its images: as `one_query`, but for the embedding."""
    together = one_query(queries)
    return [replace(together, embedding_D=query.embedding_D) for query in queries]


def embedded_images(
    engine: Engine,
    model: ModelRow,
    files: Sequence[tuple[str, Source]],
    image_ids: Sequence[int],
    load: Load,
    device: str | None,
) -> list[EmbeddedImage]:
    stored, _ = stored_images(engine, model, image_ids)
    images, failed = embed_files(engine, model, files, device, load=load)
    for name, reason in failed.items():
        raise UsageError(f"{name}: {reason}")
    return [*stored, *images]


def named_contents(uploads: Sequence[Upload]) -> list[tuple[str, Content]]:
    """(name, content) of each upload. Raises UsageError where two have one name."""
    names = [upload.name for upload in uploads]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two images are called {twice}; search them one after the other")
    return [(upload.name, Content(upload.data)) for upload in uploads]
