"""Several images of one person as one query, by the nearest of them.

The mean of their embeddings is one point; where the images differ much - front and back, with a bag
and without - it lies between them and near to none. Then the nearest image decides.
"""

from collections.abc import Sequence
from dataclasses import replace

from search.answer import Answer, Match
from search.question import Question


def nearest_of(answers: Sequence[Answer], question: Question, name: str) -> Answer:
    """One answer from those of at least one image, whose questions differ in the embedding alone.

    A match's distance is the least of its distances to the images. What stands within the limit of
    the merged list stands within it in the list of the image that it is nearest to, so that the
    merged list is complete where all are. Raises ValueError for re-ranked answers.
    """
    if any(answer.rerank for answer in answers):
        raise ValueError("expected answers that are ordered by distance")
    nearest: dict[int, Match] = {}
    for match in (match for answer in answers for match in answer.matches):
        known = nearest.get(match.image_id)
        if known is None or _order(match) < _order(known):
            nearest[match.image_id] = match
    limit = question.effective_limit
    merged = sorted(nearest.values(), key=_order)
    cut = limit is not None and len(merged) > limit
    reasons = dict.fromkeys(reason for answer in answers for reason in answer.reasons)
    if cut:
        reasons[f"cut off at the limit of {limit}"] = None
    return replace(
        answers[0],
        query=name,
        matches=tuple(replace(m, rank=rank) for rank, m in enumerate(merged[:limit], start=1)),
        complete=not reasons,
        reasons=tuple(reasons),
        seconds=sum(answer.seconds or 0.0 for answer in answers),
    )


def _order(match: Match) -> tuple[float, str, str, int]:
    assert match.distance is not None
    return match.distance, match.path, match.collection, match.image_id
