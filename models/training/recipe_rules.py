"""What every recipe file shares: its values, the rules that they keep, and how the file is read."""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from errors import UsageError, did_you_mean
from files import read_text
from models.training.augment import Augmentation

_FOLDER = Path(__file__).parent.parent / "recipes"


class BadRecipe(UsageError):
    """A recipe file does not say what training needs."""


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test."""

    expected: str
    allows: Callable[[object], bool]


def number(expected: str, holds: Callable[[float], bool]) -> Rule:
    """A finite number, whole or not, for which `holds`."""
    return Rule(expected, lambda value: _is_number(value, int | float, holds))


def whole(least: int) -> Rule:
    """A whole number of at least `least`."""
    most = 2**31 - 1
    expected = f"a whole number from {least} to {most}"
    return Rule(expected, lambda value: _is_number(value, int, lambda x: least <= x <= most))


def one_of(*words: str) -> Rule:
    """One of these words."""
    return Rule(f"one of {', '.join(words)}", lambda value: value in words)


def _is_number(value: object, kind: Any, holds: Callable[[float], bool]) -> bool:
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return math.isfinite(value) and holds(value)  # type: ignore[arg-type]


POSITIVE = number("a number above 0", lambda x: x > 0)
NOT_NEGATIVE = number("a number, 0 or more", lambda x: x >= 0)
SHARE = number("a number from 0 to below 1", lambda x: 0 <= x < 1)
YES_OR_NO = Rule("true or false", lambda value: isinstance(value, bool))
PROBABILITY = number("a number from 0 to 1", lambda x: 0 <= x <= 1)

AUGMENTATION_RULES: Mapping[str, Rule] = {
    "flip": PROBABILITY,
    "pad": whole(0),
    "erase": PROBABILITY,
    "light": PROBABILITY,
    "cast": PROBABILITY,
    "gamma": PROBABILITY,
    "grey": PROBABILITY,
    "blur": PROBABILITY,
    "low_resolution": PROBABILITY,
    "jpeg": PROBABILITY,
    "cut": PROBABILITY,
    "partial": PROBABILITY,
}


@dataclass(frozen=True)
class Recipe:
    """The values of every recipe; `held_out` is a share of the people.

    A recipe of its own derives from this, adds its fields, and to `RULES` a rule for each.
    Raises BadRecipe for a value of the wrong type or out of its range.
    """

    epochs: int
    held_out: float
    seed: int
    augmentation: Augmentation

    RULES: ClassVar[Mapping[str, Rule]] = {"epochs": whole(1), "held_out": SHARE, "seed": whole(0)}
    # what the keys of [augmentation] are where the file leaves them out
    AUGMENTATION: ClassVar[Augmentation] = Augmentation()

    def __post_init__(self) -> None:
        _check("", vars(self), self.RULES)
        _check("augmentation.", vars(self.augmentation), AUGMENTATION_RULES)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def with_changes(self, **changes: Any) -> Self:
        """A copy with those values that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    @classmethod
    def read(cls, name: str, path: Path | None = None) -> Self:
        """The recipe at `path`, or the one that ships as `name`. Raises BadRecipe."""
        path = path or _FOLDER / f"{name}.toml"
        try:
            text = read_text(path, BadRecipe)
        except FileNotFoundError:
            raise BadRecipe(f"no recipe {path}; the shipped ones are in {_FOLDER}") from None
        try:
            return cls._from_document(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, BadRecipe) as error:
            raise BadRecipe(f"{path} is no {name} recipe: {error}") from None

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Self:
        augmentation = document.pop("augmentation", {})
        if not isinstance(augmentation, dict):
            raise BadRecipe(f"augmentation is {augmentation!r}, expected a table [augmentation]")
        _check_keys("", document, list(cls.RULES))
        _check_keys("augmentation.", augmentation, list(AUGMENTATION_RULES))
        optional = {f.name for f in fields(cls) if f.default is not MISSING}
        missing = [key for key in cls.RULES if key not in document and key not in optional]
        if missing:
            raise BadRecipe(f"no {', '.join(missing)}")
        return cls(**document, augmentation=replace(cls.AUGMENTATION, **augmentation))


def _check_keys(table: str, document: Mapping[str, object], known: list[str]) -> None:
    for key in document:
        if key not in known:
            hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
            raise BadRecipe(f"unknown key {table}{key}{hint}")


def _check(table: str, values: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    for key, rule in rules.items():
        if not rule.allows(values[key]):
            raise BadRecipe(f"{table}{key} is {values[key]!r}, expected {rule.expected}")
