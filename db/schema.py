"""The tables, as declared; migrations bring a database there and a test proves both agree."""

# Names are the columns' documentation; what a name cannot say stands beside it.

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import BIGINT, REAL
from sqlalchemy.orm import Mapped, mapped_column

from db.schema_base import Base as Base
from db.schema_base import key_of, moment, own_id

STATES = ("pending", "leased", "done", "failed")
VERDICTS = ("confirm", "reject")


class Collection(Base):
    """A named set of images. A pid means something within `identities` only."""

    __tablename__ = "collection"
    id: Mapped[int] = own_id()
    name: Mapped[str] = mapped_column(unique=True)
    identities: Mapped[str] = mapped_column(server_default=text("'default'"))
    revision: Mapped[int] = mapped_column(BIGINT, server_default=text("0"))  # grows with each store
    created_at: Mapped[datetime] = moment()


class Image(Base):
    """A file of a collection, registered before it is read; facts that reading gives are null."""

    __tablename__ = "image"
    id: Mapped[int] = own_id()
    collection_id: Mapped[int] = key_of("collection.id")
    path: Mapped[str]  # relative to the source, with "/"; readable where the name is no UTF-8
    path_raw: Mapped[bytes | None]  # the name's bytes, only where they are no UTF-8
    source: Mapped[str]  # the folder, archive or URL that was ingested; opens it again
    size_bytes: Mapped[int | None] = mapped_column(BIGINT)
    mtime_ns: Mapped[int | None] = mapped_column(BIGINT)  # or a number for the content's version
    content_hash: Mapped[bytes | None]  # SHA-256 of the file
    width: Mapped[int | None]
    height: Mapped[int | None]
    pid: Mapped[int | None]
    camid: Mapped[int | None] = mapped_column(SmallInteger)
    captured_at: Mapped[datetime | None]
    ingested_at: Mapped[datetime] = moment()
    missing_since: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("collection_id", "path", "path_raw", postgresql_nulls_not_distinct=True),
        Index(None, "content_hash"),
        Index(None, "collection_id", "pid"),
    )


class GalleryCount(Base):
    """What one change added to a collection's images, or took away; with a model, to those of them
    that it has embedded. The sums are the numbers: see `gallery.counts`."""

    __tablename__ = "gallery_count"
    id: Mapped[int] = own_id()
    collection_id: Mapped[int] = key_of("collection.id")
    model_id: Mapped[int | None] = mapped_column(BIGINT, ForeignKey("model.id", ondelete="CASCADE"))
    images: Mapped[int] = mapped_column(BIGINT)
    __table_args__ = (Index(None, "collection_id"), Index(None, "model_id"))


class LastLook(Base):
    """What a source held at its last look that is no image row: files passed over, counted by kind,
    and files that were refused, by path with the reason."""

    __tablename__ = "last_look"
    id: Mapped[int] = own_id()
    collection_id: Mapped[int] = key_of("collection.id")
    source: Mapped[str]
    looked_at: Mapped[datetime] = moment()
    passed_over: Mapped[dict[str, Any]]
    refused: Mapped[dict[str, Any]]
    __table_args__ = (Index(None, "collection_id"),)


class Thumbnail(Base):
    """A small JPEG of an image, so that pages, sheets and other machines need no file."""

    __tablename__ = "thumbnail"
    image_id: Mapped[int] = key_of("image.id", key=True)
    jpeg: Mapped[bytes]


