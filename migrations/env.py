"""Alembic's entry: `db.upgrade` hands over a connection; by hand, the configured one is opened."""

from alembic import context
from sqlalchemy import Connection

from db.schema import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    from db.connect import make_engine, resolve

    with make_engine(resolve()).begin() as opened:
        _run(opened)
