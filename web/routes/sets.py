"""`/sets`: stored query sets, their runs, and the lists of the newest one."""

from fastapi import APIRouter, Request, Response

from actions.page import set_page
from actions.sets import list_sets, show_set
from web.form import Form
from web.paging import page_number, pages_of
from web.render import render
from web.state import Here

router = APIRouter()

QUERIES_A_PAGE = 10
MATCHES_AT_ONCE, MATCHES_SHOWN = 12, 120  # the first of a list, and with what unfolds


@router.get("/sets")
def sets(request: Request, here: Here) -> Response:
    known = [{**row, **show_set(here.engine, row["name"])} for row in list_sets(here.engine)]
    return render(request, "sets.html", sets=known)


@router.get("/sets/{name:path}")
def one_set(request: Request, here: Here, name: str) -> Response:
    page = page_number(request.query_params.get("page"))
    shown = set_page(here.engine, name, offset=(page - 1) * QUERIES_A_PAGE, size=QUERIES_A_PAGE)
    galleries = dict.fromkeys(name for row in shown.questions for name in row["galleries"])
    question = Form(collections=tuple(galleries))
    return render(
        request,
        "set.html",
        name=name,
        shown=shown,
        find=question.find,
        paging=pages_of(shown.total, QUERIES_A_PAGE, page, "?"),
        at_once=MATCHES_AT_ONCE,
        at_most=MATCHES_SHOWN,
    )
