"""What `query run` and `export reid-test` cost beside the same list made by hand: CPU seconds of
this process and of the database server, and seconds on the clock.

.venv/bin/python benchmarks/export.py [--queries 2248] [--gallery 19679] [--matches 50000]

A database of its own with clustered random embeddings, one thread for NumPy, medians of runs in
turn. By hand: ids and embeddings by binary COPY, a product of blocks with a margin, float64 for
what is near, the file. The two files must be equal to the byte. Linux only: the server's time is
read from /proc.
"""

# Q queries, G gallery images, P pairs, A=56 scores, D=512 embedding numbers

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import numpy.typing as npt
import psycopg
from sqlalchemy import Connection, Engine, insert, text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from db.arrays import embeddings_from_copy, feature_rows  # noqa: E402
from db.connect import DatabaseAddress, make_engine  # noqa: E402
from db.schema import Image  # noqa: E402
from db.server.embedded import EmbeddedServer  # noqa: E402
from db.server.state import running  # noqa: E402
from db.upgrade import upgrade  # noqa: E402
from gallery.collections import collection_called  # noqa: E402
from gallery.model_rows import ModelRow, register  # noqa: E402
from gallery.store import write_features  # noqa: E402
from images.preprocessing import Preprocessing  # noqa: E402
from models.checkpoint import Header  # noqa: E402
from query_sets.queries import run as query_run  # noqa: E402
from query_sets.set_rows import NewImage, NewQuery, add_queries  # noqa: E402
from query_sets.sets import export_reid_test  # noqa: E402
from search.question import Question  # noqa: E402
from vocabulary import decide  # noqa: E402

SET = "benchmark"
BLOCK, FILL_BLOCK = 256, 2000
SLACK = 1e-5  # of squared distances of rows of length 1, in float32
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """People as rows of length 1, and a limit: of two gallery images that differ in the last bit of
    one number it lets the closer one in and not the other."""

    queries_QD: Floats
    gallery_GD: Floats
    max_distance: float


