"""Stored queries: adding images to a set, running it, pictures of a run."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from sqlalchemy import Engine, text

from db.audit import record
from errors import UsageError
from gallery.model_rows import ModelRow
from gallery.models import Load, chosen
from gallery.store import ERASED, erased_hashes
from gallery.thumbnails import thumbnails_of
from images.listing import readable
from images.walk import file_path, walk
from query_sets.diff import RunDiff, compare_runs
from query_sets.export_names import unambiguous
from query_sets.read_run import stored_answers
from query_sets.runs import RunSummary, latest_run, matched_images, run_set
from query_sets.set_rows import NAME_BYTES, NewImage, NewQuery, add_queries
from rendering.pictures import Picture
from rendering.sheet import contact_sheet
from search.answering import deciding_fields
from search.query_images import Content, Embedded, EmbeddedImage, embed_files, stored_images
from search.request import SearchRequest


class NoQueries(UsageError):
    """Nothing was given that can be a query."""


@dataclass(frozen=True)
class Added:
    """What `query add` did. `failed` maps names to reasons."""

    queries: int
    known: int
    failed: dict[str, str]
    refused: dict[str, str]


def named_files(sources: Sequence[Path]) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """((name, path) of each image below folders and of each file given, refused paths).

    Names are base names, longer where two would be equal. Raises NoSuchFolder, NothingToIngest.
    """
    paths: dict[tuple[str, bytes | None], bytes] = {}
    refused: dict[str, str] = {}
    folders = [str(source) for source in sources if source.is_dir()]
    same = len({Path(folder).name for folder in folders}) < len(folders)
    for source in sources:
        if not source.is_dir():
            raw = os.fsencode(source)
            paths[readable(raw)] = raw
            continue
        found = walk(source)
        refused.update(found.refused)
        # several folders lead their files' names, by their whole path where two are called alike
        prefix = "" if len(sources) == 1 else f"{source if same else source.name}/"
        for file in found.files:
            raw_name = None if file.path_raw is None else prefix.encode() + file.path_raw
            where = file_path(str(source), file.path, file.path_raw)
            paths[prefix + file.path, raw_name] = where
    names = unambiguous(paths)
    return [(names[key], path) for key, path in paths.items()], refused


def add(
    engine: Engine,
    set_name: str,
    request: SearchRequest,
    sources: Sequence[Path],
    *,
    device: str | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> Added:
    """Adds images as queries, one each, to a set; what cannot be read is left out and reported."""
    refused: dict[str, str] = {}

    def embed(model: ModelRow) -> Embedded:
        files, unread = named_files(sources)
        refused.update(unread)
        return embed_files(engine, model, files, device, on_progress)

    return replace(_add(engine, set_name, request, embed), refused=refused)


def add_sent(
    engine: Engine,
    set_name: str,
    request: SearchRequest,
    files: Sequence[tuple[str, Content]],
    image_ids: Sequence[int],
    *,
    load: Load,
    device: str | None = None,
) -> Added:
    """The same for images that were sent, by name, and for stored ones by their ids.

    Raises UnknownImage, UsageError where two have one name.
    """

    def embed(model: ModelRow) -> Embedded:
        stored, _ = stored_images(engine, model, image_ids)
        sent, failed = embed_files(engine, model, files, device, load=load)
        images = {(image.name, None): image for image in [*stored, *sent]}
        if len(images) < len(stored) + len(sent):
            raise UsageError("two of the images have one name; add them one after the other")
        names = unambiguous(images)
        return [replace(image, name=names[key]) for key, image in images.items()], failed

    return _add(engine, set_name, request, embed)


def _add(
    engine: Engine, set_name: str, request: SearchRequest, embed: Callable[[ModelRow], Embedded]
) -> Added:
    resolved = request.resolve(engine)
    model, question = resolved.model, resolved.question
    images, failed = _storable(engine, *embed(model))
    if not images:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
        raise NoQueries(f"none of {len(failed)} images can be a query ({reasons})")
    with engine.begin() as connection:
        count = add_queries(
            connection,
            set_name,
            model,
            resolved.scope.galleries,
            question,
            auto_distance=question.auto_distance,
            queries=[_new_query(image) for image in images],
        )
        record(
            connection,
            "query add",
            {"set": set_name, "queries": count, "collections": list(request.collections)},
        )
    known = sum(image.image_id is not None for image in images)
    return Added(count, known, failed, {})


def _storable(engine: Engine, images: list[EmbeddedImage], failed: dict[str, str]) -> Embedded:
    """Without what was erased, and without names that the database cannot hold."""
    with engine.connect() as connection:
        erased = erased_hashes(connection, [image.content_hash for image in images])
    gone = {image.name: ERASED for image in images if image.content_hash in erased}
    for image in images:
        size = len(image.name.encode())
        if size > NAME_BYTES:
            gone[image.name] = f"a name of {size:,} bytes, more than {NAME_BYTES:,}; shorten it"
    return [image for image in images if image.name not in gone], {**failed, **gone}


def _new_query(image: EmbeddedImage) -> NewQuery:
    stored = NewImage(image.content_hash, image.thumbnail, image.embedding_D, image.image_id)
    return NewQuery(image.name, (stored,), image.pid, image.camid)


def run(engine: Engine, set_name: str, model_name: str | None, purpose: str | None) -> RunSummary:
    """Runs a set and keeps the run."""
    model = chosen(engine, model_name)
    with engine.begin() as connection:
        summary = run_set(connection, set_name, model)
        record(
            connection,
            "query run",
            {"set": set_name, "run": summary.id, "queries": summary.queries},
            purpose=purpose,
            result_ids=matched_images(connection, summary.id),
            complete=summary.complete,
        )
    with engine.begin() as connection:
        connection.execute(text("ANALYZE match"))
    return summary


def diff(engine: Engine, before: int, after: int) -> RunDiff:
    """What the run `after` says otherwise than `before`. Raises UnknownRun, DifferentSets."""
    with engine.connect() as connection:
        return compare_runs(connection, before, after)


def pictures_of_run(engine: Engine, run_id: int, first: int) -> list[Picture]:
    """The first queries of a run with all their matches, ready to be drawn."""
    with engine.connect() as connection:
        stored = stored_answers(connection, run_id, first=first)
    thumbnails = thumbnails_of(
        engine, (match.image_id for item in stored for match in item.answer.matches)
    )
    return [
        Picture(item.answer, item.thumbnail, thumbnails, deciding_fields(item.question))
        for item in stored
    ]


QUERIES_ON_A_SHEET = 40


def sheet_of_run(engine: Engine, name: str) -> bytes:
    """The first queries of a set's newest run with their first matches, as a PNG; written to the
    audit log.

    Raises UnknownQuerySet, CannotRun where the set was never run.
    """
    with engine.connect() as connection:
        run_id = latest_run(connection, name)
    pictures = pictures_of_run(engine, run_id, QUERIES_ON_A_SHEET)
    out = BytesIO()
    contact_sheet(pictures).save(out, format="PNG")
    with engine.begin() as connection:
        record(
            connection,
            "export matches",
            {"set": name, "run": run_id, "format": "png"},
            result_ids=sorted({m.image_id for picture in pictures for m in picture.answer.matches}),
        )
    return out.getvalue()
