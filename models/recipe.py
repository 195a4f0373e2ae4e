"""A training recipe: a small readable TOML file, checked when it is read."""

import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from errors import UsageError
from models.augment import Augmentation

_FOLDER = Path(__file__).parent / "recipes"


class BadRecipe(UsageError):
    """A recipe file does not say what training needs."""


@dataclass(frozen=True)
class JointRecipe:
    """How the joint network is trained. Rates are per step, `held_out` is a share of the people."""

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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def with_changes(self, **changes: Any) -> "JointRecipe":
        """A copy with those values that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})


def read_joint_recipe(path: Path | None = None) -> JointRecipe:
    """The recipe at `path`, or the one that ships. Raises BadRecipe."""
    path = path or _FOLDER / "joint.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        augmentation = Augmentation(**document.pop("augmentation", {}))
        return JointRecipe(**document, augmentation=augmentation)
    except FileNotFoundError:
        raise BadRecipe(f"no recipe {path}; the shipped ones are in {_FOLDER}") from None
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BadRecipe(f"{path} is no joint recipe: {error}") from None
