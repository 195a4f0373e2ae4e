"""What re-ranking one answer of a search costs, by the number of candidates: CPU seconds of one
core, and the most memory that is held beside the embeddings.

OPENBLAS_NUM_THREADS=1 .venv/bin/python benchmarks/rerank.py [--candidates 200 --candidates 2000]

Clustered random embeddings, about twelve images a person. Time and memory are measured apart.
"""

# C candidates, D=512 embedding numbers

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from search.distance import Floats32  # noqa: E402
from search.rerank import Reranking, rerank  # noqa: E402


def drawn(count: int) -> Floats32:
    """(C, D), L2-normalised."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(2, count // 12), 512))
    rows_CD = centres[rng.integers(len(centres), size=count)] + rng.normal(size=(count, 512))
    rows_CD /= np.linalg.norm(rows_CD, axis=1, keepdims=True)
    return rows_CD.astype(np.float32)


def cost(rows_CD: Floats32) -> tuple[float, float]:
    """(seconds, MiB)"""
    how = Reranking(candidates=len(rows_CD))
    started = time.process_time()
    next(rerank(rows_CD[:1], rows_CD, how))
    seconds = time.process_time() - started
    tracemalloc.start()
    next(rerank(rows_CD[:1], rows_CD, how))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, action="append")
    counts = parser.parse_args().candidates or [200, 1_000, 2_000, 5_000, 20_000]
    cost(drawn(50))
    print("candidates  seconds    MiB")
    for count in counts:
        seconds, peak = cost(drawn(count))
        print(f"{count:10,}  {seconds:7.2f}  {peak:5.0f}")


if __name__ == "__main__":
    main()
