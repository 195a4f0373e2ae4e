"""Many queries at once: the order of float64 to the last bit, and runs of several blocks."""

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from sqlalchemy import Engine, text

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets import runs
from query_sets.batch_request import answer_many
from query_sets.batch_search import RankedImages, rank_many
from query_sets.read_run import stored_answers
from search.distance import exact_l2
from search.exact import answer_one
from search.question import QueryPerson, Question, Scope
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import add, at, exported, query, run

STEPS = 24


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


def nearly_equal() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A query and rows of length 1, each row a last bit of one number farther away."""
    rng = np.random.default_rng(4)
    query_D, row_D = rng.normal(size=(2, 512)).astype(np.float32)
    query_D, row_D = query_D / np.linalg.norm(query_D), row_D / np.linalg.norm(row_D)
    widest = int(np.abs(query_D - row_D).argmax())
    rows = [row_D]
    for _ in range(STEPS - 1):
        farther_D = rows[-1].copy()
        away = np.float32(np.copysign(2, row_D[widest] - query_D[widest]))
        farther_D[widest] = np.nextafter(farther_D[widest], away)
        rows.append(farther_D)
    return query_D, np.stack(rows)


def test_float32_cannot_tell_what_the_order_is() -> None:
    """What the next test asks is not answered by the candidates' own distances."""
    query_D, rows_ND = nearly_equal()
    squares_N = np.square(query_D).sum() + np.square(rows_ND).sum(1) - 2 * rows_ND @ query_D
    assert (np.diff(exact_l2(query_D, rows_ND)) > 0).all()
    assert not (np.diff(squares_N) > 0).all()


def test_the_last_bit_decides_at_the_edge(engine: Engine, model: ModelRow) -> None:
    """A limit at a row's own distance, or beside it, lets in what float64 says, in its order."""
    query_D, rows_ND = nearly_equal()
    distances = exact_l2(query_D, rows_ND)
    gallery = collection(engine, "gallery")
    # closest last by path; each is there twice
    names = [f"{STEPS - n:03}{copy}.jpg" for n in range(STEPS) for copy in "ab"]
    items = [Stored(name, rows_ND[n // 2]) for n, name in enumerate(names)]
    scope, person = Scope(model, (gallery,)), QueryPerson("q", query_D)
    with engine.begin() as connection:
        store(connection, model, gallery, items)
        for last, distance in enumerate(distances.tolist()):
            for limit, found in (
                (distance, last + 1),
                (np.nextafter(distance, 9), last + 1),
                (np.nextafter(distance, 0), last),
            ):
                question = Question(max_distance=float(limit))
                answer = answer_many(connection, scope, question, [person])[0]
                assert [match.path for match in answer.matches] == names[: 2 * found]
                assert answer == answer_one(connection, scope, question, person)


def test_a_run_of_several_blocks(
    engine: Engine, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list is stored whole, in its own order, whatever block it is in; some hold nothing."""
    monkeypatch.setattr(runs, "_BLOCK", 7)
    gallery = collection(engine, "gallery")
    with engine.begin() as connection:
        store(connection, model, gallery, [Stored(f"{n}.jpg", at(n)) for n in range(40)])
    positions = [n * 1.75 for n in range(40)]
    queries = [query(f"{n:03}.jpg", position) for n, position in enumerate(positions)]
    question = Question(max_distance=2.0)
    add(engine, model, [gallery], queries, question)
    summary = run(engine, model)
    people = [
        QueryPerson(f"{n:03}.jpg", at(position), (b"?",), 1, identities="default")
        for n, position in enumerate(positions)
    ]
    with engine.connect() as connection:
        expected = answer_many(connection, Scope(model, (gallery,)), question, people)
        stored = [kept.answer for kept in stored_answers(connection, summary.id)]
        ranks = connection.scalars(text("SELECT array_agg(rank) FROM match GROUP BY query_id"))
        assert all(sorted(own) == list(range(1, len(own) + 1)) for own in ranks)
    assert stored == expected
    assert summary.matches == sum(len(answer.matches) for answer in expected)
    assert summary.with_matches == sum(len(answer.matches) > 0 for answer in expected) == 24
    assert exported(engine).splitlines()[1] == "001.jpg: 2.jpg, 1.jpg, 3.jpg, 0.jpg"
    assert exported(engine).splitlines()[-1] == "039.jpg:"


def test_a_block_that_fails_fails_the_run(
    engine: Engine, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server says of one block is heard, and nothing of the others stays."""
    monkeypatch.setattr(runs, "_BLOCK", 1)
    gallery: CollectionRow = collection(engine, "gallery")
    with engine.begin() as connection:
        store(connection, model, gallery, [Stored("a.jpg", at(0))])
    add(engine, model, [gallery], [query(f"{n}.jpg", 0) for n in range(3)])

    def with_a_stranger(*given: object) -> list[RankedImages]:
        lists = list(rank_many(*given))  # type: ignore[arg-type]
        nobody = np.array([lists[1].image_ids[0] + 77])
        lists[1] = RankedImages(lists[1].query, 1, nobody, lists[1].distances, False)
        return lists

    monkeypatch.setattr(runs, "rank_many", with_a_stranger)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run(engine, model)
    with engine.connect() as connection:
        for table in ("run", "run_query", "match"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
