"""Each camera's own mean, subtracted from what is stored; see `gallery.centring`.

Nothing that is stored changes: models that are registered stay as they are until somebody centres
them. The statements stand here as they were; later changes of the declared schema do not reach
them.
"""

# ruff: noqa: E501

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE model ADD COLUMN centred BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE model ADD COLUMN centring BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE model ADD COLUMN other_limits JSONB DEFAULT '{}' NOT NULL",
    """
    CREATE TABLE camera_mean (
        model_id BIGINT NOT NULL,
        collection_id BIGINT NOT NULL,
        camid SMALLINT NOT NULL,
        images BIGINT NOT NULL,
        mean VECTOR(512) NOT NULL,
        stale BOOLEAN DEFAULT false NOT NULL,
        CONSTRAINT pk_camera_mean PRIMARY KEY (model_id, collection_id, camid),
        CONSTRAINT fk_camera_mean_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE,
        CONSTRAINT fk_camera_mean_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_camera_mean_collection_id ON camera_mean (collection_id)",
)


def upgrade() -> None:
    for stmt in STATEMENTS:
        op.execute(stmt)


def downgrade() -> None:
    # without the means nobody could bring the network's own embeddings back
    if op.get_bind().scalar(text("SELECT EXISTS (SELECT FROM camera_mean)")):
        raise RuntimeError("embeddings are centred; run `reid model centre NAME --off` first")
    op.execute("DROP TABLE camera_mean")
    op.execute("ALTER TABLE model DROP COLUMN other_limits")
    op.execute("ALTER TABLE model DROP COLUMN centring")
    op.execute("ALTER TABLE model DROP COLUMN centred")
