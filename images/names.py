"""What a file name says: `PPPP_cC_NNNNNNNNN.jpg` names a person and a camera, others nobody."""

import re
from typing import NamedTuple

_NAME = re.compile(r"^(?P<pid>-1|[0-9]{1,9})_c(?P<camid>[0-9]{1,4})(?:s[0-9]+)?_")


class NameFacts(NamedTuple):
    """`pid` -1 is junk, 0 a distractor; both are None where the name does not say."""

    pid: int | None
    camid: int | None


def facts_of(name: str) -> NameFacts:
    """Reads pid and camid from a base name, in this data set's form or Market-1501's own.

    >>> facts_of("0474_c3_012345678.jpg")
    NameFacts(pid=474, camid=3)
    >>> facts_of("-1_c1s1_000401_03.jpg")
    NameFacts(pid=-1, camid=1)
    >>> facts_of("000616.jpg")
    NameFacts(pid=None, camid=None)
    """
    found = _NAME.match(name)
    if found is None:
        return NameFacts(None, None)
    return NameFacts(int(found["pid"]), int(found["camid"]))
