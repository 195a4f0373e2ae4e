"""The words for a text that the grammar cannot read."""

from lark.exceptions import UnexpectedToken

from errors import did_you_mean
from search.filters.fields import listed, shown

KEYWORDS = ["and", "or", "not", "in", "between", "starts", "with"]
SYMBOLS = {"&&": "and", "&": "and", "||": "or", "|": "or"}
WORDS = {
    "_AND": "'and'", "_OR": "'or'", "_IN": "'in'", "_WITH": "'with'",
    "LPAR": "'('", "COMMA": "','", "RPAR": "')'",
}  # fmt: skip


def unreadable(char: str) -> str:
    if char in "\"'":
        return f"the quotation mark {char} is never closed"
    return f"unexpected character {char!r}"


def unexpected(error: UnexpectedToken) -> str:
    """What could stand here instead, judged from what the parser would have taken."""
    accepts = set(error.accepts or error.expected)
    if accepts == {"$END"}:
        return "this ')' closes nothing"
    wanted = _wanted(accepts)
    if error.token.type == "$END":
        missing = "a ')' is missing at the end"
        return missing if "RPAR" in accepts else f"expected {wanted}, but the filter ends here"
    return f"expected {wanted}, not {shown(str(error.token))}{_hint(str(error.token), wanted)}"


def _wanted(accepts: set[str]) -> str:
    if "COMPARE" in accepts:
        return "a comparison, 'and' or 'or'"
    if "DATE_TIME" in accepts:
        return "a value"
    if "BARE" in accepts:
        return "a field"
    return listed([WORDS[name] for name in WORDS if name in accepts])


def _hint(word: str, wanted: str) -> str:
    if wanted == "a value":
        return "; write it in quotation marks if it is meant" if word.lower() in KEYWORDS else ""
    if word in SYMBOLS:
        return f"; did you mean {SYMBOLS[word]!r}?"
    near = [keyword for keyword in KEYWORDS if abs(len(keyword) - len(word)) <= 1]
    return did_you_mean(word, near) if "'and'" in wanted else ""
