"""`reid adapt`: a new model from a user's own stored images, without labels."""

# N images, D=512 embedding numbers, P pairs

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, text

from db.audit import record
from errors import ReidError, UsageError
from gallery import model_rows
from gallery.collections import collections_named
from gallery.model_rows import ModelRow
from gallery.models import checkpoint_of, chosen, register_checkpoint
from images.decode import UnreadableImage, content_hash, decode
from ingest.reader import bytes_of
from metrics.centring import centred
from metrics.groups import DENSITY, LEAST
from models.checkpoint import Header, read_header

if TYPE_CHECKING:
    from images.preprocessing import Pixels, Preprocessing
    from models.training.adapt import RoundReport
    from models.training.data import LabelledImages
    from models.training.loop import StepReport

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
CHECKPOINT = "model.safetensors"
_SAMPLE = 2000  # images whose pairs carry the limit over

_IMAGES = text("""
    SELECT i.id, i.source, i.path, i.path_raw, i.mtime_ns, i.content_hash, i.camid, i.collection_id
    FROM image i
    WHERE i.collection_id = ANY(:collections)
      AND i.content_hash IS NOT NULL AND i.missing_since IS NULL
    ORDER BY i.collection_id, i.path COLLATE "C", i.id
""")

_JUDGED = text("""
    SELECT DISTINCT x.image_id AS query, v.image_id AS image, v.verdict = 'confirm' AS same_person
    FROM verdict v JOIN query_image x ON x.query_id = v.query_id
    WHERE x.image_id = ANY(:ids) AND v.image_id = ANY(:ids) AND x.image_id <> v.image_id
    ORDER BY 1, 2
""")


class CannotAdapt(ReidError):
    """The collections hold nothing to learn from; the message says what is missing."""

    http_status = 409


@dataclass(frozen=True)
class AdaptRequest:
    """What to adapt to, and how. `data` are labelled folders that are trained on beside, `rounds`
    of the recipe's epochs each; `out` keeps the run, which goes on where it was stopped."""

    collections: tuple[str, ...]
    out: Path
    model: str | None = None
    name: str | None = None
    data: tuple[Path, ...] = ()
    recipe: Path | None = None
    rounds: int = 3
    density: float = DENSITY
    device: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.density < 1:
            raise UsageError(f"--density is {self.density}; expected between 0 and 1")


@dataclass(frozen=True)
class AdaptListener:
    """Whom an adaptation tells how it goes: notes, phases with their share done, steps, rounds."""

    note: Callable[[str], object] = lambda _: None
    phase: Callable[[str, float], object] = lambda *_: None
    step: "Callable[[StepReport], object]" = lambda _: None
    round: "Callable[[RoundReport], object]" = lambda _: None
    show: bool = False


@dataclass(frozen=True)
class Adapted:
    """What came of it. `verdicts` counts the judged pairs among these images; `verdicts_before` and
    `verdicts_after` are the shares of (confirmed, rejected) pairs of which the confirmed one is the
    nearer: 0.5 is chance, None without verdicts of both kinds."""

    model: str
    start: str
    checkpoint: Path
    images: int
    left_out: int
    rounds: "tuple[RoundReport, ...]"
    max_distance: float | None
    verdicts: int
    verdicts_before: float | None
    verdicts_after: float | None

    def to_json(self) -> dict[str, Any]:
        document = {name: value for name, value in vars(self).items() if name != "rounds"}
        rounds = [asdict(report) for report in self.rounds]
        return {**document, "checkpoint": str(self.checkpoint), "rounds": rounds}


@dataclass(frozen=True)
class _Stored:
    """Images that could be read again as they are stored, with their pixels."""

    ids: tuple[int, ...]
    hashes: tuple[bytes, ...]
    names: tuple[str, ...]
    camids_N: npt.NDArray[np.int64]
    pixels_NHWC: "Pixels"
    left_out: int


