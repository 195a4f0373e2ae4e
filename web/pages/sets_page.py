"""`/sets`: stored query sets, their runs, the lists of the newest one, and what lies below a set:
two of its runs compared, and the newest as a file.

A set's own name may end in `/diff`: such an address is that of a part only with what it asks for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from query_sets.queries import diff, run, sheet_of_run
from query_sets.read_run import UnknownRun
from query_sets.set_page import set_page
from query_sets.sets import export_matches, export_reid_test, list_sets, show_set
from web.addresses import to
from web.pages import review
from web.pages.paging import page_number, pages_of
from web.pages.search_form import BadForm, Form
from web.render import in_path, render
from web.state import Here

if TYPE_CHECKING:
    from sqlalchemy import Engine

router = APIRouter()
router.include_router(review.router)

QUERIES_A_PAGE = 10
MATCHES_AT_ONCE, MATCHES_SHOWN = 12, 120  # the first of a list, and with what unfolds
QUERIES_COMPARED, CHANGES_SHOWN = 100, 24

FILES: dict[str, tuple[str, str, Callable[["Engine", str], bytes]]] = {
    "reid_test": (
        "reid_test.txt",
        "text/plain; charset=utf-8",
        lambda engine, name: export_reid_test(engine, name, None).text.encode(),
    ),
    "csv": (
        "matches.csv",
        "text/csv; charset=utf-8",
        lambda engine, name: export_matches(engine, name, None).text.encode(),
    ),
    "png": ("matches.png", "image/png", sheet_of_run),
}


@router.get("/sets")
def sets(request: Request, here: Here) -> Response:
    known = [{**row, **show_set(here.engine, row["name"])} for row in list_sets(here.engine)]
    return render(request, "sets.html", sets=known)


@router.post("/sets/{name:path}/run")
def run_again(here: Here, name: str) -> Response:
    """Answers every query of the set anew and keeps the run, as `reid query run` does."""
    run(here.engine, name, None, None)
    return RedirectResponse(to(f"/sets/{in_path(name)}#runs"), 303)


@router.get("/sets/{name:path}/diff")
def compare(request: Request, here: Here, name: str) -> Response:
    """What came, went and moved between two runs, as `reid query diff` says it."""
    before, after = (request.query_params.get(key) for key in ("before", "after"))
    if before is None or after is None:
        return one_set(request, here, f"{name}/diff")
    shown = show_set(here.engine, name)
    known = {row["id"] for row in shown["runs"]}
    numbers = [_run_number(given, name, known) for given in (before, after)]
    return render(
        request,
        "diff.html",
        name=name,
        runs=shown["runs"],
        found=diff(here.engine, *numbers),
        find=_question(shown["questions"]).find,
        queries_shown=QUERIES_COMPARED,
        changes_shown=CHANGES_SHOWN,
    )


@router.get("/sets/{name:path}/export")
def export(request: Request, here: Here, name: str) -> Response:
    """The newest run as a file: `as` is reid_test, csv or png."""
    wanted = request.query_params.get("as")
    if wanted is None:
        return one_set(request, here, f"{name}/export")
    if wanted not in FILES:
        raise BadForm(f"no export {wanted!r}; there are {', '.join(FILES)}")
    file, media_type, made = FILES[wanted]
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(made(here.engine, name), media_type=media_type, headers=headers)


@router.get("/sets/{name:path}")
def one_set(request: Request, here: Here, name: str) -> Response:
    page = page_number(request.query_params.get("page"))
    shown = set_page(here.engine, name, offset=(page - 1) * QUERIES_A_PAGE, size=QUERIES_A_PAGE)
    return render(
        request,
        "set.html",
        name=name,
        shown=shown,
        find=_question(shown.questions).find,
        paging=pages_of(shown.total, QUERIES_A_PAGE, page, "?"),
        at_once=MATCHES_AT_ONCE,
        at_most=MATCHES_SHOWN,
    )


def _question(questions: list[dict[str, Any]]) -> Form:
    """What an image of a set's lists is searched for in: all of the set's galleries."""
    galleries = dict.fromkeys(name for row in questions for name in row["galleries"])
    return Form(collections=tuple(galleries))


def _run_number(given: str, name: str, known: set[int]) -> int:
    number = int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else 0
    if number not in known:
        raise UnknownRun(f"query set {name!r} has no run {given}; see `reid query show {name}`")
    return number
