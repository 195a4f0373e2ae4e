"""What the environment says: every `REID_` variable is read here, and nowhere else, but for the
tokens of the page, which are secrets (`web/tokens.py`).

A command's options stand above these. What a variable means is checked where it is used, with the
sentence of that room; here it is read.
"""

import os
from dataclasses import dataclass

_NO = frozenset({"", "0", "no", "off", "false"})


@dataclass(frozen=True)
class Settings:
    """The settings of this process. A text is as it was given, without the blanks around it, and
    empty or None where the environment says nothing."""

    home: str | None
    database_url: str | None
    direct_url: str | None
    read_only: bool
    statement_timeout: str
    decode_seconds: str
    device: str | None
    engine: str | None
    actor: str | None
    rate_limit: str
    fault: str

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read them as they are now: a test, or `reid --home`, may have changed them."""

        def text(name: str) -> str:
            return os.environ.get(f"REID_{name}", "").strip()

        return cls(
            home=os.environ.get("REID_HOME") or None,
            database_url=text("DATABASE_URL") or None,
            direct_url=text("DIRECT_URL") or None,
            read_only=text("READ_ONLY").lower() not in _NO,
            statement_timeout=text("STATEMENT_TIMEOUT"),
            decode_seconds=text("DECODE_SECONDS"),
            device=os.environ.get("REID_DEVICE"),
            engine=os.environ.get("REID_ENGINE") or None,
            actor=os.environ.get("REID_ACTOR") or None,
            rate_limit=text("RATE_LIMIT"),
            fault=os.environ.get("REID_FAULT", ""),
        )
