"""Everything the product needs: images, models, features, manifest, queries, runs, audit.

The statements stand here as they were; later changes of the declared schema do not reach them.
"""

# ruff: noqa: E501

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SEQUENCE worker_id",
    """
    CREATE TABLE audit (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        question JSONB NOT NULL,
        purpose TEXT,
        result_ids BIGINT[] DEFAULT '{}' NOT NULL,
        candidates INTEGER,
        complete BOOLEAN,
        CONSTRAINT pk_audit PRIMARY KEY (id)
    )
    """,
    "CREATE INDEX ix_audit_at ON audit (at)",
    """
    CREATE TABLE collection (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        identities TEXT DEFAULT 'default' NOT NULL,
        revision BIGINT DEFAULT 0 NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_collection PRIMARY KEY (id),
        CONSTRAINT uq_collection_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE model (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        content_hash BYTEA NOT NULL,
        architecture TEXT NOT NULL,
        preprocessing JSONB NOT NULL,
        dimension INTEGER NOT NULL,
        distance TEXT NOT NULL,
        normalised BOOLEAN NOT NULL,
        attribute_names TEXT[] NOT NULL,
        max_distance DOUBLE PRECISION,
        calibration JSONB NOT NULL,
        cutoffs JSONB NOT NULL,
        header JSONB NOT NULL,
        active BOOLEAN DEFAULT false NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_model PRIMARY KEY (id),
        CONSTRAINT uq_model_name UNIQUE (name),
        CONSTRAINT uq_model_content_hash UNIQUE (content_hash)
    )
    """,
    "CREATE UNIQUE INDEX uq_model_active ON model (active) WHERE active",
    """
    CREATE TABLE query_set (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_query_set PRIMARY KEY (id),
        CONSTRAINT uq_query_set_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE setting (
        key TEXT NOT NULL,
        value JSONB NOT NULL,
        CONSTRAINT pk_setting PRIMARY KEY (key)
    )
    """,
    """
    CREATE TABLE tombstone (
        content_hash BYTEA NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT,
        erased_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_tombstone PRIMARY KEY (content_hash)
    )
    """,
    """
    CREATE TABLE image (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        collection_id BIGINT NOT NULL,
        path TEXT NOT NULL,
        path_raw BYTEA,
        source TEXT NOT NULL,
        size_bytes BIGINT,
        mtime_ns BIGINT,
        content_hash BYTEA,
        width INTEGER,
        height INTEGER,
        pid INTEGER,
        camid SMALLINT,
        captured_at TIMESTAMP WITH TIME ZONE,
        ingested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        missing_since TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_image PRIMARY KEY (id),
        CONSTRAINT uq_image_collection_id_path_path_raw UNIQUE NULLS NOT DISTINCT (collection_id, path, path_raw),
        CONSTRAINT fk_image_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_image_collection_id_pid ON image (collection_id, pid)",
    "CREATE INDEX ix_image_content_hash ON image (content_hash)",
    """
    CREATE TABLE question (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        query_set_id BIGINT NOT NULL,
        filter JSONB,
        auto_distance BOOLEAN DEFAULT false NOT NULL,
        max_distance DOUBLE PRECISION,
        match_limit INTEGER,
        gallery_count SMALLINT NOT NULL,
        not_same_camera BOOLEAN DEFAULT false NOT NULL,
        no_duplicates BOOLEAN DEFAULT false NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_question PRIMARY KEY (id),
        CONSTRAINT fk_question_query_set_id FOREIGN KEY(query_set_id) REFERENCES query_set (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_question_query_set_id ON question (query_set_id)",
    """
    CREATE TABLE run (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        query_set_id BIGINT NOT NULL,
        model_id BIGINT NOT NULL,
        actor TEXT NOT NULL,
        gallery_revisions JSONB NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_run PRIMARY KEY (id),
        CONSTRAINT fk_run_query_set_id FOREIGN KEY(query_set_id) REFERENCES query_set (id) ON DELETE CASCADE,
        CONSTRAINT fk_run_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_run_model_id ON run (model_id)",
    "CREATE INDEX ix_run_query_set_id ON run (query_set_id)",
    """
    CREATE TABLE feature (
        model_id BIGINT NOT NULL,
        image_id BIGINT NOT NULL,
        collection_id BIGINT NOT NULL,
        camid SMALLINT,
        labels SMALLINT[] NOT NULL,
        scores REAL[] NOT NULL,
        quality REAL,
        embedding VECTOR(512) NOT NULL,
        CONSTRAINT pk_feature PRIMARY KEY (model_id, image_id),
        CONSTRAINT ck_feature_labels CHECK (cardinality(labels) = 27),
        CONSTRAINT ck_feature_scores CHECK (cardinality(scores) = 56),
        CONSTRAINT fk_feature_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE,
        CONSTRAINT fk_feature_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_feature_image_id ON feature (image_id)",
    "CREATE INDEX ix_feature_labels ON feature USING gin (labels)",
    "CREATE INDEX ix_feature_model_id_collection_id ON feature (model_id, collection_id)",
    """
    CREATE TABLE query (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        query_set_id BIGINT NOT NULL,
        question_id BIGINT NOT NULL,
        name TEXT NOT NULL,
        pid INTEGER,
        camid SMALLINT,
        CONSTRAINT pk_query PRIMARY KEY (id),
        CONSTRAINT uq_query_query_set_id_name UNIQUE (query_set_id, name),
        CONSTRAINT fk_query_query_set_id FOREIGN KEY(query_set_id) REFERENCES query_set (id) ON DELETE CASCADE,
        CONSTRAINT fk_query_question_id FOREIGN KEY(question_id) REFERENCES question (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_query_question_id ON query (question_id)",
    """
    CREATE TABLE question_gallery (
        question_id BIGINT NOT NULL,
        collection_id BIGINT NOT NULL,
        CONSTRAINT pk_question_gallery PRIMARY KEY (question_id, collection_id),
        CONSTRAINT fk_question_gallery_question_id FOREIGN KEY(question_id) REFERENCES question (id) ON DELETE CASCADE,
        CONSTRAINT fk_question_gallery_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_question_gallery_collection_id ON question_gallery (collection_id)",
    """
    CREATE TABLE task (
        model_id BIGINT NOT NULL,
        image_id BIGINT NOT NULL,
        state TEXT DEFAULT 'pending' NOT NULL,
        attempts SMALLINT DEFAULT 0 NOT NULL,
        owner BIGINT,
        leased_until TIMESTAMP WITH TIME ZONE,
        reason TEXT,
        allow_any_shape BOOLEAN DEFAULT false NOT NULL,
        recompute BOOLEAN DEFAULT false NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_task PRIMARY KEY (model_id, image_id),
        CONSTRAINT ck_task_state CHECK (state IN ('pending', 'leased', 'done', 'failed')),
        CONSTRAINT fk_task_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE,
        CONSTRAINT fk_task_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_task_image_id ON task (image_id)",
    "CREATE INDEX ix_task_open ON task (model_id, image_id) WHERE state IN ('pending', 'leased')",
    """
    CREATE TABLE thumbnail (
        image_id BIGINT NOT NULL,
        jpeg BYTEA NOT NULL,
        CONSTRAINT pk_thumbnail PRIMARY KEY (image_id),
        CONSTRAINT fk_thumbnail_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE match (
        run_id BIGINT NOT NULL,
        query_id BIGINT NOT NULL,
        rank INTEGER NOT NULL,
        image_id BIGINT NOT NULL,
        distance DOUBLE PRECISION,
        CONSTRAINT pk_match PRIMARY KEY (run_id, query_id, rank),
        CONSTRAINT fk_match_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE,
        CONSTRAINT fk_match_query_id FOREIGN KEY(query_id) REFERENCES query (id) ON DELETE CASCADE,
        CONSTRAINT fk_match_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_match_image_id ON match (image_id)",
    "CREATE INDEX ix_match_query_id ON match (query_id)",
    """
    CREATE TABLE query_image (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        query_id BIGINT NOT NULL,
        position SMALLINT NOT NULL,
        content_hash BYTEA NOT NULL,
        image_id BIGINT,
        thumbnail BYTEA NOT NULL,
        CONSTRAINT pk_query_image PRIMARY KEY (id),
        CONSTRAINT uq_query_image_query_id_position UNIQUE (query_id, position),
        CONSTRAINT fk_query_image_query_id FOREIGN KEY(query_id) REFERENCES query (id) ON DELETE CASCADE,
        CONSTRAINT fk_query_image_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE SET NULL
    )
    """,
    "CREATE INDEX ix_query_image_content_hash ON query_image (content_hash)",
    "CREATE INDEX ix_query_image_image_id ON query_image (image_id)",
    """
    CREATE TABLE run_query (
        run_id BIGINT NOT NULL,
        query_id BIGINT NOT NULL,
        max_distance DOUBLE PRECISION,
        candidates INTEGER NOT NULL,
        found INTEGER NOT NULL,
        complete BOOLEAN NOT NULL,
        CONSTRAINT pk_run_query PRIMARY KEY (run_id, query_id),
        CONSTRAINT fk_run_query_run_id FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE,
        CONSTRAINT fk_run_query_query_id FOREIGN KEY(query_id) REFERENCES query (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_run_query_query_id ON run_query (query_id)",
    """
    CREATE TABLE verdict (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        query_id BIGINT NOT NULL,
        image_id BIGINT NOT NULL,
        verdict TEXT NOT NULL,
        reviewer TEXT NOT NULL,
        note TEXT,
        decided_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_verdict PRIMARY KEY (id),
        CONSTRAINT ck_verdict_verdict CHECK (verdict IN ('confirm', 'reject')),
        CONSTRAINT uq_verdict_query_id_image_id UNIQUE (query_id, image_id),
        CONSTRAINT fk_verdict_query_id FOREIGN KEY(query_id) REFERENCES query (id) ON DELETE CASCADE,
        CONSTRAINT fk_verdict_image_id FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_verdict_image_id ON verdict (image_id)",
    """
    CREATE TABLE query_embedding (
        model_id BIGINT NOT NULL,
        query_image_id BIGINT NOT NULL,
        embedding VECTOR(512) NOT NULL,
        CONSTRAINT pk_query_embedding PRIMARY KEY (model_id, query_image_id),
        CONSTRAINT fk_query_embedding_model_id FOREIGN KEY(model_id) REFERENCES model (id) ON DELETE CASCADE,
        CONSTRAINT fk_query_embedding_query_image_id FOREIGN KEY(query_image_id) REFERENCES query_image (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_query_embedding_query_image_id ON query_embedding (query_image_id)",
    "ALTER TABLE feature ALTER COLUMN embedding SET STORAGE PLAIN",
    "ALTER TABLE feature SET (toast_tuple_target = 8160)",
    "ALTER TABLE thumbnail ALTER COLUMN jpeg SET STORAGE EXTERNAL",
    """
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit rows are only ever added';
    END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
    """,
    """
    CREATE VIEW gallery AS
    SELECT
        i.id AS image_id,
        c.name AS collection,
        i.path,
        i.pid,
        i.camid,
        i.ingested_at,
        m.name AS model,
        CASE WHEN f.labels[10] = 21 THEN 'male' WHEN f.labels[10] = 22 THEN 'female' END AS gender,
        CASE WHEN f.labels[10] = 21 THEN f.scores[21] WHEN f.labels[10] = 22 THEN f.scores[22] END AS gender_score,
        CASE WHEN f.labels[1] = 1 THEN 'young' WHEN f.labels[1] = 2 THEN 'teenager' WHEN f.labels[1] = 3 THEN 'adult' WHEN f.labels[1] = 4 THEN 'old' END AS age,
        CASE WHEN f.labels[1] = 1 THEN f.scores[1] WHEN f.labels[1] = 2 THEN f.scores[2] WHEN f.labels[1] = 3 THEN f.scores[3] WHEN f.labels[1] = 4 THEN f.scores[4] END AS age_score,
        CASE WHEN f.labels[8] = 17 THEN 'short' WHEN f.labels[8] = 18 THEN 'long' END AS hair,
        CASE WHEN f.labels[8] = 17 THEN f.scores[17] WHEN f.labels[8] = 18 THEN f.scores[18] END AS hair_score,
        CASE WHEN f.labels[7] = 15 THEN 'long' WHEN f.labels[7] = 16 THEN 'short' END AS sleeve,
        CASE WHEN f.labels[7] = 15 THEN f.scores[15] WHEN f.labels[7] = 16 THEN f.scores[16] END AS sleeve_score,
        CASE WHEN f.labels[6] = 13 THEN 'long' WHEN f.labels[6] = 14 THEN 'short' END AS lower_length,
        CASE WHEN f.labels[6] = 13 THEN f.scores[13] WHEN f.labels[6] = 14 THEN f.scores[14] END AS lower_length_score,
        CASE WHEN f.labels[5] = 11 THEN 'dress' WHEN f.labels[5] = 12 THEN 'pants' END AS lower_type,
        CASE WHEN f.labels[5] = 11 THEN f.scores[11] WHEN f.labels[5] = 12 THEN f.scores[12] END AS lower_type_score,
        CASE WHEN f.labels[9] = 19 THEN 'no' WHEN f.labels[9] = 20 THEN 'yes' END AS hat,
        CASE WHEN f.labels[9] = 19 THEN f.scores[19] WHEN f.labels[9] = 20 THEN f.scores[20] END AS hat_score,
        CASE WHEN f.labels[2] = 5 THEN 'no' WHEN f.labels[2] = 6 THEN 'yes' END AS backpack,
        CASE WHEN f.labels[2] = 5 THEN f.scores[5] WHEN f.labels[2] = 6 THEN f.scores[6] END AS backpack_score,
        CASE WHEN f.labels[3] = 7 THEN 'no' WHEN f.labels[3] = 8 THEN 'yes' END AS bag,
        CASE WHEN f.labels[3] = 7 THEN f.scores[7] WHEN f.labels[3] = 8 THEN f.scores[8] END AS bag_score,
        CASE WHEN f.labels[4] = 9 THEN 'no' WHEN f.labels[4] = 10 THEN 'yes' END AS handbag,
        CASE WHEN f.labels[4] = 9 THEN f.scores[9] WHEN f.labels[4] = 10 THEN f.scores[10] END AS handbag_score,
        CASE WHEN f.labels[11] = 24 THEN 'black' WHEN f.labels[12] = 26 THEN 'white' WHEN f.labels[13] = 28 THEN 'red' WHEN f.labels[14] = 30 THEN 'purple' WHEN f.labels[15] = 32 THEN 'yellow' WHEN f.labels[16] = 34 THEN 'gray' WHEN f.labels[17] = 36 THEN 'blue' WHEN f.labels[18] = 38 THEN 'green' ELSE 'unknown' END AS upper_color,
        CASE WHEN f.labels[11] = 24 THEN f.scores[24] WHEN f.labels[12] = 26 THEN f.scores[26] WHEN f.labels[13] = 28 THEN f.scores[28] WHEN f.labels[14] = 30 THEN f.scores[30] WHEN f.labels[15] = 32 THEN f.scores[32] WHEN f.labels[16] = 34 THEN f.scores[34] WHEN f.labels[17] = 36 THEN f.scores[36] WHEN f.labels[18] = 38 THEN f.scores[38] ELSE 1 - greatest(f.scores[24], f.scores[26], f.scores[28], f.scores[30], f.scores[32], f.scores[34], f.scores[36], f.scores[38]) END AS upper_color_score,
        CASE WHEN f.labels[19] = 40 THEN 'black' WHEN f.labels[20] = 42 THEN 'white' WHEN f.labels[21] = 44 THEN 'pink' WHEN f.labels[22] = 46 THEN 'purple' WHEN f.labels[23] = 48 THEN 'yellow' WHEN f.labels[24] = 50 THEN 'gray' WHEN f.labels[25] = 52 THEN 'blue' WHEN f.labels[26] = 54 THEN 'green' WHEN f.labels[27] = 56 THEN 'brown' ELSE 'unknown' END AS lower_color,
        CASE WHEN f.labels[19] = 40 THEN f.scores[40] WHEN f.labels[20] = 42 THEN f.scores[42] WHEN f.labels[21] = 44 THEN f.scores[44] WHEN f.labels[22] = 46 THEN f.scores[46] WHEN f.labels[23] = 48 THEN f.scores[48] WHEN f.labels[24] = 50 THEN f.scores[50] WHEN f.labels[25] = 52 THEN f.scores[52] WHEN f.labels[26] = 54 THEN f.scores[54] WHEN f.labels[27] = 56 THEN f.scores[56] ELSE 1 - greatest(f.scores[40], f.scores[42], f.scores[44], f.scores[46], f.scores[48], f.scores[50], f.scores[52], f.scores[54], f.scores[56]) END AS lower_color_score,
        f.quality,
        f.labels,
        f.scores,
        f.embedding
    FROM feature f
    JOIN model m ON m.id = f.model_id AND m.active
    JOIN image i ON i.id = f.image_id
    JOIN collection c ON c.id = i.collection_id
    """,
)
TABLES = (
    "query_embedding",
    "verdict",
    "run_query",
    "query_image",
    "match",
    "thumbnail",
    "task",
    "question_gallery",
    "query",
    "feature",
    "run",
    "question",
    "image",
    "tombstone",
    "setting",
    "query_set",
    "model",
    "collection",
    "audit",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW gallery")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP SEQUENCE worker_id")
    op.execute("DROP FUNCTION audit_is_append_only")
