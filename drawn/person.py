"""Who is drawn: the 27 columns of a person, and the looks that make one of many an individual.

The columns are dealt from decks of 40 cards, one deck for each thing that can be chosen. So forty
people in a row (pids 40k to 40k + 39) show every value of every column at least once, in roughly
the frequencies of the street; no value is left to luck.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import TypeVar

from drawn import palette
from drawn.palette import Color, shade_of
from vocabulary import COLUMNS, LOWER_COLORS, LOWER_COLUMNS, NUM_VALUES, UPPER_COLUMNS

T = TypeVar("T")

DECK_SIZE = 40

# gender, hair, clothes; ages; lower length; sleeve; hat; backpack, bag, handbag; colours.
KINDS: dict[tuple[int, int, int], int] = {
    (1, 1, 2): 20, (1, 2, 2): 1, (2, 2, 2): 8, (2, 1, 2): 3, (2, 2, 1): 6, (2, 1, 1): 2,
}  # fmt: skip
AGES = {1: 3, 2: 22, 3: 11, 4: 4}
LOWER_LENGTHS = {1: 20, 2: 20}
SLEEVES = {1: 9, 2: 31}
HATS = {1: 35, 2: 5}
CARRIED: dict[tuple[int, int, int], int] = {
    (1, 1, 1): 16, (2, 1, 1): 9, (1, 2, 1): 8, (1, 1, 2): 5, (2, 1, 2): 1, (1, 2, 2): 1,
}  # fmt: skip
UPPERS = {
    "black": 6, "white": 8, "red": 4, "purple": 2, "yellow": 3, "gray": 5, "blue": 4, "green": 4,
    "": 4,
}  # fmt: skip
LOWERS = {
    "black": 11, "white": 4, "pink": 2, "purple": 1, "yellow": 1, "gray": 6, "blue": 8, "green": 2,
    "brown": 3, "": 2,
}  # fmt: skip

PATTERNS = {"plain": 12, "print": 5, "stripes": 2, "sleeves": 2, "buttons": 3}
LOUD_PATTERNS = ("plaid", "blocks", "floral")


@dataclass(frozen=True)
class Looks:
    """What no column says. Colours are RGB 0-255; `build` scales widths, `stature` height."""

    skin: Color
    hair: Color
    hair_style: str
    upper: Color
    upper_accent: Color
    upper_pattern: str
    lower: Color
    lower_accent: Color
    lower_pattern: str
    shoes: Color
    backpack: Color
    bag: Color
    bag_style: str
    handbag: Color
    hat: Color
    hat_style: str
    glasses: bool
    left_handed: bool
    build: float
    stature: float
    fold_phase: float


@dataclass(frozen=True)
class Person:
    """A drawn identity: pid (1-9999), the 27 columns, the looks. ValueError if they cannot be."""

    pid: int
    values: Mapping[str, int]
    looks: Looks

    def __post_init__(self) -> None:
        if not 0 < self.pid < 10_000:
            raise ValueError(f"expected a pid of 1 to 9999, not {self.pid}")
        if tuple(self.values) != COLUMNS:
            raise ValueError("expected the 27 columns in the order of the annotation file")
        for column, value in self.values.items():
            if not 1 <= value <= NUM_VALUES[column]:
                raise ValueError(f"{column} has no value {value}")
        for group in (UPPER_COLUMNS, LOWER_COLUMNS):
            if sum(self.values[column] == 2 for column in group) > 1:
                raise ValueError(f"more than one of {', '.join(group)}")

    def has(self, column: str) -> bool:
        """Whether a binary column has its second value: `has("hat")`, `has("upred")`."""
        return self.values[column] == 2


def draw_lots(seed: int, pid: int) -> Person:
    """The person that `seed` makes of `pid`; the same two numbers always give the same person."""

    gender, hair, clothes = _deal(seed, pid, "kind", KINDS)
    backpack, bag, handbag = _deal(seed, pid, "carried", CARRIED)
    upper, lower = _deal(seed, pid, "upper", UPPERS), _deal(seed, pid, "lower", LOWERS)
    chosen = {
        "age": _deal(seed, pid, "age", AGES), "backpack": backpack, "bag": bag, "handbag": handbag,
        "clothes": clothes, "down": _deal(seed, pid, "down", LOWER_LENGTHS),
        "up": _deal(seed, pid, "up", SLEEVES), "hair": hair, "hat": _deal(seed, pid, "hat", HATS),
        "gender": gender,
    }  # fmt: skip
    chosen |= {f"up{upper}": 2} if upper else {}
    chosen |= {f"down{lower}": 2} if lower else {}
    values = {column: chosen.get(column, 1) for column in COLUMNS}
    looks = _draw_looks(Random(f"{seed}:looks:{pid}"), values, upper, lower)
    return Person(pid, MappingProxyType(values), looks)


def _deal(seed: int, pid: int, name: str, deck: Mapping[T, int]) -> T:
    """The card of `pid`: each block of 40 pids shares one shuffled deck of each name."""
    cards = [card for card, count in deck.items() for _ in range(count)]
    Random(f"{seed}:deck:{name}:{pid // DECK_SIZE}").shuffle(cards)
    return cards[pid % DECK_SIZE]


def _draw_looks(rng: Random, values: Mapping[str, int], upper: str, lower: str) -> Looks:
    age, female, long_hair = values["age"], values["gender"] == 2, values["hair"] == 2
    tone = rng.choices(range(len(palette.SKIN)), (3, 4, 4, 3, 2, 1))[0]
    # The fairer hair colours would not show on the darker skins.
    hairs = palette.OLD_HAIR if age == 4 else palette.HAIR[: 6 - tone]
    upper_color, upper_pattern = _draw_upper(rng, upper)
    lower_color, lower_pattern = _draw_lower(rng, lower)
    return Looks(
        skin=shade_of(palette.SKIN[tone], rng, 0.4),
        hair=shade_of(rng.choice(hairs), rng, 0.5),
        hair_style=_draw_hair_style(rng, age, female, long_hair),
        upper=upper_color,
        upper_accent=_contrast(rng, upper_color),
        upper_pattern=upper_pattern,
        lower=lower_color,
        lower_accent=_contrast(rng, lower_color),
        lower_pattern=lower_pattern,
        shoes=shade_of(rng.choice(palette.SHOES), rng),
        backpack=shade_of(rng.choice(palette.THINGS), rng),
        bag=shade_of(rng.choice(palette.THINGS), rng),
        bag_style=rng.choice(("tote", "cross") if female else ("cross",)),
        handbag=shade_of(rng.choice(palette.THINGS[2:]), rng),
        hat=shade_of(rng.choice((*palette.THINGS, *palette.UPPER.values())), rng),
        hat_style="sun" if female and rng.random() < 0.6 else "cap",
        glasses=rng.random() < 0.25,
        left_handed=rng.random() < 0.5,
        build=rng.triangular(0.86, 1.2 if age >= 3 else 1.1, 0.98),
        stature={1: 0.8, 2: 0.97, 3: 0.98, 4: 0.93}[age] * rng.uniform(0.97, 1.02),
        fold_phase=rng.uniform(0, 100),
    )


def _draw_hair_style(rng: Random, age: int, female: bool, long_hair: bool) -> str:
    if long_hair:
        return rng.choices(("loose", "ponytail"), (4, 1))[0]
    if female:
        return "bob"
    return rng.choices(("full", "cropped", "bald"), (5, 3, 3 if age == 4 else age == 3))[0]


def _draw_upper(rng: Random, word: str) -> tuple[Color, str]:
    if word:
        pattern = rng.choices(list(PATTERNS), list(PATTERNS.values()))[0]
        return shade_of(palette.UPPER[word], rng), pattern
    if rng.random() < 0.35:
        return shade_of(rng.choice(palette.NAMELESS_UPPER), rng, 0.5), "plain"
    return shade_of(rng.choice(list(palette.UPPER.values())), rng), rng.choice(LOUD_PATTERNS)


def _draw_lower(rng: Random, word: str) -> tuple[Color, str]:
    if word:
        return shade_of(palette.LOWER[word], rng), rng.choices(("plain", "piping"), (6, 1))[0]
    if rng.random() < 0.5:
        return shade_of(rng.choice(palette.NAMELESS_LOWER), rng, 0.5), "plain"
    word = rng.choice(LOWER_COLORS)
    return shade_of(palette.LOWER[word], rng), "floral"


def _contrast(rng: Random, color: Color) -> Color:
    """A colour that is seen on `color`: of a few, one that differs in brightness by 70 or more."""
    choices = [*palette.UPPER.values(), *palette.NAMELESS_UPPER]
    far = [other for other in choices if abs(sum(other) - sum(color)) >= 210]
    return shade_of(rng.choice(far), rng, 0.5)
