"""How an answer came about, in words: the filter, the plan, the statement, the limit, the times.

Nothing is asked twice: the planner says what it does with the statement that was run, the number of
rows and the times are the answer's own.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from gallery.model_rows import ModelRow
from search.answer import Answer
from search.approximate import breadth, through_graph
from search.filters.words import in_words
from search.plan import plan_of
from search.question import Question
from search.rerank import Reranking
from search.statement import as_psycopg


@dataclass(frozen=True)
class Explanation:
    """`estimated` is the planner's guess of how many rows pass the filter, `passed` their number.
    `exact` is False where an approximate index proposed the rows. `seconds` by step, in order;
    `filter` and `rerank` are None where there is none."""

    filter: str | None
    estimated: int
    passed: int
    way: str
    plan: str
    exact: bool
    statement: str
    max_distance: str
    rerank: str | None
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield lines for people to read, one fact a line; the statement takes several."""
        yield f"filter: {self.filter or 'none, every image passes'}"
        yield f"rows: {self.passed:,} passed, the planner expected {self.estimated:,}"
        yield f"distance: {self.max_distance}"
        if self.rerank:
            yield f"order: {self.rerank}"
        yield f"way: {self.way}"
        yield f"plan: {self.plan}"
        times = (f"{name} {seconds * 1000:.1f} ms" for name, seconds in self.seconds.items())
        yield f"time: {', '.join(times)}"
        yield "statement:"
        yield from (f"  {line.strip()}" for line in self.statement.splitlines())


def explain(
    connection: Connection,
    model: ModelRow,
    question: Question,
    answer: Answer,
    embedding_seconds: float | None = None,
) -> Explanation:
    """Explain an answer that was given on this connection; `embedding_seconds` went before it."""
    work = answer.work
    assert work is not None and work.statement is not None
    index = work.route.index
    with through_graph(connection, breadth(index)) if index else nullcontext():
        plan = plan_of(connection, work.statement)
    before = {} if embedding_seconds is None else {"embedding": embedding_seconds}
    return Explanation(
        filter=None if question.filter is None else in_words(question.filter),
        estimated=plan_of(connection, work.filtered).rows,
        passed=answer.candidates,
        way=answer.plan,
        plan=plan.words,
        exact=plan.exact,
        statement=as_psycopg(connection, work.statement, shortened=True),
        max_distance=_limit_in_words(question, model),
        rerank=None if answer.rerank is None else _order_in_words(answer.rerank),
        seconds={**before, **work.seconds},
    )


def _limit_in_words(question: Question, model: ModelRow) -> str:
    """The distance limit and where it came from."""
    if question.max_distance is None:
        return "no limit"
    limit = f"at most {question.max_distance:.6g}"
    if question.max_distance_from == "given":
        return f"{limit}, as given"
    return f"{limit}, `auto` of model {model.name!r}, {_calibrated(model.calibration)}"


def _calibrated(facts: Mapping[str, Any]) -> str:
    """When and on whom a model's limit was chosen, and what was expected of it there."""
    if facts.get("source") == "verdicts":
        sets = " and ".join(repr(name) for name in facts["sets"])
        said = f"calibrated {facts['calibrated_at']} on the verdicts of {sets}"
    elif "calibrated_at" in facts:
        strangers = "".join(f" and {name!r}" for name in facts.get("distractors", ()))
        said = f"calibrated {facts['calibrated_at']} on {facts['collection']!r}{strangers}"
    else:
        said = "chosen when it was trained"
    if "num_pairs" in facts:
        said += f", over {facts['num_pairs']:,} pairs"
    if "precision" in facts and "recall" in facts:
        said += f" (precision {facts['precision']:.2f}, recall {facts['recall']:.2f} there)"
    return said


def _order_in_words(how: Reranking) -> str:
    return (
        f"re-ranked by k-reciprocal neighbours among the {how.candidates:,} closest images that "
        f"passed (k1 {how.k1}, k2 {how.k2}, lambda {how.lambda_}); the rest keep their order after"
    )
