"""The estimate of how many rows pass is near the truth, where the planner's own is not."""

# N images, A=56 scores, D=512 embedding numbers

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, func, text

from db.connect import DatabaseAddress, make_engine
from db.schema import Feature
from search.filters.parse import parse
from search.question import QueryPerson, Question, Scope
from search.selectivity import Estimate, estimate
from search.statement import passing, planned
from tests.fakes import Stored, collection, register_fake_model, store
from vocabulary import LABEL_OF

ROWS = 20_000  # 6,700 pages
IMAGES = 20  # of a person, one after the other, as files in sorted order come
PAGES = 300  # of a first sample: 900 rows
UNKNOWN_TO_THE_PLANNER = ("hat >= 0.9", "backpack >= 0.95", "hat-1 < 0.2 and backpack-1 < 0.2")
FILTERS = (
    None,
    "gender = female",
    "gender = female and hair = long",
    "gender = female and hair = short",
    "not gender = female and not hair = short",
    "upper_color in (red, white)",
    "upper_color = unknown",
    "hat",
    "not hat",
    "hat and backpack",
    "hat >= 0.5",
    *UNKNOWN_TO_THE_PLANNER,
    "bag between 0.1 and 0.3",
    "hat >= 0.5 or camera = 3",
    "hair-2 >= 0.9 and gender-2 >= 0.9",
    "quality >= 0.9",
    "quality < 0.01",
    "camera = 3",
    "camera != 3 and hat >= 0.2",
    "pid in (1, 2)",
    "pid < 300",
    "pid < 300 and hat >= 0.5",
    'path starts with "00"',
    "collection = large",
    "collection = large and hat >= 0.5",
    "ingested >= 2020-01-01",
)


