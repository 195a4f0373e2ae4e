"""A limit of the re-ranked distance: of models, of stored questions, and in the matches of runs.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE model ADD COLUMN rerank_max_distance DOUBLE PRECISION",
    "ALTER TABLE model ADD COLUMN rerank_calibration JSONB DEFAULT '{}' NOT NULL",
    "ALTER TABLE question ADD COLUMN rerank BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE match ADD COLUMN rerank_distance DOUBLE PRECISION",
)


def upgrade() -> None:
    for stmt in STATEMENTS:
        op.execute(stmt)


def downgrade() -> None:
    op.execute("ALTER TABLE match DROP COLUMN rerank_distance")
    op.execute("ALTER TABLE question DROP COLUMN rerank")
    op.execute("ALTER TABLE model DROP COLUMN rerank_calibration")
    op.execute("ALTER TABLE model DROP COLUMN rerank_max_distance")