def draw(queries: int, gallery: int, matches: int) -> Drawn:
    """About thirty images a person; every tenth gallery image is there twice, every other of these
    with another last bit. The limit gives about so many matches."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(2, (queries + gallery) // 30), 512)).astype(np.float32)

    def images(number: int) -> Floats:
        rows_ND = centres[rng.integers(0, len(centres), number)]
        rows_ND += rng.normal(size=(number, 512)).astype(np.float32)
        rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
        return rows_ND

    queries_QD, gallery_GD = images(queries), images(gallery)
    gallery_GD[1::10] = gallery_GD[: len(gallery_GD) - 1 : 10]
    gallery_GD[1::20, 7] = np.nextafter(gallery_GD[1::20, 7], np.float32(2))
    sample = np.concatenate([exact(row_D, gallery_GD[::4]) for row_D in queries_QD[::16]])
    near = float(np.quantile(sample, matches / queries / gallery))
    # of the pairs of such images, and a query, that whose distances are nearest to it
    ends_2P = np.stack(
        [
            np.concatenate([exact(row_D, gallery_GD[n::20]) for row_D in queries_QD[::16]])
            for n in (0, 1)
        ]
    )
    ends_2P = ends_2P[:, ends_2P[0] != ends_2P[1]]
    limit = float(ends_2P[:, np.abs(ends_2P[0] - near).argmin()].mean())
    return Drawn(queries_QD, gallery_GD, limit)


def exact(a_PD: Floats, b_PD: Floats) -> npt.NDArray[np.float64]:
    """L2 distances of pairs, in float64 before they are subtracted."""
    difference_PD = a_PD.astype(np.float64) - b_PD.astype(np.float64)
    distances_P: npt.NDArray[np.float64] = np.sqrt((difference_PD * difference_PD).sum(-1))
    return distances_P


def fill(engine: Engine, drawn: Drawn) -> None:
    """A gallery whose ids are in another order than its paths, and a set of queries."""
    header = Header("drawn", Preprocessing(128, 64))
    with engine.begin() as connection:
        model = register(connection, "drawn", "00" * 32, header.to_json())
        gallery = collection_called(connection, "gallery", None)
        order = np.random.default_rng(1).permutation(len(drawn.gallery_GD))
        for start in range(0, len(order), FILL_BLOCK):
            _store(connection, model, gallery.id, drawn, order[start : start + FILL_BLOCK].tolist())
        queries = [
            NewQuery(f"q{n:06}.jpg", (NewImage(b"%032d" % n, b"jpeg" * 500, row_D, None),), None, 1)
            for n, row_D in enumerate(drawn.queries_QD)
        ]
        question = Question(max_distance=drawn.max_distance)
        add_queries(
            connection, SET, model, [gallery], question, auto_distance=False, queries=queries
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _store(
    connection: Connection, model: ModelRow, gallery_id: int, drawn: Drawn, rows: list[int]
) -> None:
    values: list[dict[str, Any]] = [
        {
            "collection_id": gallery_id,
            "path": f"{n:06}.jpg",
            "source": "nowhere",
            "content_hash": b"%032d" % n,
            "camid": 1 + n % 6,
        }
        for n in rows
    ]
    ids = connection.scalars(
        insert(Image).returning(Image.id, sort_by_parameter_order=True), values
    )
    scores_NA = np.random.default_rng(rows[0]).random((len(rows), 56), np.float32)
    data = feature_rows(
        model.id, gallery_id, ids.all(), [1 + n % 6 for n in rows],
        [decide(scores) for scores in scores_NA.tolist()], scores_NA, [1.0] * len(rows),
        drawn.gallery_GD[rows],
    )  # fmt: skip
    write_features(connection, data)


def by_hand(url: str, max_distance: float, out: Path) -> None:
    """The file as somebody writes it who has the tables and NumPy."""
    with psycopg.connect(url) as connection:
        ids_G, gallery_GD = _copied(connection, "SELECT image_id, embedding FROM feature")
        ids_Q, queries_QD = _copied(
            connection,
            "SELECT i.query_id, e.embedding FROM query_embedding e"
            " JOIN query_image i ON i.id = e.query_image_id",
        )
        g_names = {row[0]: row[1] for row in connection.execute("SELECT id, path FROM image")}
        q_names = {row[0]: row[1] for row in connection.execute("SELECT id, name FROM query")}
    names = [g_names[image_id] for image_id in ids_G.tolist()]
    order_G = np.array(sorted(range(len(names)), key=names.__getitem__))
    names, gallery_GD = [names[n] for n in order_G.tolist()], gallery_GD[order_G]
    squares_G = np.einsum("gd,gd->g", gallery_GD, gallery_GD)
    lines: dict[str, str] = {}
    for start in range(0, len(queries_QD), BLOCK):
        block_BD = queries_QD[start : start + BLOCK]
        own_B = np.einsum("bd,bd->b", block_BD, block_BD) - np.float32(max_distance**2 + SLACK)
        near_BG = 2 * (block_BD @ gallery_GD.T) >= own_B[:, None] + squares_G
        rows_P, columns_P = np.nonzero(near_BG)
        distances_P = exact(block_BD[rows_P], gallery_GD[columns_P])
        kept_P = np.flatnonzero(distances_P <= max_distance)
        kept_P = kept_P[np.lexsort((columns_P[kept_P], distances_P[kept_P], rows_P[kept_P]))]
        ends = np.searchsorted(rows_P[kept_P], np.arange(len(block_BD) + 1))
        columns = columns_P[kept_P].tolist()
        for n, query_id in enumerate(ids_Q[start : start + BLOCK].tolist()):
            matches = ", ".join([names[column] for column in columns[ends[n] : ends[n + 1]]])
            lines[q_names[query_id]] = f"{q_names[query_id]}: {matches}".rstrip()
    out.write_text("".join(f"{lines[name]}\n" for name in sorted(lines)))


def _copied(
    connection: "psycopg.Connection[Any]", stmt: str
) -> tuple[npt.NDArray[np.int64], Floats]:
    with connection.cursor().copy(f"COPY ({stmt}) TO STDOUT (FORMAT binary)".encode()) as copy:
        return embeddings_from_copy(b"".join(copy), 512)


def pair_by_pair(drawn: Drawn, queries: int) -> None:
    """One distance at a time, as NumPy gives it."""
    for query_D in drawn.queries_QD[:queries]:
        found = []
        for number, row_D in enumerate(drawn.gallery_GD):
            distance = np.linalg.norm(query_D - row_D)
            if distance <= drawn.max_distance:
                found.append((distance, number))
        found.sort()


def pair_by_pair_torch(drawn: Drawn, queries: int) -> Callable[[], None]:
    """The same with PyTorch's distance of two tensors, as the report's extractor has them."""
    import torch
    from torch.nn.functional import pairwise_distance

    torch.set_num_threads(1)
    rows = [torch.from_numpy(row_D[None]) for row_D in drawn.gallery_GD]

    def compare() -> None:
        for query_D in drawn.queries_QD[:queries]:
            query_1D = torch.from_numpy(query_D[None])
            found = []
            for number, row_1D in enumerate(rows):
                distance = pairwise_distance(query_1D, row_1D).item()
                if distance <= drawn.max_distance:
                    found.append((distance, number))
            found.sort()

    return compare


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process and of the server, and seconds on the clock."""

    here: float
    server: float
    clock: float

    @property
    def cpu(self) -> float:
        return self.here + self.server

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.here + other.here, self.server + other.server, self.clock + other.clock)