def adapt(engine: Engine, asked: AdaptRequest, listener: AdaptListener) -> Adapted:
    """Train a new model on the groups among stored images, and register it beside the old one.

    Nothing is embedded by it and nothing is activated. Which images it has seen is stored, so that
    `erase` can tell. Raises UnknownCollection, UnknownModel, CheckpointNotHere, CannotAdapt,
    NothingToAdapt, BadTrainingData, BadRecipe, TrainingFailed.
    """
    from models.extractor import choose_device
    from models.training import adapt as training
    from models.training.data import load_training_folders
    from models.training.recipe import JointRecipe

    start = chosen(engine, asked.model)
    checkpoint, device = checkpoint_of(start), choose_device(asked.device)
    header = read_header(checkpoint)
    recipe = JointRecipe.read("joint-adapt", asked.recipe)
    recipe = recipe.with_changes(
        height=header.preprocessing.height, width=header.preprocessing.width
    )
    stored = _read_again(engine, asked, header.preprocessing, listener)
    labelled = load_training_folders(asked.data, header.preprocessing) if asked.data else None
    unlabelled = training.Unlabelled(stored.names, stored.pixels_NHWC, stored.camids_N)
    last, reports = training.adapt(
        unlabelled, labelled, recipe, training.Adaptation(asked.rounds, asked.density, LEAST),
        checkpoint, asked.out, device,
        training.RoundListener(listener.phase, listener.step, listener.round, listener.show),
    )  # fmt: skip
    before_ND, after_ND = (
        training.embed(file, stored.pixels_NHWC, device, listener.phase).embeddings_ND
        for file in (checkpoint, last)
    )
    if start.centred:  # its limit is one of centred distances, and the new model starts so too
        before_ND = centred(before_ND, stored.camids_N)
        after_ND = centred(after_ND, stored.camids_N)
    with engine.connect() as connection:
        pairs, same_P = _judged(connection, stored.ids)
    people = _trained_people(start, asked.data, labelled)
    finished = _finished(start, read_header(last), before_ND, after_ND, reports, people)
    path = asked.out / CHECKPOINT
    _write(last, path, finished)
    row = _register(engine, path, asked, start, stored)
    return Adapted(
        model=row.name,
        start=start.name,
        checkpoint=path,
        images=len(stored.ids),
        left_out=stored.left_out,
        rounds=tuple(reports),
        max_distance=finished.max_distance,
        verdicts=len(same_P),
        verdicts_before=nearer_share(before_ND, pairs, same_P),
        verdicts_after=nearer_share(after_ND, pairs, same_P),
    )


def _read_again(
    engine: Engine,
    asked: AdaptRequest,
    preprocessing: "Preprocessing",
    listener: AdaptListener,
) -> _Stored:
    """The collections' images from their sources. One that is gone, or holds other bytes than were
    stored, is left out and counted. Raises CannotAdapt where none can be read."""
    with engine.connect() as connection:
        ids = [row.id for row in collections_named(connection, asked.collections)]
        rows = connection.execute(_IMAGES, {"collections": ids}).all()
    kept, pixels = [], []
    for number, row in enumerate(rows, 1):
        found = _pixels(row, preprocessing)
        if found is not None:
            kept.append(row)
            pixels.append(found)
        listener.phase("read images", number / len(rows))
    if not kept:
        raise CannotAdapt(
            f"no image of {', '.join(asked.collections)} can be read from where it was taken in"
        )
    # camera 3 of two collections are two cameras
    cameras: dict[tuple[int, int], int] = {}
    camids = [
        -1
        if row.camid is None
        else cameras.setdefault((row.collection_id, row.camid), len(cameras))
        for row in kept
    ]
    return _Stored(
        ids=tuple(row.id for row in kept),
        hashes=tuple(bytes(row.content_hash) for row in kept),
        names=tuple(row.path for row in kept),
        camids_N=np.array(camids, np.int64),
        pixels_NHWC=np.stack(pixels),
        left_out=len(rows) - len(kept),
    )


def _pixels(row: Any, preprocessing: "Preprocessing") -> "Pixels | None":
    try:
        data = bytes_of(row.source, row.path, row.path_raw, row.mtime_ns)
        if content_hash(data) != bytes(row.content_hash):
            return None
        return preprocessing.resize(decode(data, any_shape=True).image)
    except (UnreadableImage, ReidError):
        return None


