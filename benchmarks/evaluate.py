"""What an evaluation costs beside the product and the sort that it consists of: CPU seconds, peak
memory.

.venv/bin/python benchmarks/evaluate.py [--queries 2248] [--gallery 19679] [--candidates 100]

Clustered random embeddings of the real sizes; each row is a process of its own, with one thread.
"""

# Q queries, G gallery images, D=512 embedding numbers

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from evaluation.evaluate_reid import ReidTask, evaluate_reid  # noqa: E402
from gallery.collections import CollectionRow  # noqa: E402
from gallery.model_rows import ModelRow  # noqa: E402
from metrics.distances import squared_blocks  # noqa: E402
from query_sets.batch_search import Gallery  # noqa: E402
from search.rerank import Reranking  # noqa: E402

BLOCK = 128


def drawn_task(queries: int, gallery: int) -> ReidTask:
    """About twelve images a person, on six cameras."""
    rng = np.random.default_rng(0)
    people = max(2, (queries + gallery) // 12)
    centres = rng.normal(size=(people, 512)).astype(np.float32)

    def images(number: int) -> Gallery:
        pids = rng.integers(0, people, number)
        rows_ND = centres[pids] + rng.normal(size=(number, 512)).astype(np.float32)
        rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
        hashes = np.array([rng.bytes(32) for _ in range(number)], object)
        space = np.full(number, "default", object)
        camids = rng.integers(1, 7, number)
        return Gallery(np.arange(number), rows_ND, camids, pids + 1, hashes, space)

    model = ModelRow(1, "drawn", "", "", 512, None, {}, {}, {}, True)
    asked, searched = images(queries), images(gallery)
    query, everything = CollectionRow(1, "q", "default", 0), np.zeros(gallery, bool)
    return ReidTask(model, query, asked, searched, searched.pids_G, everything)


def run(stage: str, task: ReidTask, candidates: int) -> None:
    """One row of the table."""
    queries_QD, gallery_GD = task.queries.embeddings_GD, task.gallery.embeddings_GD
    if stage == "product and sort":
        gallery_DG = gallery_GD.astype(np.float64).T
        for start in range(0, len(queries_QD), BLOCK):
            np.argsort(-(queries_QD[start : start + BLOCK].astype(np.float64) @ gallery_DG))
    elif stage == "distances":
        for _ in squared_blocks(queries_QD, gallery_GD):
            pass
    elif stage == "evaluate reid":
        evaluate_reid(task)
    elif stage == "evaluate reid --rerank":
        evaluate_reid(task, Reranking())
    elif stage == "... --candidates":
        evaluate_reid(task, Reranking(candidates=candidates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=2248)
    parser.add_argument("--gallery", type=int, default=19679)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        task = drawn_task(given.queries, given.gallery)
        start = time.process_time()
        run(given.stage, task, given.candidates)
        seconds = time.process_time() - start
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(f"{'what':<24} {'CPU s':>7} {'x':>6} {'peak MiB':>9}")
    stages = ("nothing", "product and sort", "distances", "evaluate reid",
              "evaluate reid --rerank", "... --candidates")  # fmt: skip
    alone = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    first = 0.0
    for stage in stages:
        command = [sys.executable, __file__, *sys.argv[1:], "--stage", stage]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=alone)
        seconds, peak = map(float, done.stdout.split())
        first = seconds if stage == "product and sort" else first
        ratio = f"{seconds / first:.2f}" if first else ""
        print(f"{stage:<24} {seconds:>7.2f} {ratio:>6} {peak:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
