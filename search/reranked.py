"""One query's list in the order of k-reciprocal re-ranking.

The closest images that pass the filter are the candidates, and the whole gallery that re-ranking
knows: their neighbours are looked for among them. The rest keep their order after them.
"""

# C candidates, D=512 embedding numbers

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from db.arrays import vectors_from_send
from metrics.nearby import CANDIDATES
from search.found import Candidate
from search.question import BadQuestion, QueryPerson
from search.rerank import Reranking, alone

FEWEST, MOST = 500, 2_000  # candidates where nobody has said how many: docs/search.md
MAX_CANDIDATES = 20_000  # time grows with the square: some 20 s of one core


def reranking(
    limit: int | None, candidates: int | None, *, wanted: bool, limited: bool = False
) -> Reranking | None:
    """How a search re-ranks, None where that is not wanted. Without `candidates` their number
    follows the limit of the list; `limited` by a distance they are as many as when that was
    calibrated, since the re-ranked distance depends on them.

    Raises BadQuestion for candidates of no re-ranking, none at all, or more than `MAX_CANDIDATES`.
    """
    check_candidates(candidates, wanted=wanted)
    if not wanted:
        return None
    if candidates is None and limited:
        candidates = CANDIDATES
    if candidates is None:
        candidates = min(max(FEWEST, 4 * (limit or 0)), MOST)
    if candidates > MAX_CANDIDATES:
        raise BadQuestion(
            f"--candidates is {candidates:,}; expected at most {MAX_CANDIDATES:,}: time grows with "
            "the square"
        )
    return Reranking(candidates=candidates)


def check_candidates(candidates: int | None, *, wanted: bool) -> None:
    """Raises BadQuestion for candidates of no re-ranking."""
    if candidates is not None and not wanted:
        raise BadQuestion("--candidates says how many images --rerank puts in order; add --rerank")


def in_new_order(query: QueryPerson, found: Sequence[Candidate], how: Reranking) -> list[Candidate]:
    """`found` stands closest first. Ties of the new order are broken by path, as always."""
    assert how.candidates is not None
    candidates = sorted(found[: how.candidates], key=lambda one: one.by_path)
    if not candidates:
        return []
    embeddings_CD = vectors_from_send([one.row.bytes for one in candidates], len(query.embedding_D))
    distances_C = alone(query.embedding_D, embeddings_CD, how)
    order = np.argsort(distances_C, kind="stable").tolist()
    new = [replace(candidates[n], rerank_distance=float(distances_C[n])) for n in order]
    return [*new, *found[how.candidates :]]
