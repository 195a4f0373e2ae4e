"""People: groups of images that show one person, found without names.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

# ruff: noqa: E501

from importlib import import_module

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE person (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        found_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_person PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE person_image (
        image_id BIGINT NOT NULL,
        person_id BIGINT NOT NULL,
        confidence DOUBLE PRECISION NOT NULL,
        CONSTRAINT pk_person_image PRIMARY KEY (image_id),
        CONSTRAINT fk_person_image_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE,
        CONSTRAINT fk_person_image_person_id FOREIGN KEY(person_id) REFERENCES person (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_person_image_person_id ON person_image (person_id)",
    """
    CREATE TABLE person_grouping (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        collection_ids BIGINT[] NOT NULL,
        model_id BIGINT NOT NULL,
        centring BIGINT NOT NULL,
        settings JSONB NOT NULL,
        revisions JSONB NOT NULL,
        actor TEXT NOT NULL,
        found_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_person_grouping PRIMARY KEY (id),
        CONSTRAINT fk_person_grouping_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_person_grouping_model_id ON person_grouping (model_id)",
)


def upgrade() -> None:
    for stmt in STATEMENTS:
        op.execute(stmt)
    # the view as it stands, with two columns at its end
    view = op.get_bind().execute(text("SELECT pg_get_viewdef('gallery'::regclass)")).scalar_one()
    columns, tables = view.rstrip("; \n").rsplit("f.embedding", 1)
    op.execute(
        f"CREATE OR REPLACE VIEW gallery AS {columns}f.embedding, p.person_id AS person,"
        f" p.confidence AS person_confidence {tables}"
        " LEFT JOIN person_image p ON p.image_id = i.id"
    )


def downgrade() -> None:
    op.execute("DROP VIEW gallery")
    for table in ("person_grouping", "person_image", "person"):
        op.execute(f"DROP TABLE {table}")
    first = import_module("migrations.versions.0001_everything")
    op.execute(next(stmt for stmt in first.STATEMENTS if "CREATE VIEW gallery" in stmt))
