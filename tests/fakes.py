"""A network without torch, small pictures of nobody, and rows stored without any picture."""

# N images, A=56 scores, D=512 embedding numbers

import atexit
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sqlalchemy import Connection, Engine, insert, text

from db.arrays import feature_rows
from db.schema import Image as ImageTable
from gallery import model_rows as registry
from gallery.collections import CollectionRow, collection_called
from gallery.model_rows import ModelRow
from gallery.store import write_features
from images.decoder_pool import Decoders
from images.facts_file import Told
from images.preprocessing import Pixels, Preprocessing
from images.sources.open import opened
from ingest.register import Registered, register_files
from ingest.worker import Progress, Worker
from models.checkpoint import Header
from models.outputs import Outputs
from vocabulary import decide

FloatRows = npt.NDArray[np.float32]
SIZE = (4, 8)  # width, height of what the network looks at
PIXELS = SIZE[0] * SIZE[1] * 3


class KeptDecoders(Decoders):
    """Outlive the workers that use them: a start takes half a second, and there are many tests."""

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


DECODERS = KeptDecoders(seconds=120)  # many tests run at once
atexit.register(DECODERS.end)


class FakeNetwork:
    """Projects a tiny copy of the picture: the same pixels give the same bits in any batch, nearly
    the same pixels nearly the same numbers. `seen` counts the images of each call."""

    def __init__(self, seed: int = 0, on_call: Callable[[int], None] | None = None) -> None:
        rng = np.random.default_rng(seed)
        self._to_embedding = rng.normal(size=(PIXELS, 512))
        self._to_scores = rng.normal(size=(PIXELS, 56))
        self._on_call = on_call
        self.seen: list[int] = []

    name = "fake"
    preprocessing = Preprocessing(SIZE[1], SIZE[0])

    def pixels_of(self, image: Image.Image) -> Pixels:
        return self.preprocessing.resize(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        self.seen.append(len(pixels_NHWC))
        if self._on_call:
            self._on_call(len(self.seen))
        flat_NP = pixels_NHWC.reshape(len(pixels_NHWC), PIXELS) / 127.5 - 1
        # summed in one order: BLAS rounds a row as it lies in memory, so differently in each batch
        embeddings_ND = np.stack([(row[:, None] * self._to_embedding).sum(0) for row in flat_NP])
        embeddings_ND /= np.maximum(np.linalg.norm(embeddings_ND, axis=1, keepdims=True), 1e-12)
        logits_NA = np.stack([(row[:, None] * self._to_scores).sum(0) for row in flat_NP])
        scores_NA = 1 / (1 + np.exp(-logits_NA))
        quality_N = 0.75 + flat_NP.mean(axis=1) / 4
        return Outputs(*(x.astype(np.float32) for x in (scores_NA, embeddings_ND, quality_N)))

    @property
    def images(self) -> int:
        """How many images it was asked about."""
        return sum(self.seen)


def register_fake_model(
    engine: Engine, name: str = "fake", *, max_distance: float | None = None
) -> ModelRow:
    """A registered model without a file; the first one is active."""
    header = Header(
        architecture="fake",
        preprocessing=Preprocessing(SIZE[1], SIZE[0]),
        max_distance=max_distance,
    )
    digest = hashlib.sha256(name.encode()).hexdigest()
    with engine.begin() as connection:
        return registry.register(connection, name, digest, header.to_json())


def collection(engine: Engine, name: str, identities: str | None = None) -> CollectionRow:
    with engine.begin() as connection:
        return collection_called(connection, name, identities)


def register(
    engine: Engine,
    folder: Path | str,
    name: str,
    model: ModelRow,
    *,
    overwrite: bool = False,
    allow_any_shape: bool = False,
    identities: str | None = None,
    told: dict[str, Told] | None = None,
) -> tuple[CollectionRow, Registered]:
    """The first half of an ingest: files become pending work."""
    source = opened(str(folder))
    listing = source.listing(tuple(told or ()))
    with engine.begin() as connection:
        row = collection_called(connection, name, identities)
        registered = register_files(
            connection,
            row,
            model.id,
            source.name,
            listing,
            told=told,
            overwrite=overwrite,
            allow_any_shape=allow_any_shape,
        )
    return row, registered


def work(
    engine: Engine,
    network: FakeNetwork,
    model: ModelRow,
    row: CollectionRow,
    *,
    batch_size: int = 8,
) -> Progress:
    """The second half: works until nothing is open."""
    with Worker(engine, network, model.id, batch_size=batch_size, decoders=DECODERS) as worker:
        worker.work(row.id)
        while worker.wait_for_others(row.id, pause_s=0.02):
            worker.work(row.id)
        return worker.progress


def ingest(
    engine: Engine,
    folder: Path | str,
    name: str,
    model: ModelRow,
    network: FakeNetwork | None = None,
    *,
    batch_size: int = 8,
    overwrite: bool = False,
    allow_any_shape: bool = False,
    identities: str | None = None,
    told: dict[str, Told] | None = None,
) -> tuple[Registered, Progress]:
    """A folder into a collection, as `ingest.run` does it, with a network without torch."""
    row, registered = register(
        engine,
        folder,
        name,
        model,
        overwrite=overwrite,
        allow_any_shape=allow_any_shape,
        identities=identities,
        told=told,
    )
    progress = work(
        engine,
        network or FakeNetwork(),
        model,
        row,
        batch_size=batch_size,
    )
    return registered, progress


def picture(seed: int, size: tuple[int, int] = (32, 64)) -> Image.Image:
    """Coloured blocks in the shape of a person crop; each seed gives another picture."""
    blocks = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def write_pictures(folder: Path, names: Sequence[str | bytes], first_seed: int = 0) -> Path:
    """Each name in `folder` gets a picture of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names, start=first_seed):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            picture(seed).save(file, "PNG")
    return folder


def names(count: int, first: int = 1) -> list[str]:
    """`0001_c1_000000001.png` and so on: three cameras, two images a person."""
    return [f"{1 + n // 2:04}_c{1 + n % 3}_{first + n:09}.png" for n in range(count)]


@dataclass(frozen=True)
class Stored:
    """An image with its feature, for tests that need no file."""

    path: str
    embedding: npt.NDArray[np.float32]
    scores: Sequence[float] = (0.5,) * 56
    pid: int | None = None
    camid: int | None = None
    content_hash: bytes = b""
    quality: float | None = None


def store(
    connection: Connection, model: ModelRow, row: CollectionRow, items: Sequence[Stored]
) -> list[int]:
    """Stores rows as the worker does; gives their image ids, in order."""
    if not items:
        return []
    values: list[dict[str, Any]] = [
        {
            "collection_id": row.id,
            "path": item.path,
            "source": "nowhere",
            "content_hash": item.content_hash or hashlib.sha256(item.path.encode()).digest(),
            "pid": item.pid,
            "camid": item.camid,
        }
        for item in items
    ]
    stmt = insert(ImageTable).returning(ImageTable.id, sort_by_parameter_order=True)
    ids = list(connection.scalars(stmt, values))
    scores_NA = np.array([item.scores for item in items], np.float32)
    data = feature_rows(
        model.id,
        row.id,
        ids,
        [item.camid for item in items],
        [decide(scores) for scores in scores_NA.tolist()],
        scores_NA,
        [item.quality for item in items],
        np.stack([item.embedding for item in items]),
    )
    write_features(connection, data)
    return ids


def everything_stored(engine: Engine) -> list[tuple[Any, ...]]:
    """What an ingest stores, without ids and times: equal after equal ingests."""
    stmt = text(
        "SELECT c.name, i.path, i.path_raw, i.pid, i.camid, encode(i.content_hash, 'hex'), i.width,"
        " i.height, i.missing_since IS NULL, md5(t.jpeg), f.camid, f.labels, f.scores, f.quality,"
        " md5(vector_send(f.embedding)), k.state, k.reason"
        " FROM image i JOIN collection c ON c.id = i.collection_id"
        " LEFT JOIN thumbnail t ON t.image_id = i.id LEFT JOIN feature f ON f.image_id = i.id"
        " LEFT JOIN task k ON k.image_id = i.id ORDER BY 1, 2, 3"
    )
    with engine.connect() as connection:
        return [
            tuple(tuple(v) if isinstance(v, list) else v for v in row)
            for row in connection.execute(stmt)
        ]