def _judged(connection: Connection, ids: Sequence[int]) -> tuple[list[tuple[int, int]], Bools]:
    """Pairs of positions in `ids` that reviewers have judged, and whether as one person."""
    position = {image: at for at, image in enumerate(ids)}
    rows = connection.execute(_JUDGED, {"ids": list(ids)}).all()
    pairs = [(position[row.query], position[row.image]) for row in rows]
    return pairs, np.array([row.same_person for row in rows], bool)


def nearer_share(
    embeddings_ND: Floats, pairs: Sequence[tuple[int, int]], same_P: Bools
) -> float | None:
    """How often a confirmed pair is nearer than a rejected one, in [0, 1]; ties count half."""
    if same_P.all() or not same_P.any():
        return None
    ends = np.array(pairs)
    distances_P = np.linalg.norm(embeddings_ND[ends[:, 0]] - embeddings_ND[ends[:, 1]], axis=1)
    near, far = distances_P[same_P][:, None], distances_P[~same_P][None]
    return float(((near < far) + 0.5 * (near == far)).mean())


def carried_over(before_ND: Floats, after_ND: Floats, limit: float) -> float:
    """The distance within which lies the same share of all pairs as lay within `limit` before."""
    chosen_N = np.random.default_rng(0).permutation(len(before_ND))[:_SAMPLE]
    upper = np.triu_indices(len(chosen_N), 1)
    before_P, after_P = (
        np.sqrt(np.maximum(2 - 2 * (rows_ND[chosen_N] @ rows_ND[chosen_N].T)[upper], 0))
        for rows_ND in (before_ND, after_ND)
    )
    return float(np.quantile(after_P, (before_P <= limit).mean()))


def _trained_people(
    start: ModelRow, folders: Sequence[Path], labelled: "LabelledImages | None"
) -> dict[str, tuple[int, ...]]:
    """Whom the new model was trained on by name: the start's people, and those of each labelled
    folder in a space of the folder's name."""
    from models.training.data import people_by_space

    people = {space: set(pids) for space, pids in start.trained_people.items()}
    if labelled is not None:
        own = people_by_space(labelled.pids, [str(number) for number in range(len(folders))])
        for folder, pids in zip(folders, own.values(), strict=True):
            people.setdefault(folder.resolve().name, set()).update(pids)
    return {space: tuple(sorted(pids)) for space, pids in people.items()}


def _finished(
    start: ModelRow,
    last: Header,
    before_ND: Floats,
    after_ND: Floats,
    reports: "Sequence[RoundReport]",
    people: dict[str, tuple[int, ...]],
) -> Header:
    """The last round's header, with what follows from the start as it is registered: what `reid
    calibrate` has found since stands there, and not in its checkpoint."""
    limit = start.max_distance
    carried = None if limit is None else carried_over(before_ND, after_ND, limit)
    space = str(start.header.get("identity_space", "default"))
    return replace(
        last,
        trained_pids=people.get(space, ()),
        identity_space=space,
        trained_people=people,
        cutoffs=start.cutoffs,
        centred=start.centred,
        max_distance=carried,
        calibration={} if carried is None else {"source": "carried over", "from": limit},
        metrics={"adapted": [asdict(report) for report in reports]},
        notes=(
            f"adapted to {len(after_ND)} unlabelled images in {len(reports)} rounds; the limit of "
            "auto lets in the same share of their pairs as before, cut-offs are the start's; where "
            "people are known, `reid calibrate` and `reid evaluate` measure"
        ),
    )


def _write(last: Path, path: Path, header: Header) -> None:
    from models.rewrite import with_header

    path.write_bytes(with_header(last, header))


def _register(
    engine: Engine,
    path: Path,
    asked: AdaptRequest,
    start: ModelRow,
    stored: _Stored,
) -> ModelRow:
    """The model beside the old one, with the images that it has seen; one audit row."""
    with engine.begin() as connection:
        row = register_checkpoint(connection, path, asked.name or f"{start.name}-adapted")
        model_rows.remember_seen(connection, row.id, stored.hashes, start.id)
        record(
            connection,
            "adapt",
            {"model": row.name, "from": start.name, "collections": list(asked.collections)},
            result_ids=stored.ids,
            candidates=len(stored.ids),
        )
    return row
