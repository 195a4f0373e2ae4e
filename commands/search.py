"""`reid search`: one question, now."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note
from errors import UsageError
from files import is_stdout

if TYPE_CHECKING:
    from search.answer import Answer
    from search.answering import Answers
    from search.request import SearchRequest


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="IMAGE...")
@options.question
@options.device
@options.purpose
@click.option(
    "--rerank", is_flag=True,
    help="Go by the neighbours that images share with the query, not by the plain distance.",
)  # fmt: skip
@click.option(
    "--candidates", type=click.IntRange(1), metavar="N",
    help="Re-rank the N closest images; default: 200 with --max-distance, else four times "
    "--limit, 500 to 2,000.",
)  # fmt: skip
@click.option(
    "--approximate", is_flag=True,
    help="Let the model's index propose the matches where that pays; some may be missing.",
)  # fmt: skip
@click.option(
    "--explain", is_flag=True,
    help="Say how each answer came about: filter, rows, plan, statement, limit, times.",
)  # fmt: skip
@click.option(
    "--image-id", "image_ids", type=int, multiple=True, metavar="N",
    help="A stored image as the query, by the id that matches show; may be given several times.",
)  # fmt: skip
@click.option("--same-person", is_flag=True, help="All images show one person: one query.")
@click.option(
    "--nearest", is_flag=True,
    help="With --same-person: the nearest of the images decides, instead of their mean.",
)  # fmt: skip
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a picture of the matches.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page of the matches.")
@format_option
def search(
    images: tuple[Path, ...],
    request: "SearchRequest",
    device: str | None,
    purpose: str | None,
    rerank: bool,
    candidates: int | None,
    approximate: bool,
    explain: bool,
    image_ids: tuple[int, ...],
    same_person: bool,
    nearest: bool,
    sheet: Path | None,
    html: Path | None,
    format_: str,
) -> int:
    """Find the person of each IMAGE again, or everyone who passes --where.

    An IMAGE is a file; --image-id takes one that is stored.

    Without --max-distance there is no distance limit and --limit is 50; with one and without
    --limit, everything below it is given. With --rerank both go by the re-ranked distance,
    from 0 to 1: auto is its own calibrated limit, and --limit cuts the new order.
    """
    from search.answering import search as run

    request = replace(
        request, rerank=rerank, candidates=candidates, approximate=approximate, explain=explain,
        nearest=nearest, same_person=same_person, purpose=purpose, image_ids=image_ids,
        files=tuple((path.name, str(path)) for path in _distinct(images)),
    )  # fmt: skip
    request.check()
    check_targets(sheet, html)
    engine = options.database()
    found = run(engine, request, device=device)
    if not on_stdout(sheet, html):
        _emit(found, format_, reranked=rerank)
    if sheet or html:
        _draw(engine, found, sheet, html)
    for name, reason in found.failed.items():
        note(f"failed: {name}: {reason}")
    return 3 if found.failed else 0


def _emit(found: "Answers", format_: str, *, reranked: bool) -> None:
    from search.documents import document

    everything = format_ != "table"
    rows = _rows(found.answers, every_attribute=everything)
    columns = _columns(every_attribute=everything, reranked=reranked)
    emit(document(found), rows, format_, columns=columns)
    for answer, explanation in zip(found.answers, found.explanations, strict=True):
        if format_ == "table":
            note(_facts(answer))
        if explanation and format_ != "json":
            _note_explanation(answer.query, explanation.lines())


def _note_explanation(query: str, lines: Iterable[str]) -> None:
    from rendering.captions import readable

    note(f"{readable(query)}, explained:")
    for line in lines:
        note(f"  {readable(line)}")


def _distinct(images: tuple[Path, ...]) -> list[Path]:
    names: dict[str, Path] = {}
    for path in images:
        if path.name in names and names[path.name] != path:
            raise UsageError(f"two images are called {path.name}; search them one after the other")
        names[path.name] = path
    return list(names.values())


_SHOWN = ("gender", "upper_color", "lower_color")


def _columns(*, every_attribute: bool, reranked: bool) -> list[str]:
    from vocabulary import FIELDS

    facts = ["query", "rank", "image_id", "collection", "path", "distance", "pid", "camid"]
    if reranked:
        facts.insert(facts.index("distance") + 1, "rerank_distance")
    return [*facts, *([field.name for field in FIELDS] if every_attribute else _SHOWN)]


def _rows(answers: "tuple[Answer, ...]", *, every_attribute: bool) -> list[dict[str, Any]]:
    from search.documents import to_json

    rows = []
    for answer in answers:
        for match in to_json(answer)["matches"]:
            attributes = match.pop("attributes")
            shown = attributes if every_attribute else {n: attributes[n] for n in _SHOWN}
            rows.append({"query": answer.query, **match, **shown})
    return rows


def _facts(answer: "Answer") -> str:
    limit = "" if answer.max_distance is None else f" within {answer.max_distance:.4f}"
    if answer.max_distance_from == "auto":
        limit += " (auto)"
    order = "" if answer.rerank is None else ", re-ranked"
    state = "complete" if answer.complete else f"not complete: {answer.incomplete_reason}"
    about = "about " if answer.candidates_estimated else ""
    took = "" if answer.seconds is None else f", {answer.seconds * 1000:.0f} ms"
    return (
        f"{answer.query}: {len(answer.matches)} matches{limit}{order}; {about}{answer.candidates} "
        f"images passed the filter ({state}; {answer.plan}; model {answer.model}{took})"
    )


def _draw(engine: Any, found: "Answers", sheet: Path | None, html: Path | None) -> None:
    from gallery.thumbnails import thumbnails_of
    from rendering.pictures import Picture
    from search.answering import deciding_fields

    wanted = (match.image_id for answer in found.answers for match in answer.matches)
    thumbnails = thumbnails_of(engine, wanted)
    pictures = [
        Picture(answer, thumbnail, thumbnails, deciding_fields(found.question))
        for answer, thumbnail in zip(found.answers, found.thumbnails, strict=True)
    ]
    write_pictures(pictures, sheet, html, "Search")


def on_stdout(*targets: Path | None) -> bool:
    """Whether a picture goes to stdout, where then nothing else does."""
    return any(target is not None and is_stdout(target) for target in targets)


def check_targets(*targets: Path | None) -> None:
    """Raises UsageError for a picture that could not be written, before anything is asked."""
    if sum(on_stdout(target) for target in targets) > 1:
        raise UsageError("only one thing can go to stdout; write the other one to a file")
    for target in targets:
        if target and (target.is_dir() or not target.parent.is_dir()):
            raise UsageError(f"cannot write {target}: its folder is not there, or it is one")


def write_pictures(pictures: Any, sheet: Path | None, html: Path | None, title: str) -> None:
    """Writes a contact sheet and a page, where asked for."""
    if sheet:
        from rendering.sheet import write_sheet

        write_sheet(sheet, pictures)
        note(f"wrote {sheet}")
    if html:
        from rendering.page import write_page

        write_page(html, pictures, title)
        note(f"wrote {html}")
