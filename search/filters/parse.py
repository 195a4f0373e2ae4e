"""A filter's text into its tree.

    gender = female and upper_color in (red, white) and backpack >= 0.8 and not hat and camera = 3

`not` binds closer than `and`, `and` closer than `or`. Keywords, fields and attribute values are
read in any case, collections and paths as they are written. `fields.py` says what may be compared
with what, `tree.py` what becomes of the unknown, `compare.py` what dates and paths mean.
"""

from functools import lru_cache

from search.filters.errors import BadFilter
from search.filters.tree import Filter

MAX_LENGTH = 10_000  # characters: room for `pid in (...)` with 1,000 pids


@lru_cache(maxsize=256)  # a page asks for one filter again with every move of a slider
def parse(text: str) -> Filter:
    """The tree that a text means; `BadFilter` with a caret under the first thing that is wrong."""
    if not text.strip():
        raise BadFilter("the filter is empty")
    if len(text) > MAX_LENGTH:
        raise BadFilter(f"the filter has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    # lark costs more than a cold search without a filter should pay
    from search.filters.build import build

    return build(text)