class Model(Base):
    """A checkpoint that was registered. Its id stands in every feature that it made."""

    __tablename__ = "model"
    id: Mapped[int] = own_id()
    name: Mapped[str] = mapped_column(unique=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    architecture: Mapped[str]
    preprocessing: Mapped[dict[str, Any]]
    dimension: Mapped[int]
    distance: Mapped[str]
    normalised: Mapped[bool]
    attribute_names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    max_distance: Mapped[float | None]
    calibration: Mapped[dict[str, Any]]
    cutoffs: Mapped[dict[str, Any]]
    header: Mapped[dict[str, Any]]
    active: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = moment()
    rerank_max_distance: Mapped[float | None]
    rerank_calibration: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    centred: Mapped[bool] = mapped_column(server_default=false())  # whether embeddings are
    centring: Mapped[int] = mapped_column(BIGINT, server_default=text("0"))  # grows when rewritten
    other_limits: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    __table_args__ = (
        Index("uq_model_active", "active", unique=True, postgresql_where=text("active")),
    )


class ModelContent(Base):
    """A content that a model has learned from without a label; it outlives the image: once that is
    erased, this is how one knows which models have seen it."""

    __tablename__ = "model_content"
    model_id: Mapped[int] = key_of("model.id", key=True)
    content_hash: Mapped[bytes] = mapped_column(primary_key=True)
    __table_args__ = (Index(None, "content_hash"),)


class Feature(Base):
    """What one model says of one image. Narrow, and kept inline: scans read every row."""

    __tablename__ = "feature"
    model_id: Mapped[int] = key_of("model.id", key=True)
    image_id: Mapped[int] = key_of("image.id", key=True)
    collection_id: Mapped[int] = mapped_column(BIGINT)
    camid: Mapped[int | None] = mapped_column(SmallInteger)
    labels: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    scores: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    quality: Mapped[float | None] = mapped_column(REAL)
    embedding: Mapped[Any] = mapped_column(VECTOR(512))
    __table_args__ = (
        CheckConstraint("cardinality(labels) = 27", name="labels"),
        CheckConstraint("cardinality(scores) = 56", name="scores"),
        Index(None, "labels", postgresql_using="gin"),
        Index(None, "model_id", "collection_id"),
        Index("ix_feature_image_id", "image_id"),
    )


class CameraMean(Base):
    """What is subtracted from the embeddings of a camera, -1 for those of an unknown one, and the
    number of images that it is the mean of; stale once some of them were removed."""

    __tablename__ = "camera_mean"
    model_id: Mapped[int] = key_of("model.id", key=True)
    collection_id: Mapped[int] = key_of("collection.id", key=True)
    camid: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    images: Mapped[int] = mapped_column(BIGINT)
    mean: Mapped[Any] = mapped_column(VECTOR(512))
    stale: Mapped[bool] = mapped_column(server_default=false())
    __table_args__ = (Index(None, "collection_id"),)


class Task(Base):
    """The manifest: what is to be done, being done, done or failed, for each image and model."""

    __tablename__ = "task"
    model_id: Mapped[int] = key_of("model.id", key=True)
    image_id: Mapped[int] = key_of("image.id", key=True)
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    owner: Mapped[int | None] = mapped_column(BIGINT)  # a worker id while leased
    leased_until: Mapped[datetime | None]
    reason: Mapped[str | None]
    allow_any_shape: Mapped[bool] = mapped_column(server_default=false())
    recompute: Mapped[bool] = mapped_column(server_default=false())
    updated_at: Mapped[datetime] = moment()
    __table_args__ = (
        CheckConstraint(f"state IN {STATES}", name="state"),
        Index(
            "ix_task_open",
            "model_id",
            "image_id",
            postgresql_where=text("state IN ('pending', 'leased')"),
        ),
        Index(
            "ix_task_failed",
            "model_id",
            "image_id",
            postgresql_where=text("state = 'failed'"),
        ),
        Index("ix_task_image_id", "image_id"),
    )


# a worker holds an advisory lock on its id, so that a dead one is known at once
WORKER_IDS = Sequence("worker_id", metadata=Base.metadata)


class QuerySet(Base):
    __tablename__ = "query_set"
    id: Mapped[int] = own_id()
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = moment()


class Question(Base):
    """What one `query add` asks of all its queries: where to look, filter and limits."""

    __tablename__ = "question"
    id: Mapped[int] = own_id()
    query_set_id: Mapped[int] = key_of("query_set.id")
    filter: Mapped[dict[str, Any] | None]
    auto_distance: Mapped[bool] = mapped_column(server_default=false())
    max_distance: Mapped[float | None]
    match_limit: Mapped[int | None]
    gallery_count: Mapped[int] = mapped_column(SmallInteger)  # a removed one is missed by it
    not_same_camera: Mapped[bool] = mapped_column(server_default=false())
    no_duplicates: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = moment()
    rerank: Mapped[bool] = mapped_column(server_default=false())
    __table_args__ = (Index(None, "query_set_id"),)


class QuestionGallery(Base):
    __tablename__ = "question_gallery"
    question_id: Mapped[int] = key_of("question.id", key=True)
    collection_id: Mapped[int] = key_of("collection.id", key=True)
    __table_args__ = (Index(None, "collection_id"),)


class Query(Base):
    __tablename__ = "query"
    id: Mapped[int] = own_id()
    query_set_id: Mapped[int] = key_of("query_set.id")
    question_id: Mapped[int] = key_of("question.id")
    name: Mapped[str]
    pid: Mapped[int | None]
    camid: Mapped[int | None] = mapped_column(SmallInteger)
    __table_args__ = (UniqueConstraint("query_set_id", "name"), Index(None, "question_id"))


class QueryImage(Base):
    """An image of a query, kept whole enough that its file may go."""

    __tablename__ = "query_image"
    id: Mapped[int] = own_id()
    query_id: Mapped[int] = key_of("query.id")
    position: Mapped[int] = mapped_column(SmallInteger)
    content_hash: Mapped[bytes]
    # only where the image is stored too; a query outlives it, erasure finds both by their hash
    image_id: Mapped[int | None] = mapped_column(
        BIGINT, ForeignKey("image.id", ondelete="SET NULL")
    )
    thumbnail: Mapped[bytes]
    __table_args__ = (
        UniqueConstraint("query_id", "position"),
        Index(None, "content_hash"),
        Index(None, "image_id"),
    )


class QueryEmbedding(Base):
    __tablename__ = "query_embedding"
    model_id: Mapped[int] = key_of("model.id", key=True)
    query_image_id: Mapped[int] = key_of("query_image.id", key=True)
    embedding: Mapped[Any] = mapped_column(VECTOR(512))
    __table_args__ = (Index(None, "query_image_id"),)


class Run(Base):
    """One answer to a whole query set. It is stale once a gallery's revision has moved on."""

    __tablename__ = "run"
    id: Mapped[int] = own_id()
    query_set_id: Mapped[int] = key_of("query_set.id")
    model_id: Mapped[int] = key_of("model.id")
    actor: Mapped[str]
    gallery_revisions: Mapped[dict[str, Any]]
    finished_at: Mapped[datetime] = moment()
    __table_args__ = (Index(None, "query_set_id"), Index(None, "model_id"))


class RunQuery(Base):
    __tablename__ = "run_query"
    run_id: Mapped[int] = key_of("run.id", key=True)
    query_id: Mapped[int] = key_of("query.id", key=True)
    max_distance: Mapped[float | None]
    candidates: Mapped[int]
    found: Mapped[int]  # matches at the time: what is removed since is noticed by it
    complete: Mapped[bool]
    __table_args__ = (Index(None, "query_id"),)


class Match(Base):
    __tablename__ = "match"
    run_id: Mapped[int] = key_of("run.id", key=True)
    query_id: Mapped[int] = key_of("query.id", key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = key_of("image.id")
    distance: Mapped[float | None]
    rerank_distance: Mapped[float | None]
    __table_args__ = (Index(None, "image_id"), Index(None, "query_id"))


class Verdict(Base):
    """A reviewer's word on a query and an image; it outlives the run that showed them."""

    __tablename__ = "verdict"
    id: Mapped[int] = own_id()
    query_id: Mapped[int] = key_of("query.id")
    image_id: Mapped[int] = key_of("image.id")
    verdict: Mapped[str]
    reviewer: Mapped[str]
    note: Mapped[str | None]
    decided_at: Mapped[datetime] = moment()
    __table_args__ = (
        CheckConstraint(f"verdict IN {VERDICTS}", name="verdict"),
        UniqueConstraint("query_id", "image_id"),
        Index(None, "image_id"),
    )


class Person(Base):
    """Somebody whose images were grouped; the number is never given again."""

    __tablename__ = "person"
    id: Mapped[int] = own_id()
    found_at: Mapped[datetime] = moment()


class PersonImage(Base):
    """An image of a person, and how sure that is, in [0, 1]."""

    __tablename__ = "person_image"
    image_id: Mapped[int] = key_of("image.id", key=True)
    person_id: Mapped[int] = key_of("person.id")
    confidence: Mapped[float]
    __table_args__ = (Index(None, "person_id"),)


class PersonGrouping(Base):
    """What the people of some collections were found by; stale once these have moved on."""

    __tablename__ = "person_grouping"
    id: Mapped[int] = own_id()
    collection_ids: Mapped[list[int]] = mapped_column(ARRAY(BIGINT))
    model_id: Mapped[int] = key_of("model.id")
    centring: Mapped[int] = mapped_column(BIGINT)
    settings: Mapped[dict[str, Any]]
    revisions: Mapped[dict[str, Any]]
    actor: Mapped[str]
    found_at: Mapped[datetime] = moment()
    __table_args__ = (Index(None, "model_id"),)


class Audit(Base):
    """Who did what, when and why. A trigger refuses changes: rows are only ever added."""

    __tablename__ = "audit"
    id: Mapped[int] = own_id()
    at: Mapped[datetime] = moment()
    actor: Mapped[str]
    action: Mapped[str]
    question: Mapped[dict[str, Any]]
    purpose: Mapped[str | None]
    result_ids: Mapped[list[int]] = mapped_column(ARRAY(BIGINT), server_default=text("'{}'"))
    candidates: Mapped[int | None]
    complete: Mapped[bool | None]
    __table_args__ = (Index(None, "at"),)


class Tombstone(Base):
    """The hash of an erased image: its content is not taken in again."""

    __tablename__ = "tombstone"
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    actor: Mapped[str]
    reason: Mapped[str | None]
    erased_at: Mapped[datetime] = moment()


class Setting(Base):
    __tablename__ = "setting"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
