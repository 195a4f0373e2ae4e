"""Numbers of images and features are kept by triggers; what failed is found by an index.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

# ruff: noqa: E501

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE gallery_count (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        collection_id BIGINT NOT NULL,
        model_id BIGINT,
        images BIGINT NOT NULL,
        CONSTRAINT pk_gallery_count PRIMARY KEY (id),
        CONSTRAINT fk_gallery_count_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE,
        CONSTRAINT fk_gallery_count_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_gallery_count_collection_id ON gallery_count (collection_id)",
    "CREATE INDEX ix_gallery_count_model_id ON gallery_count (model_id)",
    "CREATE INDEX ix_task_failed ON task (model_id, image_id) WHERE state = 'failed'",
    """
    CREATE FUNCTION keep_gallery_count() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            DELETE FROM gallery_count WHERE (model_id IS NULL) = (TG_TABLE_NAME = 'image');
        ELSIF TG_TABLE_NAME = 'image' THEN
            -- joined: of a collection or a model that is being removed nothing is kept
            INSERT INTO gallery_count (collection_id, images)
            SELECT c.id, sign * count(*) FROM changed JOIN collection c ON c.id = collection_id
            GROUP BY c.id;
        ELSE
            INSERT INTO gallery_count (collection_id, model_id, images)
            SELECT c.id, m.id, sign * count(*) FROM changed
            JOIN collection c ON c.id = collection_id JOIN model m ON m.id = model_id
            GROUP BY c.id, m.id;
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER keep_gallery_count_insert AFTER INSERT ON image REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    "CREATE TRIGGER keep_gallery_count_delete AFTER DELETE ON image REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    "CREATE TRIGGER keep_gallery_count_truncate AFTER TRUNCATE ON image FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    "CREATE TRIGGER keep_gallery_count_insert AFTER INSERT ON feature REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    "CREATE TRIGGER keep_gallery_count_delete AFTER DELETE ON feature REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    "CREATE TRIGGER keep_gallery_count_truncate AFTER TRUNCATE ON feature FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()",
    # a table with a new trigger is locked against writing: what is there is counted once
    "INSERT INTO gallery_count (collection_id, images) SELECT collection_id, count(*) FROM image GROUP BY collection_id",
    "INSERT INTO gallery_count (collection_id, model_id, images) SELECT collection_id, model_id, count(*) FROM feature GROUP BY collection_id, model_id",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("feature", "image"):
        for event in ("insert", "delete", "truncate"):
            op.execute(f"DROP TRIGGER keep_gallery_count_{event} ON {table}")
    op.execute("DROP FUNCTION keep_gallery_count")
    op.execute("DROP INDEX ix_task_failed")
    op.execute("DROP TABLE gallery_count")