def people(first: int, count: int, seed: int) -> list[Stored]:
    """Rows whose scores belong to people; long hair goes with being female, almost always."""
    rng = np.random.default_rng(seed)
    embedding_D = np.zeros(512, np.float32)
    made: list[Stored] = []
    for pid in range(first, first + count // IMAGES):
        own_A = rng.beta(0.15, 1.5, 56)
        second = {"gender": rng.random() < 0.4, "hat": pid % 50 == 0, "backpack": pid % 20 == 0}
        second["hair"] = second["gender"] != (rng.random() < 0.01)
        for name, is_second in second.items():
            sure = rng.uniform(0.75, 0.995)
            own_A[LABEL_OF[f"{name}-2"] - 1] = sure if is_second else 1 - sure
        for number in range(IMAGES):
            scores_A = np.clip(own_A + rng.normal(0, 0.02, 56), 0, 1).astype(np.float32)
            for name in second:
                scores_A[LABEL_OF[f"{name}-1"] - 1] = 1 - scores_A[LABEL_OF[f"{name}-2"] - 1]
            made.append(
                Stored(
                    path=f"{pid:04}/{number:02}.jpg",
                    embedding=embedding_D,
                    scores=scores_A.tolist(),
                    pid=pid,
                    camid=1 + number // 7,
                    quality=float(rng.random()),
                )
            )
    return made


@pytest.fixture(scope="module")
def engine(clone: Callable[[], AbstractContextManager[str]]) -> Iterator[Engine]:
    """One database for all tests of this file: they only read."""
    with clone() as url:
        made = make_engine(DatabaseAddress(Path(), url))
        yield made
        made.dispose()


@pytest.fixture(scope="module")
def scope(engine: Engine) -> Scope:
    model = register_fake_model(engine)
    galleries = (collection(engine, "large"), collection(engine, "small"))
    with engine.begin() as connection:
        store(connection, model, galleries[0], people(1, ROWS * 9 // 10, seed=1))
        store(connection, model, galleries[1], people(901, ROWS // 10, seed=2))
        connection.execute(text("ANALYZE"))
    return Scope(model, galleries)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connected:
        yield connected


def asked(filter: str | None) -> Question:
    return Question(parse(filter) if filter else None)


def truth(connection: Connection, scope: Scope, question: Question) -> int:
    count: int = connection.execute(passing(scope, question, func.count())).scalar_one()
    return count


def factor(estimated: float, true: int) -> float:
    """1 for a good estimate, 3 for one that is three times too large or too small."""
    assert true
    return max(estimated, 1e-9) / true if estimated > true else true / max(estimated, 1e-9)


def test_within_a_factor_of_three_of_the_truth(connection: Connection, scope: Scope) -> None:
    for filter in FILTERS:
        question = asked(filter)
        true = truth(connection, scope, question)
        assert true >= ROWS / 1000, filter
        found = estimate(connection, scope, question, pages=PAGES)
        assert found.how != "count"
        assert factor(found.rows, true) < 3, (filter, true, found)
        assert factor(found.total, ROWS) < 1.15
        assert found.share == pytest.approx(min(1, found.rows / found.total))


def test_the_planner_alone_would_not_do(connection: Connection, scope: Scope) -> None:
    for filter in (*UNKNOWN_TO_THE_PLANNER, "gender = female and hair = short"):
        question = asked(filter)
        expected = planned(connection, passing(scope, question, Feature.image_id))["Plan Rows"]
        assert factor(expected, truth(connection, scope, question)) > 4, filter


def test_what_no_sampled_row_has_is_few(connection: Connection, scope: Scope) -> None:
    for filter in (
        "hat-2 = 0.123456",
        "pid = 77777",
        "collection = nobody",
        "hat and hair-2 = 0.25",
    ):
        found = estimate(connection, scope, asked(filter), pages=PAGES)
        assert found.how == "planner"
        assert found.rows <= 3 * 6_700 / PAGES * 1.01
    rare = estimate(connection, scope, asked("pid = 7"), pages=PAGES)
    assert factor(rare.rows, IMAGES) < 2  # the planner knows how many images a person has


def test_a_small_scope_is_counted(connection: Connection, scope: Scope) -> None:
    small = Scope(scope.model, scope.galleries[1:])
    for filter in ("hat >= 0.9", "pid = 903", "pid = 1"):
        true = truth(connection, small, asked(filter))
        assert estimate(connection, small, asked(filter), pages=PAGES) == Estimate(
            true, ROWS / 10, "count"
        )
    whole = estimate(connection, scope, asked("hat >= 0.9"), pages=10_000)
    assert whole == Estimate(truth(connection, scope, asked("hat >= 0.9")), ROWS, "count")


def test_an_empty_scope(connection: Connection, scope: Scope) -> None:
    found = estimate(connection, Scope(scope.model, ()), asked("hat"), pages=PAGES)
    assert (found, found.share) == (Estimate(0, 0, "count"), 0)


def test_what_is_left_out_for_a_query_does_not_count(connection: Connection, scope: Scope) -> None:
    question = Question(not_same_camera=True, no_duplicates=True)
    query = QueryPerson("q", np.zeros(512, np.float32), (b"\0" * 32,), camid=1)
    found = estimate(connection, scope, question, query, pages=PAGES)
    assert found.how == "sample"
    assert found.share == pytest.approx(13 / 20, abs=0.08)
    assert estimate(connection, scope, question, pages=PAGES).share == 1


def test_the_same_data_gives_the_same_estimate(connection: Connection, scope: Scope) -> None:
    question = asked("hat >= 0.5 and pid < 600")
    assert len({estimate(connection, scope, question, pages=PAGES) for _ in range(8)}) == 1


def test_without_statistics(connection: Connection, scope: Scope) -> None:
    """Right after the first ingest nothing is known; the sample does not care."""
    connection.execute(text("DELETE FROM pg_statistic"))
    question = asked("hat >= 0.5")
    found = estimate(connection, scope, question, pages=PAGES)
    assert factor(found.rows, truth(connection, scope, question)) < 2


def test_only_the_sample_is_read(connection: Connection, scope: Scope) -> None:
    stmt = text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'image'")
    before = connection.execute(stmt).scalar_one()
    for filter in ("pid < 300", 'path starts with "00" and hat >= 0.5', "collection = large"):
        estimate(connection, scope, asked(filter), pages=PAGES)
    assert connection.execute(stmt).scalar_one() == before
    truth(connection, scope, asked('path starts with "0"'))
    assert connection.execute(stmt).scalar_one() > before
