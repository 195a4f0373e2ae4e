"""Query sets as people list, show, export and remove them."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from db.limits import limited
from files import write_whole
from gallery.collections import collection_named
from gallery.models import chosen
from query_sets import export, runs, set_rows
from vocabulary import QUALITY_LIMIT


def list_sets(engine: Engine) -> list[dict[str, Any]]:
    """`{"name", "queries", "runs", "last_run"}`, by name."""
    with engine.connect() as connection:
        return set_rows.all_sets(connection)


def show_set(engine: Engine, name: str) -> dict[str, Any]:
    """`{"name", "questions", "runs"}`; runs newest first. Raises UnknownQuerySet."""
    with engine.connect() as connection:
        return {
            "name": name,
            "questions": set_rows.describe_set(connection, name),
            "runs": runs.runs_of(connection, name),
        }


def remove_query_set(engine: Engine, name: str) -> None:
    """Raises UnknownQuerySet."""
    with engine.begin() as connection:
        set_rows.remove_set(connection, name)
        record(connection, "query remove", {"set": name})


def export_reid_test(
    engine: Engine, name: str, out: Path | None, min_quality: float = QUALITY_LIMIT
) -> export.Exported:
    """The newest run of a set as `reid_test.txt`, without matches that are junk; written to a file
    where one is named."""
    with engine.begin() as connection, limited(connection, to_the_end=True, what="export"):
        run_id = runs.latest_run(connection, name)
        exported = export.reid_test(connection, run_id, min_quality)
        question = {"set": name, "run": run_id, "out": _write(exported, out)}
        ids = runs.matched_images(connection, run_id)
        asked = {**question, "min_quality": min_quality}
        record(connection, "export reid-test", asked, result_ids=ids)
    return exported


def export_matches(engine: Engine, name: str, out: Path | None) -> export.Exported:
    """Every match of the newest run of a set as CSV; written to a file where one is named."""
    with engine.begin() as connection, limited(connection, to_the_end=True, what="export"):
        run_id = runs.latest_run(connection, name)
        exported = export.matches(connection, run_id)
        question = {"set": name, "run": run_id, "out": _write(exported, out)}
        ids = runs.matched_images(connection, run_id)
        record(connection, "export matches", question, result_ids=ids)
    return exported


def _write(exported: export.Exported, out: Path | None) -> str | None:
    if out is None:
        return None
    write_whole(out, exported.text.encode())
    return str(out)


def is_stale(engine: Engine, name: str) -> bool:
    """Whether the newest run of a set answers yesterday's gallery."""
    with engine.connect() as connection:
        return runs.is_stale(connection, runs.latest_run(connection, name))


def export_classification(
    engine: Engine, collection: str, model: str | None, out: Path
) -> export.Exported:
    """Writes the decided attributes of a collection as `classification_test.csv`."""
    with engine.begin() as connection:
        row = collection_named(connection, collection)
    chosen_model = chosen(engine, model)
    with engine.begin() as connection, limited(connection, to_the_end=True, what="export"):
        exported = export.classification(connection, chosen_model, row)
        write_whole(out, exported.text.encode())
        record(
            connection,
            "export classification",
            {"collection": collection, "model": chosen_model.name, "out": str(out)},
        )
    return exported
