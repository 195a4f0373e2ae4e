"""What the page needs beside the actions that the command line uses."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any

import psycopg
from PIL import Image
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from actions.ingest import load_network
from actions.query_images import Network
from actions.search import Found, deciding_fields
from actions.sets import show_set
from db.connect import HEAD, DatabaseUnreachable, WrongSchema, current_revision, reach
from db.error_sentences import known_sentence
from db.models import ModelRow
from models.outputs import Outputs
from models.transforms import Pixels, Preprocessing
from search.pictures.records import Picture
from search.read_run import stored_answers

_REMEMBERED = 256  # embeddings, of 2 KB each

DATABASE_ERRORS: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)


class Networks:
    """The network of the model in use, loaded once and kept. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, str | None], Network] = {}

    def __call__(self, model: ModelRow, device: str | None) -> Network:
        key = (model.content_hash, device)
        with self._lock:
            if key not in self._kept:
                # the one before it belongs to a model that is no longer active
                self._kept = {key: _Remembering(load_network(model, device))}
            return self._kept[key]


class _Remembering:
    """A network that looks at each image once: who moves a limit asks about the same one again."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: OrderedDict[bytes, Outputs] = OrderedDict()
        self._lock = Lock()

    @property
    def preprocessing(self) -> Preprocessing:
        return self._network.preprocessing

    def pixels_of(self, image: Image.Image) -> Pixels:
        return self._network.pixels_of(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        key = sha256(pixels_NHWC.tobytes()).digest()
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._network(pixels_NHWC)
            with self._lock:
                self._known[key] = known
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return known


@dataclass(frozen=True)
class Upload:
    """An image that was sent: its file name and its content."""

    name: str
    data: bytes


def pictures(found: Found) -> list[Picture]:
    """The answers, ready for captions; the page fetches each thumbnail by its id."""
    deciding = deciding_fields(found.question)
    return [
        Picture(answer, thumbnail, {}, deciding)
        for answer, thumbnail in zip(found.answers, found.thumbnails, strict=True)
    ]


def thumbnail(engine: Engine, image_id: int) -> bytes | None:
    """An image's stored JPEG, None where there is none."""
    if not 0 < image_id < 2**63:
        return None
    stmt = text("SELECT jpeg FROM thumbnail WHERE image_id = :id")
    with engine.connect() as connection:
        jpeg = connection.scalar(stmt, {"id": image_id})
    return None if jpeg is None else bytes(jpeg)


@dataclass(frozen=True)
class SetPage:
    """A query set, and some of the answers of its newest run; `total` counts all of them."""

    questions: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    total: int
    pictures: list[Picture]


def set_page(engine: Engine, name: str, *, offset: int, size: int) -> SetPage:
    """Raises UnknownQuerySet."""
    shown = show_set(engine, name)
    runs = shown["runs"]
    if not runs:
        return SetPage(shown["questions"], [], 0, [])
    with engine.connect() as connection:
        total = connection.execute(
            text("SELECT count(*) FROM run_query WHERE run_id = :run"), {"run": runs[0]["id"]}
        ).scalar_one()
        answers = []
        if offset < total:
            answers = stored_answers(connection, runs[0]["id"], first=size, offset=offset)
    drawn = [
        Picture(item.answer, item.thumbnail, {}, deciding_fields(item.question)) for item in answers
    ]
    return SetPage(shown["questions"], runs, total, drawn)


def health(engine: Engine) -> str:
    """The schema's revision. Raises DatabaseUnreachable, WrongSchema."""
    try:
        with reach(engine) as connection:
            revision = current_revision(connection)
    except DatabaseUnreachable as down:
        raise DatabaseUnreachable(unreachable(engine, down)) from down
    if revision != HEAD:
        raise WrongSchema(
            f"the database is at schema {revision or 'none'}, this program needs {HEAD}; "
            "`reid doctor` says what to do"
        )
    return revision


def keep_reachable(engine: Engine) -> None:
    """Lets a process that runs for days outlive a restart of the database: a connection is tried
    before it is used, and a dead one replaced together with the others of its age."""

    def check(connection: Any, _record: Any, _proxy: Any) -> None:
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkout", check)


def sentence(engine: Engine, error: Exception) -> str | None:
    """What to tell a person about a database error, None for one that is our own fault."""
    if isinstance(error, NoFreeConnection):
        return "the page is busy: no connection to the database became free; try again in a moment"
    said = known_sentence(error)
    if said is None:
        return None
    try:
        with reach(engine):
            return said
    except DatabaseUnreachable as down:
        return unreachable(engine, down)


def unreachable(engine: Engine, down: DatabaseUnreachable) -> str:
    """The way out where the embedded server was stopped under the page; else as it is said."""
    if str(engine.url.query.get("host", "")).startswith("/"):
        return (
            "the embedded database server was stopped; any reid command that needs it starts it "
            "again: try `reid status`"
        )
    return str(down)
