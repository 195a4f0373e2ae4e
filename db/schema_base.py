"""What every table is declared with: names of constraints, types, keys and times."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    DateTime,
    Double,
    ForeignKey,
    Identity,
    LargeBinary,
    MetaData,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import BIGINT, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way to declare it
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        bytes: LargeBinary,
        str: Text,
        float: Double,
    }


def own_id() -> Mapped[int]:
    return mapped_column(BIGINT, Identity(always=True), primary_key=True)


def key_of(target: str, *, ondelete: str = "CASCADE", key: bool = False) -> Mapped[int]:
    return mapped_column(BIGINT, ForeignKey(target, ondelete=ondelete), primary_key=key)


def moment() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())
