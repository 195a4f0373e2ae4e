"""An exported file read back: for tests."""

from collections.abc import Iterator


def read_reid_test(content: str) -> Iterator[tuple[str, list[str]]]:
    """(query, matches) of each line of such a file, names as they stand there."""
    for line in content.splitlines():
        query, _, matches = line.partition(":")
        yield query, [name.strip() for name in matches.split(",") if name.strip()]
