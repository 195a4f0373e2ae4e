"""Registered models: which checkpoint made which features, and which one is active."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from db.schema import GalleryCount, Model
from db.spelling import as_stored, one_form, spellings
from errors import UsageError, did_you_mean


class UnknownModel(UsageError):
    """No model of that name is registered."""

    http_status = 404


@dataclass(frozen=True)
class ModelRow:
    """A registered model; `content_hash` is its checkpoint's SHA-256 in hexadecimal."""

    id: int
    name: str
    content_hash: str
    architecture: str
    dimension: int
    max_distance: float | None
    calibration: Mapping[str, Any]
    cutoffs: Mapping[str, float]
    header: Mapping[str, Any]
    active: bool
    rerank_max_distance: float | None = None
    rerank_calibration: Mapping[str, Any] = field(default_factory=dict)
    centred: bool = False
    centring: int = 0
    other_limits: Mapping[str, Any] = field(default_factory=dict)

    def limit(self, *, reranked: bool) -> float | None:
        """The calibrated limit of the plain or of the re-ranked distance."""
        return self.rerank_max_distance if reranked else self.max_distance

    @property
    def trained_people(self) -> Mapping[str, frozenset[int]]:
        """The numbers of the people it was trained on, by identity space; spaces without any are
        left out. An older checkpoint names one space."""
        one = {self.header.get("identity_space", "default"): self.header.get("trained_pids", ())}
        people = self.header.get("trained_people") or one
        return {space: frozenset(pids) for space, pids in people.items() if pids}

    def trained_on(self, space: str) -> tuple[frozenset[int], str | None]:
        """(numbers, their space): those of `space`, or of the space it was trained on first where
        it knows nobody of `space`; None as the space where it tells of nobody."""
        people = self.trained_people
        first = self.header.get("identity_space")
        known = next((s for s in (space, first) if s in people), next(iter(people), None))
        return (people[known], known) if known is not None else (frozenset(), None)


def _rows(connection: Connection, *where: Any) -> list[ModelRow]:
    stmt = select(*Model.__table__.columns).where(*where).order_by(Model.name)
    return [
        ModelRow(
            id=row.id,
            name=row.name,
            content_hash=row.content_hash.hex(),
            architecture=row.architecture,
            dimension=row.dimension,
            max_distance=row.max_distance,
            calibration=row.calibration,
            cutoffs=row.cutoffs,
            header=row.header,
            active=row.active,
            rerank_max_distance=row.rerank_max_distance,
            rerank_calibration=row.rerank_calibration,
            centred=row.centred,
            centring=row.centring,
            other_limits=row.other_limits,
        )
        for row in connection.execute(stmt)
    ]


def all_models(connection: Connection) -> list[ModelRow]:
    return _rows(connection)


def model_named(connection: Connection, name: str) -> ModelRow:
    """Raises UnknownModel, suggesting the nearest name."""
    found = {row.name: row for row in _rows(connection, Model.name.in_(spellings(name)))}
    if meant := as_stored(name, found):
        return found[meant]
    names = [model.name for model in all_models(connection)]
    known = f"; registered are {', '.join(names)}" if names else "; see `reid model add FILE`"
    raise UnknownModel(f"no model {name!r}{did_you_mean(name, names) or known}")


def model_with_hash(connection: Connection, content_hash: str) -> ModelRow | None:
    found = _rows(connection, Model.content_hash == bytes.fromhex(content_hash))
    return found[0] if found else None


def active_model(connection: Connection) -> ModelRow | None:
    found = _rows(connection, Model.active)
    return found[0] if found else None


def register(
    connection: Connection, name: str, content_hash: str, header: Mapping[str, Any]
) -> ModelRow:
    """Adds a model, or gives the one with this content. The first one becomes active.

    Raises UsageError where the name belongs to another checkpoint.
    """
    known = model_with_hash(connection, content_hash)
    if known:
        return known
    # two processes may both find none: the second waits here and then finds the first one's
    connection.execute(text("LOCK TABLE model IN SHARE ROW EXCLUSIVE MODE"))
    known = model_with_hash(connection, content_hash)
    if known:
        return known
    name = one_form(name)
    if _rows(connection, Model.name.in_(spellings(name))):
        raise UsageError(f"the name {name!r} belongs to another checkpoint; choose one with --name")
    stmt = insert(Model).values(
        name=name,
        content_hash=bytes.fromhex(content_hash),
        architecture=header["architecture"],
        preprocessing=header["preprocessing"],
        dimension=header["dimension"],
        distance=header["distance"],
        normalised=header["normalised"],
        attribute_names=list(header["attribute_names"]),
        max_distance=header["max_distance"],
        calibration=header["calibration"],
        rerank_max_distance=header.get("rerank_max_distance"),
        rerank_calibration=header.get("rerank_calibration", {}),
        centred=header.get("centred", False),
        other_limits=header.get("other_limits", {}),
        cutoffs=header["cutoffs"],
        header=dict(header),
        active=active_model(connection) is None,
    )
    connection.execute(stmt)
    return model_named(connection, name)


