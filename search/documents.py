"""Answers as the documents that programs read: `reid search --format json`, and the API."""

from typing import Any

from search.answer import Answer
from search.answering import Answers
from search.explain import Explanation


def document(found: Answers) -> dict[str, Any]:
    """`{"queries", "failed"}`; `failed` holds the images that cannot be used, with the reason."""
    explained = zip(found.answers, found.explanations, strict=True)
    return {
        "queries": [to_json(answer, explanation) for answer, explanation in explained],
        "failed": [{"name": name, "reason": reason} for name, reason in found.failed.items()],
    }


def to_json(answer: Answer, explanation: Explanation | None = None) -> dict[str, Any]:
    """An answer as the contract writes it."""
    return {
        "query": answer.query,
        "model": answer.model,
        "max_distance": answer.max_distance,
        "max_distance_from": answer.max_distance_from,
        "filter": answer.filter,
        "complete": answer.complete,
        "incomplete_reason": answer.incomplete_reason,
        "candidates": answer.candidates,
        "candidates_estimated": answer.candidates_estimated,
        "plan": answer.plan,
        "reranked": answer.rerank is not None,
        "rerank": None if answer.rerank is None else answer.rerank.to_json(),
        "explain": None if explanation is None else explanation.to_json(),
        "matches": [
            {
                "rank": match.rank,
                "image_id": match.image_id,
                "collection": match.collection,
                "path": match.path,
                "distance": match.distance,
                "rerank_distance": match.rerank_distance,
                "pid": match.pid,
                "camid": match.camid,
                "attributes": dict(match.attributes),
            }
            for match in answer.matches
        ],
    }
