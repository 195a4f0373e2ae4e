"""What is wrong with a filter, and where: the reason, the text, and a caret under the column."""

from unicodedata import combining, east_asian_width

from errors import UsageError

WINDOW = 100  # characters of a long line that are shown, at most


class BadFilter(UsageError):
    """The filter cannot be understood; the message shows where and says what is allowed.

    `reason` is one sentence. `position` is the 0-based offset in `text`, None where the filter did
    not come from a text. `line` and `column` count from 1.
    """

    def __init__(self, reason: str, *, text: str | None = None, position: int | None = None):
        self.reason = reason
        self.text = text
        self.position = position
        super().__init__(reason if text is None or position is None else self._located(text))

    @property
    def line(self) -> int | None:
        return None if self.position is None else self._before().count("\n") + 1

    @property
    def column(self) -> int | None:
        return None if self.position is None else len(self._before().rpartition("\n")[2]) + 1

    def _before(self) -> str:
        return (self.text or "")[: self.position]

    def _located(self, text: str) -> str:
        line, column = self.line or 1, self.column or 1
        shown = text.split("\n")[line - 1]
        start = max(0, column - 1 - WINDOW // 2) if len(shown) > WINDOW else 0
        before, after = shown[start : column - 1], shown[column - 1 : start + WINDOW]
        lead, tail = "..." if start else "", "..." if len(shown) > start + WINDOW else ""
        where = f"line {line}, column {column}" if "\n" in text else f"column {column}"
        caret = " " * (len(lead) + _width(before)) + "^"
        return f"{where}: {self.reason}\n  {lead}{_safe(before + after)}{tail}\n  {caret}"


def _safe(text: str) -> str:
    """The text with every character that could move or colour a terminal's cursor as a blank."""
    return "".join(char if char.isprintable() else " " for char in text)


def _width(text: str) -> int:
    """How many columns a terminal gives to the text."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in _safe(text)
    )
