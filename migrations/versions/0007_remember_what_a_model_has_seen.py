"""Which contents a model has learned from, without a label: `reid adapt` writes it, `erase` tells it.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

# ruff: noqa: E501

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE model_content (
        model_id BIGINT NOT NULL,
        content_hash BYTEA NOT NULL,
        CONSTRAINT pk_model_content PRIMARY KEY (model_id, content_hash),
        CONSTRAINT fk_model_content_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_model_content_content_hash ON model_content (content_hash)",
)


def upgrade() -> None:
    for stmt in STATEMENTS:
        op.execute(stmt)


def downgrade() -> None:
    op.execute("DROP TABLE model_content")
