"""Evaluation with a report: plots and a page in a folder."""

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from db.audit import record
from evaluation.evaluate import attributes, reid_task, reranking
from evaluation.evaluate_attributes import AttributeReport
from evaluation.evaluate_reid import CannotEvaluate, ReidReport, ReidTask, evaluate_reid
from evaluation.ranked import Collector
from evaluation.report.attributes_page import KIND as ATTRIBUTES
from evaluation.report.attributes_page import attributes_page
from evaluation.report.folder import prepare_folder, write_report
from evaluation.report.records import StripSet
from evaluation.report.reid_page import KIND as REID
from evaluation.report.reid_page import extremes, reid_page, shown_ids, strip_sets
from gallery.thumbnails import thumbnails_of
from query_sets.batch_search import match_facts
from search.question import Scope


@dataclass(frozen=True)
class Target:
    """Where a report is written, and whether it may show people. `purpose` is kept in the audit
    log with what it shows."""

    folder: Path
    strips: bool = True
    purpose: str | None = None


def reid_report(
    database: Callable[[], Engine],
    target: Target,
    query: str,
    galleries: tuple[str, ...],
    model: str | None = None,
    *,
    rerank: bool = False,
    candidates: int | None = None,
) -> tuple[ReidReport, list[Path]]:
    """(the evaluation, the files written). Images of people that the report shows are written to
    the audit log.

    Raises NoPlots, CannotReport, BadQuestion before the database is opened; UnknownCollection;
    CannotEvaluate, also where no query has a match to find.
    """
    how = reranking(rerank, candidates)
    prepare_folder(target.folder, REID)
    engine = database()
    task = reid_task(engine, query, galleries, model)
    seen = Collector()
    report = evaluate_reid(task, how, seen.add)
    if not seen.queries:
        raise CannotEvaluate(
            f"no query of {query!r} has a match to find in {', '.join(galleries)}: "
            "there is nothing to plot"
        )
    strips = _strips(engine, task, seen, galleries, target.purpose) if target.strips else []
    command = ["--query", query, *(word for name in galleries for word in ("--gallery", name))]
    if how:
        command += ["--rerank", *(["--candidates", str(how.candidates)] if how.candidates else [])]
    page = reid_page(
        report,
        task,
        seen,
        strips,
        galleries=galleries,
        command=_command(REID, *command, "--model", report.model),
        measured=_now(),
    )
    return report, write_report(target.folder, page)


def reid_report_page(
    engine: Engine, query: str, galleries: tuple[str, ...], model: str, purpose: str | None
) -> bytes:
    """The report's page alone, plots and all in one file, by distance.

    Raises NoPlots, UnknownCollection, UnknownModel, CannotEvaluate.
    """
    with tempfile.TemporaryDirectory(prefix="reid-report-") as folder:
        target = Target(Path(folder), purpose=purpose)
        _, files = reid_report(lambda: engine, target, query, galleries, model)
        return files[-1].read_bytes()


def _strips(
    engine: Engine,
    task: ReidTask,
    seen: Collector,
    galleries: tuple[str, ...],
    purpose: str | None,
) -> list[StripSet]:
    """The worst and the best queries, accounted for as a search is."""
    chosen = [query for queries in extremes(seen).values() for query in queries]
    ids = shown_ids(task, chosen)
    own = sorted(int(task.queries.ids_G[query.row]) for query in chosen)
    with engine.begin() as connection:
        facts = match_facts(connection, Scope(task.model, (task.query,)), own)
        record(
            connection,
            "evaluate report",
            {
                "query": task.query.name,
                "collections": list(galleries),
                "model": task.model.name,
                "queries": len(chosen),
            },
            purpose=purpose,
            result_ids=sorted(ids),
        )
    names = {image_id: row.path for image_id, row in facts.items()}
    return strip_sets(task, seen, names, thumbnails_of(engine, ids))


def attributes_report(
    database: Callable[[], Engine],
    target: Target,
    collection: str,
    annotations: Path,
    model: str | None = None,
) -> tuple[AttributeReport, list[Path]]:
    """(the evaluation, the files written); the report shows nobody.

    Raises NoPlots, CannotReport before the database is opened; UnknownCollection, BadAnnotations,
    CannotEvaluate.
    """
    prepare_folder(target.folder, ATTRIBUTES)
    report = attributes(database(), collection, annotations, model)
    command = _command(
        ATTRIBUTES,
        "--collection", collection, "--annotations", str(annotations), "--model", report.model,
    )  # fmt: skip
    page = attributes_page(report, command=command, measured=_now())
    return report, write_report(target.folder, page)


def _command(kind: str, *arguments: str) -> str:
    return shlex.join(["reid", *kind.split(), *arguments])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
