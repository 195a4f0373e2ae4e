"""Options that several commands share, each said once."""

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from commands.output import note

if TYPE_CHECKING:
    from sqlalchemy import Engine

device = click.option(
    "--device",
    envvar="REID_DEVICE",
    metavar="D",
    help="cpu, cuda, cuda:1 ... or auto (REID_DEVICE).",
)
model = click.option("--model", metavar="NAME", help="A registered model; default: the active one.")
purpose = click.option(
    "--purpose", metavar="TEXT", help="Why you search; kept in the audit log with who and when."
)


workers = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(8, os.cpu_count() or 2),
    show_default="one a core, at most 8",
    metavar="N",
    help="Threads that read, and processes that decode, beside the network.",
)
batch = click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="N",
    help="Images the network takes at once.",
)
_QUESTION = (
    click.option(
        "--collection",
        "collections",
        multiple=True,
        required=True,
        metavar="NAME",
        help="Where to search; may be given several times.",
    ),
    click.option(
        "--where",
        metavar="FILTER",
        help='For example "gender = female and upper_color in (red, white) and not hat".',
    ),
    click.option(
        "--max-distance",
        metavar="auto|X",
        help="Only matches this close; auto is the model's calibrated distance.",
    ),
    click.option(
        "--limit",
        type=int,
        metavar="N",
        help="At most N matches; 50 where no --max-distance is given.",
    ),
    click.option("--not-same-camera", is_flag=True, help="Leave out the query's own camera."),
    click.option(
        "--no-duplicates",
        is_flag=True,
        help="Leave out images that are byte-identical to the query.",
    ),
    model,
)


_NAMES = (
    "collections",
    "where",
    "max_distance",
    "limit",
    "not_same_camera",
    "no_duplicates",
    "model",
)


def question(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a search to `function`, which gets them as one argument `request`."""

    @wraps(function)
    def with_request(**given: Any) -> Any:
        from search.request import SearchRequest

        request = SearchRequest(**{name: given.pop(name) for name in _NAMES})
        return function(request=request, **given)

    for decorate in reversed(_QUESTION):
        with_request = decorate(with_request)
    return with_request


def database() -> "Engine":
    """A checked engine on the configured database, closed when the command ends."""
    from db.open import open_database
    from db.read_only import is_allowed

    engine = open_database()
    click.get_current_context().call_on_close(engine.dispose)
    if is_allowed():
        note("the database is read only: nothing is written to the audit log")
    return engine
