"""Whether query expansion pays: mAP and rank-1 by distance, expanded, re-ranked, and both.

.venv/bin/python benchmarks/expansion.py --home HOME --query NAME --gallery NAME [--gallery NAME]

Average query expansion (Chum et al., ICCV 2007): the query becomes the mean of itself and its
nearest gallery images, of length 1, and is searched again. alpha weighs each by its cosine to the
power of alpha (Radenovic et al., 2019).
"""

# Q queries, G gallery images, K neighbours, D=512 embedding numbers

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from db.connect import DatabaseAddress  # noqa: E402
from db.open import open_database  # noqa: E402
from evaluation.evaluate_reid import ReidTask, evaluate_reid, load_task  # noqa: E402
from gallery.collections import collection_named, collections_named  # noqa: E402
from gallery.models import chosen  # noqa: E402
from metrics.distances import squared_rows  # noqa: E402
from search.distance import Floats32  # noqa: E402
from search.rerank import Reranking  # noqa: E402

CANDIDATES = 200


def expanded(task: ReidTask, number: int, alpha: float, limit: float | None) -> ReidTask:
    """The task with each query moved to its `number` nearest, those within `limit` only. Copies of
    the query are no neighbours."""
    queries_QD, gallery_GD = task.queries.embeddings_GD, task.gallery.embeddings_GD
    moved: list[Floats32] = []
    rows = zip(queries_QD, task.queries.hashes_G, squared_rows(queries_QD, gallery_GD), strict=True)
    for query_D, content, squares_G in rows:
        squares_G = np.where(task.gallery.hashes_G == content, np.inf, squares_G)
        near_K = np.argsort(squares_G, kind="stable")[:number]
        near_K = near_K[squares_G[near_K] <= (np.inf if limit is None else limit**2)]
        weights_K = np.maximum(1 - squares_G[near_K] / 2, 0) ** alpha
        sum_D = query_D + weights_K @ gallery_GD[near_K]
        moved.append((sum_D / np.linalg.norm(sum_D)).astype(np.float32))
    return replace(task, queries=replace(task.queries, embeddings_GD=np.stack(moved)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--query", required=True)
    parser.add_argument("--gallery", action="append", required=True)
    asked = parser.parse_args()
    engine = open_database(DatabaseAddress(asked.home.absolute()))
    with engine.connect() as connection:
        model = chosen(engine, None)
        query = collection_named(connection, asked.query)
        galleries = tuple(collections_named(connection, tuple(asked.gallery)))
        task = load_task(connection, model, query, galleries)
    ways = {"by distance": task}
    for number in (1, 3, 5, 10):
        ways[f"{number} nearest"] = expanded(task, number, 0, None)
        ways[f"{number} nearest, alpha 3"] = expanded(task, number, 3, None)
    if model.max_distance is not None:
        ways["10 nearest within the limit"] = expanded(task, 10, 0, model.max_distance)
    print(f"{'':28}    mAP  rank-1  | re-ranked: mAP  rank-1")
    for name, one in ways.items():
        report = evaluate_reid(one, Reranking(candidates=CANDIDATES))
        assert report.reranked is not None
        figures = [(each.mAP, each.rank1) for each in (report.metrics, report.reranked)]
        plain, again = (f"{mean:6.3f}  {first:6.3f}" for mean, first in figures)
        print(f"{name:28} {plain}  |          {again}", flush=True)


if __name__ == "__main__":
    main()
