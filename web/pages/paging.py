"""Long lists in pages."""

from dataclasses import dataclass

MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class Paging:
    """Where one page of a long list stands. `previous` and `next` are addresses."""

    page: int
    pages: int
    first: int  # counted from 1, as people do; 0 for an empty list
    last: int
    total: int
    previous: str | None
    next: str | None


def page_number(given: str | None) -> int:
    """Read a page's number, from 1; what is no number is the first page."""
    number = int(given) if given and given.isascii() and given.isdecimal() and len(given) < 9 else 1
    return min(max(number, 1), MAX_PAGE)


def pages_of(total: int, size: int, page: int, base: str) -> Paging:
    """`base` is an address that `page=N` can be appended to."""
    pages = max(1, -(-total // size))
    start = (page - 1) * size
    return Paging(
        page=page,
        pages=pages,
        first=min(start + 1, total),
        last=min(start + size, total),
        total=total,
        previous=f"{base}page={min(page - 1, pages)}" if page > 1 else None,
        next=f"{base}page={page + 1}" if page < pages else None,
    )
