"""Shares as bars: what the templates draw, in percent of a bar's length."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.facets import Counts
from vocabulary import FIELDS
from web.pages.facet_boxes import label_of
from web.pages.search_form import Form


@dataclass(frozen=True)
class ValueBar:
    """`width` in percent, as SVG takes it; `share` is the same for people. `address` is where the
    images are, empty for none."""

    word: str
    count: int
    width: str
    share: str
    address: str
    swatch: str


@dataclass(frozen=True)
class Distribution:
    """How the decided values of one attribute spread over the images."""

    label: str
    bars: tuple[ValueBar, ...]


def distributions(counts: Counts, collections: Sequence[str]) -> list[Distribution]:
    """All 12 attributes; each bar leads to a search for its images."""
    form = Form(collections=tuple(collections))
    found = []
    for field in FIELDS:
        counted = counts[field.name]
        total = sum(counted.values())
        found.append(
            Distribution(
                label_of(field.name),
                tuple(
                    ValueBar(
                        word,
                        count,
                        f"{100 * count / total if total else 0:.2f}",
                        percent(count, total),
                        form.address(where=f"{field.name} = {word}") if count else "",
                        word if field.may_be_unknown else "",
                    )
                    for word, count in counted.items()
                ),
            )
        )
    return found


def percent(count: int, total: int) -> str:
    """`"43 %"`; what is little and not nothing says so.

    >>> percent(1, 1000), percent(999, 1000), percent(0, 0)
    ('< 1 %', '> 99 %', '0 %')
    """
    share = 100 * count / total if total else 0.0
    if 0 < share < 1:
        return "< 1 %"
    if 99 < share < 100:
        return "> 99 %"
    return f"{share:.0f} %"
