"""`reid search`: one question, now."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note
from errors import UsageError

if TYPE_CHECKING:
    from actions.search import Asked, Found
    from search.records import Answer


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="IMAGE...")
@options.question
@options.device
@options.purpose
@click.option("--same-person", is_flag=True, help="All IMAGEs show one person: one query.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a picture of the matches.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page of the matches.")
@format_option
def search(
    images: tuple[Path, ...],
    asked: "Asked",
    device: str | None,
    purpose: str | None,
    same_person: bool,
    sheet: Path | None,
    html: Path | None,
    format_: str,
) -> int:
    """Find the person of each IMAGE again, or everyone who passes --where.

    Without --max-distance there is no distance limit and --limit is 50; with one and without
    --limit, everything below it is given.
    """
    from actions.search import search as run

    asked.check(with_image=bool(images))
    check_targets(sheet, html)
    engine = options.database()
    files = [(path.name, str(path)) for path in _distinct(images)]
    found = run(engine, asked, files, device=device, purpose=purpose, same_person=same_person)
    rows = _rows(found.answers, every_attribute=format_ != "table")
    document = {"queries": [to_json(answer) for answer in found.answers]}
    emit(document, rows, format_, columns=_columns(every_attribute=format_ != "table"))
    for answer in found.answers if format_ == "table" else ():
        note(_facts(answer))
    if sheet or html:
        _draw(engine, found, sheet, html)
    for name, reason in found.failed.items():
        note(f"failed: {name}: {reason}")
    return 3 if found.failed else 0


def _distinct(images: tuple[Path, ...]) -> list[Path]:
    names: dict[str, Path] = {}
    for path in images:
        if path.name in names and names[path.name] != path:
            raise UsageError(f"two images are called {path.name}; search them one after the other")
        names[path.name] = path
    return list(names.values())


def to_json(answer: "Answer") -> dict[str, Any]:
    """An answer as the contract writes it."""
    return {
        "query": answer.query,
        "model": answer.model,
        "max_distance": answer.max_distance,
        "filter": answer.filter,
        "complete": answer.complete,
        "incomplete_reason": answer.incomplete_reason,
        "candidates": answer.candidates,
        "matches": [
            {
                "rank": match.rank,
                "image_id": match.image_id,
                "collection": match.collection,
                "path": match.path,
                "distance": match.distance,
                "pid": match.pid,
                "camid": match.camid,
                "attributes": dict(match.attributes),
            }
            for match in answer.matches
        ],
    }


_SHOWN = ("gender", "upper_color", "lower_color")


def _columns(*, every_attribute: bool) -> list[str]:
    from db.attributes import FIELDS

    facts = ["query", "rank", "image_id", "collection", "path", "distance", "pid", "camid"]
    return [*facts, *([field.name for field in FIELDS] if every_attribute else _SHOWN)]


def _rows(answers: "tuple[Answer, ...]", *, every_attribute: bool) -> list[dict[str, Any]]:
    rows = []
    for answer in answers:
        for match in to_json(answer)["matches"]:
            attributes = match.pop("attributes")
            shown = attributes if every_attribute else {n: attributes[n] for n in _SHOWN}
            rows.append({"query": answer.query, **match, **shown})
    return rows


def _facts(answer: "Answer") -> str:
    limit = "" if answer.max_distance is None else f" within {answer.max_distance:.4f}"
    state = "complete" if answer.complete else f"not complete: {answer.incomplete_reason}"
    took = "" if answer.seconds is None else f", {answer.seconds * 1000:.0f} ms"
    return (
        f"{answer.query}: {len(answer.matches)} matches{limit}; {answer.candidates} images passed "
        f"the filter ({state}; model {answer.model}{took})"
    )


def _draw(engine: Any, found: "Found", sheet: Path | None, html: Path | None) -> None:
    from actions.search import deciding_fields, thumbnails_of
    from search.pictures.records import Picture

    wanted = (match.image_id for answer in found.answers for match in answer.matches)
    thumbnails = thumbnails_of(engine, wanted)
    pictures = [
        Picture(answer, thumbnail, thumbnails, deciding_fields(found.question))
        for answer, thumbnail in zip(found.answers, found.thumbnails, strict=True)
    ]
    write_pictures(pictures, sheet, html, "Search")


def check_targets(*targets: Path | None) -> None:
    """Raises UsageError for a picture that could not be written, before anything is asked."""
    for target in targets:
        if target and (target.is_dir() or not target.parent.is_dir()):
            raise UsageError(f"cannot write {target}: its folder is not there, or it is one")


def write_pictures(pictures: Any, sheet: Path | None, html: Path | None, title: str) -> None:
    """Writes a contact sheet and a page, where asked for."""
    if sheet:
        from search.pictures.sheet import write_sheet

        write_sheet(sheet, pictures)
        note(f"wrote {sheet}")
    if html:
        from search.pictures.page import write_page

        write_page(html, pictures, title)
        note(f"wrote {html}")