def activate(connection: Connection, name: str) -> ModelRow:
    """Makes one model the active one, atomically: a reader sees the old or the new."""
    # of two at once the second waits: each would see the old one alone, and both be active
    connection.execute(text("LOCK TABLE model IN SHARE ROW EXCLUSIVE MODE"))
    model = model_named(connection, name)
    connection.execute(update(Model).where(Model.active).values(active=False))
    connection.execute(update(Model).where(Model.id == model.id).values(active=True))
    return model_named(connection, name)


def current_cutoffs(connection: Connection, model_id: int) -> dict[str, float]:
    """The cut-offs that labels are decided by; they stay until the transaction ends."""
    stmt = select(Model.cutoffs).where(Model.id == model_id).with_for_update(read=True)
    return dict(connection.execute(stmt).scalar_one())


def set_calibration(
    connection: Connection,
    model_id: int,
    max_distance: float,
    calibration: Mapping[str, Any],
    cutoffs: Mapping[str, float] | None,
) -> None:
    """Replaces a model's calibrated distance, its figures and, unless None, its cut-offs.

    Waits for batches that are being stored; those that come wait for the transaction's end.
    """
    values: dict[str, Any] = {"max_distance": max_distance, "calibration": dict(calibration)}
    if cutoffs is not None:
        values["cutoffs"] = dict(cutoffs)
    connection.execute(update(Model).where(Model.id == model_id).values(values))


def set_rerank_calibration(
    connection: Connection, model_id: int, max_distance: float, calibration: Mapping[str, Any]
) -> None:
    """Replaces a model's calibrated re-ranked distance and its figures."""
    connection.execute(
        update(Model)
        .where(Model.id == model_id)
        .values(rerank_max_distance=max_distance, rerank_calibration=dict(calibration))
    )


LIMITS = ("max_distance", "calibration", "rerank_max_distance", "rerank_calibration")


def set_centred(connection: Connection, model: ModelRow, *, centred: bool) -> None:
    """Notes that a model's embeddings are centred now, or no more: its limits change places with
    those of the other way. A way that was never calibrated has none."""
    empty: dict[str, Any] = dict(zip(LIMITS, (None, {}, None, {}), strict=True))
    connection.execute(
        update(Model)
        .where(Model.id == model.id)
        .values(
            centred=centred,
            other_limits={name: getattr(model, name) for name in LIMITS},
            **{**empty, **model.other_limits},
        )
    )


def feature_counts(connection: Connection) -> dict[int, int]:
    """Number of stored features by model id; kept, not counted, since pages ask for it."""
    kept = func.sum(GalleryCount.images)
    stmt = select(GalleryCount.model_id, kept).where(GalleryCount.model_id.is_not(None))
    rows = connection.execute(stmt.group_by(GalleryCount.model_id))
    return {row[0]: int(row[1]) for row in rows if row[0] is not None}


def remember_seen(
    connection: Connection, model_id: int, hashes: Sequence[bytes], start_id: int
) -> None:
    """Stores which contents a model has learned from: these, and what its start had learned from.
    What is stored already stays."""
    connection.execute(
        text("""
            INSERT INTO model_content (model_id, content_hash)
            SELECT :model, unnest(CAST(:hashes AS bytea[]))
            UNION
            SELECT :model, content_hash FROM model_content WHERE model_id = :start
            ON CONFLICT DO NOTHING
        """),
        {"model": model_id, "hashes": list(hashes), "start": start_id},
    )


def seen_by(connection: Connection, hashes: Sequence[bytes]) -> dict[str, int]:
    """How many of these contents each model has learned from; models that saw none are left out."""
    rows = connection.execute(
        text("""
            SELECT m.name, count(*) AS seen
            FROM model_content c JOIN model m ON m.id = c.model_id
            WHERE c.content_hash = ANY(:hashes)
            GROUP BY m.name ORDER BY m.name
        """),
        {"hashes": list(hashes)},
    )
    return {row.name: row.seen for row in rows}
