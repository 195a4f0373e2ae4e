"""Options that several commands share, each said once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy import Engine

F = TypeVar("F", bound=Callable[..., Any])

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


def question(function: F) -> F:
    """The options that make a question: where to look, filter and limits."""
    for decorate in reversed(
        (
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
            click.option(
                "--not-same-camera", is_flag=True, help="Leave out images of the query's camera."
            ),
            click.option(
                "--no-duplicates",
                is_flag=True,
                help="Leave out images that are byte-identical to the query.",
            ),
        )
    ):
        function = decorate(function)
    return function


def database() -> "Engine":
    """A checked engine on the configured database, closed when the command ends."""
    from db.connect import open_database

    engine = open_database()
    click.get_current_context().call_on_close(engine.dispose)
    return engine