def measured(server: EmbeddedServer, work: Callable[[], object]) -> Cost:
    before = server_cpu(server), time.process_time(), time.perf_counter()
    work()
    after = server_cpu(server), time.process_time(), time.perf_counter()
    there, here, clock = (end - start for start, end in zip(before, after, strict=True))
    return Cost(here, there, clock)


def server_cpu(server: EmbeddedServer) -> float:
    """Of the server with all its processes, those that have ended too; in steps of a tick."""
    found = running(server.data)
    assert found is not None
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            facts = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(entry.name) == found.pid:
            ticks += sum(map(int, facts[11:15]))
        elif int(facts[1]) == found.pid:
            ticks += sum(map(int, facts[11:13]))
    return ticks * TICK_S


def medians(costs: list[Cost]) -> Cost:
    return Cost(
        *(
            statistics.median(getattr(c, name) for c in costs)
            for name in ("here", "server", "clock")
        )
    )


def compare(engine: Engine, server: EmbeddedServer, drawn: Drawn, folder: Path, turns: int) -> None:
    """The table; each row has its ratio to the first."""
    mine, theirs = folder / "by_hand.txt", folder / "reid_test.txt"
    work: dict[str, Callable[[], object]] = {
        "by hand": lambda: by_hand(server.url(), drawn.max_distance, mine),
        "query run": lambda: query_run(engine, SET, None, None),
        "export reid-test": lambda: export_reid_test(engine, SET, theirs),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, function in work.items():
            cost = measured(server, function)
            if turn:  # the first warms caches
                costs[name].append(cost)
        assert mine.read_bytes() == theirs.read_bytes(), "the files differ"
    both = [a + b for a, b in zip(costs["query run"], costs["export reid-test"], strict=True)]
    table = {name: medians(found) for name, found in {**costs, "both": both}.items()}
    few = 3
    scale = len(drawn.queries_QD) / few
    torch_pairs = pair_by_pair_torch(drawn, few)
    for name, function in (
        ("pair by pair, NumPy", lambda: pair_by_pair(drawn, few)),
        ("pair by pair, PyTorch", torch_pairs),
    ):
        cost = measured(server, function)
        table[name] = Cost(cost.here * scale, 0.0, cost.clock * scale)
    show(table)
    lines = theirs.read_text().splitlines()
    matches = sum(line.count(".jpg") - 1 for line in lines)
    print(f"equal files: {len(lines)} lines, {matches} matches")
    print(f"pair by pair: measured on {few} queries, scaled")


def show(table: dict[str, Cost]) -> None:
    first = table["by hand"]
    print(f"{'what':<22} {'CPU s':>8} {'here':>8} {'server':>7} {'x':>7} {'clock s':>8} {'x':>7}")
    for name, cost in table.items():
        print(
            f"{name:<22} {cost.cpu:>8.2f} {cost.here:>8.2f} {cost.server:>7.2f} "
            f"{cost.cpu / first.cpu:>7.2f} {cost.clock:>8.2f} {cost.clock / first.clock:>7.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=2248)
    parser.add_argument("--gallery", type=int, default=19679)
    parser.add_argument("--matches", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="reid-benchmark-"))
    server = EmbeddedServer(folder)
    engine = make_engine(DatabaseAddress(folder))
    try:
        upgrade(engine)
        drawn = draw(given.queries, given.gallery, given.matches)
        fill(engine, drawn)
        compare(engine, server, drawn, folder, given.turns)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory of this process, filling and PyTorch included: {peak:.0f} MiB")
    finally:
        engine.dispose()
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
