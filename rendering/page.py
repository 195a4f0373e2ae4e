"""Ranked matches as one HTML file that needs nothing else: no network, no script, no other file."""

from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from files import write_whole
from rendering.captions import (
    UNDER_A_MATCH,
    camera,
    caption,
    counted,
    facts,
    no_match,
    ordered_attributes,
    readable,
)
from rendering.frames import FRAMES
from rendering.pictures import Picture


def matches_html(pictures: Sequence[Picture], *, title: str) -> str:
    """Every match of every query, with all that is known of it. Equal input gives equal text.

    Names and paths are hostile text: whatever the template is given is made printable and escaped,
    and the page's own policy forbids scripts and outside requests should that ever fail.
    """
    return render(
        "rendering",
        "matches.html.j2",
        title=title,
        pictures=pictures,
        frames=FRAMES,
        under_a_match=UNDER_A_MATCH,
        num_matches=sum(len(picture.answer.matches) for picture in pictures),
        camera=camera,
        caption=caption,
        counted=counted,
        data_uri=data_uri,
        facts=facts,
        no_match=no_match,
        ordered_attributes=ordered_attributes,
    )


def render(package: str, template: str, **values: object) -> str:
    """A template that lies in `package`, with every value made printable and escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = files(package).joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(values)


def write_page(path: str | Path, pictures: Sequence[Picture], title: str) -> None:
    """The page as a UTF-8 file. CannotWrite where that is not possible."""
    write_whole(path, matches_html(pictures, title=title).encode())


def _printable(value: object) -> object:
    """A text made readable; a number, or markup that the template itself made, as it is."""
    return readable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def data_uri(image: bytes, kind: str = "jpeg") -> str:
    """`"data:image/jpeg;base64,..."`: the picture itself, where an address would stand."""
    return f"data:image/{kind};base64,{b64encode(image).decode('ascii')}"
