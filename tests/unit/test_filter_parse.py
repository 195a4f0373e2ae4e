"""Texts and the trees that they mean."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from search.filters.leaves import (
    LabelIs,
    NumberCompare,
    NumberIn,
    PathStarts,
    ScoreCompare,
    TakenCompare,
    TextIn,
    TimeCompare,
)
from search.filters.parse import parse
from search.filters.tree import And, Filter, Not, Or

HAT = LabelIs("hat", ("yes",))
BAG = LabelIs("bag", ("yes",))
FEMALE = LabelIs("gender", ("female",))


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("gender = female", FEMALE),
        ("GENDER=FeMale", FEMALE),
        ("gender != female", Not(FEMALE)),
        ("not gender = female", Not(FEMALE)),
        ("upper_color in (red, white)", LabelIs("upper_color", ("red", "white"))),
        ("upper_color in (red, RED)", LabelIs("upper_color", ("red",))),
        ("lower_color not in (pink)", Not(LabelIs("lower_color", ("pink",)))),
        ("lower_color = unknown", LabelIs("lower_color", ("unknown",))),
        ("hat", HAT),
        ("hat = yes", HAT),
        ("hat = no", LabelIs("hat", ("no",))),
        ("not hat", Not(HAT)),
        ("not not hat", Not(Not(HAT))),
        ("backpack >= 0.8", ScoreCompare("backpack-2", ">=", 0.8)),
        ("hat between 0.2 and 0.9", parse("hat >= 0.2 and hat <= 0.9")),
        ("upred-2 >= .7", ScoreCompare("upred-2", ">=", 0.7)),
        ('"UpRed-2" < 5e-1', ScoreCompare("upred-2", "<", 0.5)),
        ("age-4 != 1", Not(ScoreCompare("age-4", "=", 1.0))),
        ("quality > -0", NumberCompare("quality", ">", 0.0)),
        ("quality = 0.5", NumberCompare("quality", "=", 0.5)),
        ("camera = 3", NumberIn("camera", (3,))),
        ("camera in (1,2)", NumberIn("camera", (1, 2))),
        ("camera != 3", Not(NumberIn("camera", (3,)))),
        ("camera <= 3", NumberCompare("camera", "<=", 3)),
        ("pid not in (0, -1)", Not(NumberIn("pid", (0, -1)))),
        ("collection = market-gallery", TextIn("collection", ("market-gallery",))),
        ("collection in ('Say ''hi''', \"a\"\"b\")", TextIn("collection", ("Say 'hi'", 'a"b'))),
        ("path = cam3/0001.jpg", TextIn("path", ("cam3/0001.jpg",))),
        ('path = "cam3/"', PathStarts("cam3/")),
        ('path starts with "cam3/00"', PathStarts("cam3/00")),
        ("path starts with a\\b", PathStarts("a\\b")),
        ("not path Starts With x", Not(PathStarts("x"))),
        ("taken >= 2026-11-01", TakenCompare(">=", at(2026, 11, 1))),
        ("Taken = 2026-11-01", parse("taken >= 2026-11-01 and taken < 2026-11-02")),
        ("ingested >= 2026-11-01", TimeCompare(">=", at(2026, 11, 1))),
        ("ingested > 2026-11-01", TimeCompare(">=", at(2026, 11, 2))),
        ("ingested <= 2026-11-01", TimeCompare("<", at(2026, 11, 2))),
        ("ingested < 2026-11-01", TimeCompare("<", at(2026, 11, 1))),
        ("ingested = 2026-11-01", parse("ingested >= 2026-11-01 and ingested < 2026-11-02")),
        (
            "ingested between 2026-11-01 and 2026-11-01",
            parse("ingested >= 2026-11-01 and ingested < 2026-11-02"),
        ),
        ("ingested <= 2026-11-01T08:30", TimeCompare("<=", at(2026, 11, 1, 8, 30))),
        ("ingested < 2026-11-01 08:30:15", TimeCompare("<", at(2026, 11, 1, 8, 30, 15))),
        ("ingested < '2026-11-01T08:30+02:00'", TimeCompare("<", at(2026, 11, 1, 6, 30))),
        ("hat and bag or gender = female", Or((And((HAT, BAG)), FEMALE))),
        ("hat and (bag or gender = female)", And((HAT, Or((BAG, FEMALE))))),
        ("not hat and bag", And((Not(HAT), BAG))),
        ("not (hat and bag)", Not(And((HAT, BAG)))),
        ("((hat))AND(bag)", And((HAT, BAG))),
        ("(hat and bag) and gender = female", And((HAT, BAG, FEMALE))),
        ("hat\n  or\tbag", Or((HAT, BAG))),
    ],
)
def test_text_means_tree(text: str, tree: Filter) -> None:
    assert parse(text) == tree


def test_design_example() -> None:
    text = (
        "gender = female and upper_color in (red, white) and backpack >= 0.8"
        " and not hat and camera = 3"
    )
    assert parse(text) == And(
        (
            FEMALE,
            LabelIs("upper_color", ("red", "white")),
            ScoreCompare("backpack-2", ">=", 0.8),
            Not(HAT),
            NumberIn("camera", (3,)),
        )
    )


def test_a_thousand_values_fit() -> None:
    pids = tuple(range(1_000, 2_000))
    assert parse(f"pid in ({', '.join(map(str, pids))})") == NumberIn("pid", pids)


def test_fifty_levels_and_many_brackets_fit() -> None:
    parse("not " * 49 + "hat")
    assert parse("(" * 2_000 + "hat" + ")" * 2_000) == HAT


def test_parse_alone_loads_neither_lark_nor_sqlalchemy() -> None:
    code = (
        "import sys, search.filters.parse, search.filters.words;"
        "print([name for name in ('lark', 'sqlalchemy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
