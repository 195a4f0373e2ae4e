"""What a source held beside its images is kept, so that `status` can say it.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

# ruff: noqa: E501

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE last_look (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        collection_id BIGINT NOT NULL,
        source TEXT NOT NULL,
        looked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        passed_over JSONB NOT NULL,
        refused JSONB NOT NULL,
        CONSTRAINT pk_last_look PRIMARY KEY (id),
        CONSTRAINT fk_last_look_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_last_look_collection_id ON last_look (collection_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE last_look")
