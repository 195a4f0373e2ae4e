"""The readable view `gallery`, for people who know SQL: one row an image, by the active model.

Each of the 12 fields is a column (`gender`, `upper_color`, ...) beside its score: how sure the
model is of that value, a probability in [0, 1].
"""

from db.count_triggers import TRIGGERS
from vocabulary import COLUMNS, FIELDS, LABEL_OF, Field


def _column_of(name: str) -> int:
    """Position of a value's column among the 27, from 1: `labels` holds one label a column."""
    return COLUMNS.index(name.rsplit("-", 1)[0]) + 1


def _cases(field: Field) -> tuple[str, str]:
    value, score = [], []
    for word, name in field.values.items():
        label = LABEL_OF[name]
        test = f"WHEN f.labels[{_column_of(name)}] = {label}"
        value.append(f"{test} THEN '{word}'")
        score.append(f"{test} THEN f.scores[{label}]")
    if not field.may_be_unknown:
        return " ".join(value), " ".join(score)
    scores = ", ".join(f"f.scores[{LABEL_OF[name]}]" for name in field.values.values())
    return f"{' '.join(value)} ELSE 'unknown'", f"{' '.join(score)} ELSE 1 - greatest({scores})"


def gallery_view() -> str:
    """The statement that creates the view."""
    columns = [
        "i.id AS image_id",
        "c.name AS collection",
        "i.path",
        "i.pid",
        "i.camid",
        "i.ingested_at",
        "m.name AS model",
    ]
    for field in FIELDS:
        value, score = _cases(field)
        columns.append(f"CASE {value} END AS {field.name}")
        columns.append(f"CASE {score} END AS {field.name}_score")
    columns += ["f.quality", "f.labels", "f.scores", "f.embedding"]
    columns += ["p.person_id AS person", "p.confidence AS person_confidence"]
    listed = ",\n    ".join(columns)
    return (
        f"CREATE VIEW gallery AS\nSELECT\n    {listed}\n"
        "FROM feature f\n"
        "JOIN model m ON m.id = f.model_id AND m.active\n"
        "JOIN image i ON i.id = f.image_id\n"
        "JOIN collection c ON c.id = i.collection_id\n"
        "LEFT JOIN person_image p ON p.image_id = i.id"
    )


AUDIT_GUARD = (
    """CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are only ever added';
END $$""",
    """CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()""",
)
FEATURE_STORAGE = (
    "ALTER TABLE feature ALTER COLUMN embedding SET STORAGE PLAIN",
    "ALTER TABLE feature SET (toast_tuple_target = 8160)",
)
THUMBNAIL_STORAGE = ("ALTER TABLE thumbnail ALTER COLUMN jpeg SET STORAGE EXTERNAL",)


def beyond_tables() -> tuple[str, ...]:
    """What the tables' declaration cannot say: storage, triggers, the view."""
    return (*FEATURE_STORAGE, *THUMBNAIL_STORAGE, *AUDIT_GUARD, *TRIGGERS, gallery_view())
