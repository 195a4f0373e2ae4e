"""Verdicts: a reviewer's word on a query of a set and an image."""

from fastapi import APIRouter

from query_sets.verdicts import decide, take_back
from web.api.openapi import problems
from web.api.requests import Id, Name, Text, VerdictBody
from web.api.responses import Verdict
from web.details import V1
from web.state import Here

router = APIRouter(prefix=V1, tags=["verdicts"])

_ADDRESS = "/query-sets/{name:path}/queries/{query:path}/verdicts/{image_id}"


@router.put(_ADDRESS, response_model=Verdict, responses=problems(404))
def give(here: Here, name: Name, query: Text, image_id: Id, body: VerdictBody) -> object:
    """Let a verdict stand on an image; one given later replaces it."""
    decided = decide(here.engine, name, query, [f"id:{image_id}"], body.verdict, body.note)
    return {
        "set": name,
        "query": query,
        "image_id": image_id,
        "verdict": body.verdict,
        "changed": bool(decided.changed),
        "replaced": decided.replaced.get(image_id),
    }


@router.delete(_ADDRESS, status_code=204, responses=problems(404))
def withdraw(here: Here, name: Name, query: Text, image_id: Id) -> None:
    """Take a verdict back; there need not be one."""
    take_back(here.engine, name, query, [f"id:{image_id}"])
