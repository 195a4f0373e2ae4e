"""A training recipe: a small readable TOML file, checked when it is read."""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from errors import UsageError, did_you_mean
from models.augment import Augmentation

_FOLDER = Path(__file__).parent / "recipes"


class BadRecipe(UsageError):
    """A recipe file does not say what training needs."""


@dataclass(frozen=True)
class _Rule:
    expected: str
    holds: Callable[[float], bool]
    whole: bool = False

    def allows(self, value: object) -> bool:
        kind = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        return math.isfinite(value) and self.holds(value)


def _whole(least: int) -> _Rule:
    most = 2**31 - 1
    return _Rule(f"a whole number from {least} to {most}", lambda x: least <= x <= most, whole=True)


_POSITIVE = _Rule("a number above 0", lambda x: x > 0)
_NOT_NEGATIVE = _Rule("a number, 0 or more", lambda x: x >= 0)
_SHARE = _Rule("a number from 0 to below 1", lambda x: 0 <= x < 1)
_PROBABILITY = _Rule("a number from 0 to 1", lambda x: 0 <= x <= 1)

_RULES: dict[str, _Rule] = {
    "epochs": _whole(1),
    "people": _whole(2),  # triplets need another person ...
    "images": _whole(2),  # ... and another image of the same one
    "rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "warmup_epochs": _whole(0),
    "label_smoothing": _SHARE,
    "triplet_weight": _NOT_NEGATIVE,
    "attribute_weight": _NOT_NEGATIVE,
    "rare_power": _NOT_NEGATIVE,
    "held_out": _SHARE,
    "seed": _whole(0),
}
_AUGMENTATION_RULES: dict[str, _Rule] = {
    "flip": _PROBABILITY,
    "pad": _whole(0),
    "erase": _PROBABILITY,
    "light": _PROBABILITY,
}


@dataclass(frozen=True)
class JointRecipe:
    """How the joint network is trained. Rates are per step, `held_out` is a share of the people.

    Raises BadRecipe for a value of the wrong type or out of its range.
    """

    epochs: int
    people: int
    images: int
    rate: float
    weight_decay: float
    warmup_epochs: int
    label_smoothing: float
    triplet_weight: float
    attribute_weight: float
    rare_power: float
    held_out: float
    seed: int
    augmentation: Augmentation

    def __post_init__(self) -> None:
        _check("", vars(self), _RULES)
        _check("augmentation.", vars(self.augmentation), _AUGMENTATION_RULES)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def with_changes(self, **changes: Any) -> "JointRecipe":
        """A copy with those values that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})


def read_joint_recipe(path: Path | None = None) -> JointRecipe:
    """The recipe at `path`, or the one that ships. Raises BadRecipe."""
    path = path or _FOLDER / "joint.toml"
    try:
        return _joint_recipe(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadRecipe(f"no recipe {path}; the shipped ones are in {_FOLDER}") from None
    except UnicodeDecodeError:
        raise BadRecipe(f"{path} is no joint recipe: it is no UTF-8 text") from None
    except (tomllib.TOMLDecodeError, BadRecipe) as error:
        raise BadRecipe(f"{path} is no joint recipe: {error}") from None


def _joint_recipe(document: dict[str, Any]) -> JointRecipe:
    augmentation = document.pop("augmentation", {})
    if not isinstance(augmentation, dict):
        raise BadRecipe(f"augmentation is {augmentation!r}, expected a table [augmentation]")
    _check_keys("", document, list(_RULES))
    _check_keys("augmentation.", augmentation, list(_AUGMENTATION_RULES))
    missing = [key for key in _RULES if key not in document]
    if missing:
        raise BadRecipe(f"no {', '.join(missing)}")
    return JointRecipe(**document, augmentation=Augmentation(**augmentation))


def _check_keys(table: str, document: Mapping[str, object], known: list[str]) -> None:
    for key in document:
        if key not in known:
            hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
            raise BadRecipe(f"unknown key {table}{key}{hint}")


def _check(table: str, values: Mapping[str, object], rules: Mapping[str, _Rule]) -> None:
    for key, rule in rules.items():
        if not rule.allows(values[key]):
            raise BadRecipe(f"{table}{key} is {values[key]!r}, expected {rule.expected}")
