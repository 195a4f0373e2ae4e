"""Triggers that keep the number of a gallery's images; see gallery/counts.py."""

FUNCTION = """
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
"""


def _triggers(table: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER keep_gallery_count_{event.lower()} AFTER {event} ON {table}"
        f"{rows} FOR EACH STATEMENT EXECUTE FUNCTION keep_gallery_count()"
        for event, rows in (
            ("INSERT", " REFERENCING NEW TABLE AS changed"),
            ("DELETE", " REFERENCING OLD TABLE AS changed"),
            ("TRUNCATE", ""),
        )
    )


TRIGGERS = (FUNCTION.strip(), *_triggers("image"), *_triggers("feature"))
