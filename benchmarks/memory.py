"""A worker's memory as it goes through many images, and how fast a known folder is gone through.

.venv/bin/python benchmarks/memory.py [--count 20000]

Drawn JPEGs of 64x128, each with bytes of its own, and a network that only repeats numbers, so that
everything else is what the worker does: it claims, reads, hashes, decodes in two other processes,
and stores. The worker is a process of its own; the folder was registered by another. At each
thousand it says what it holds, and at the end the most that it held. Linux only.
"""

# N images, A=56 scores, D=512 embedding numbers

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.costs import own_database  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.open import open_database  # noqa: E402
from gallery.model_rows import active_model, register  # noqa: E402
from images.preprocessing import Pixels, Preprocessing  # noqa: E402
from ingest.options import Options  # noqa: E402
from ingest.run import ingest  # noqa: E402
from ingest.worker import Progress, Worker  # noqa: E402
from models.checkpoint import Header  # noqa: E402
from models.outputs import Outputs  # noqa: E402

SIZE = Preprocessing(192, 96)  # what the default model looks at
EVERY = 1000
_BATCH = 64


class Repeating:
    """A network that looks at nothing."""

    name = "repeats numbers"
    preprocessing = SIZE

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._scores_NA = rng.random((_BATCH, 56), np.float32)
        self._embeddings_ND = rng.normal(size=(_BATCH, 512)).astype(np.float32)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        count = len(pixels_NHWC)
        return Outputs(self._scores_NA[:count], self._embeddings_ND[:count], None)


def draw(folder: Path, count: int) -> None:
    """People nobody would take for one: blocks of colour, as many files as asked for."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        blocks = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        name = f"{1 + number // 17:06}_c{1 + number % 6}_{number:07}.jpg"
        blocks.resize((64, 128), Image.Resampling.BILINEAR).save(folder / name, quality=85)


def held_mib(field: str) -> float:
    """Of this process: "VmRSS" is what it holds now, "VmHWM" the most that it has held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{field} is not in /proc/self/status")


def work(home: Path) -> None:
    """The worker's process."""
    engine = open_database(DatabaseAddress(home))
    with engine.begin() as connection:
        model = active_model(connection)
    assert model is not None
    peaks: dict[int, float] = {}
    started = time.perf_counter()

    def report(progress: Progress) -> None:
        done = progress.settled // EVERY * EVERY
        if done and done not in peaks:
            peaks[done] = held_mib("VmHWM")
            seconds = time.perf_counter() - started
            print(
                f"{done:>7,} images  {held_mib('VmRSS'):7.1f} MiB now  {peaks[done]:7.1f} at the "
                f"most  {progress.settled / seconds:6.0f} images/s",
                flush=True,
            )

    with Worker(engine, Repeating(), model.id, batch_size=_BATCH) as worker:
        progress = worker.work(on_batch=report)
    engine.dispose()
    first, last = peaks[EVERY], held_mib("VmHWM")
    print(f"stored {progress.stored:,}, failed {progress.failed}")
    for done in (10 * EVERY, max(peaks)):
        if done in peaks:
            print(f"peak after {done:,} of that after {EVERY:,}: {peaks[done] / first:.3f}")
    print(f"peak at the end of that after {EVERY:,}: {last / first:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker)
        return
    with own_database() as (home, engine):
        os.environ["REID_HOME"] = str(home)
        folder = home / "images"
        draw(folder, given.count)
        with engine.begin() as connection:
            register(connection, "repeating", "00" * 32, Header("drawn", SIZE).to_json())
        before = held_mib("VmHWM")
        first = ingest(engine, folder, "drawn", Options(enqueue=True))
        print(
            f"listing and registering {first.pending:,} files: {first.seconds:.1f} s, "
            f"{held_mib('VmHWM') - before:.0f} MiB at the most",
            flush=True,
        )
        subprocess.run([sys.executable, __file__, "--worker", str(home)], check=True)
        for _ in range(3):
            cpu = time.process_time()
            again = ingest(engine, folder, "drawn", Options())
            assert again.known == given.count, again
            print(
                f"known folder again: {again.known / again.seconds:,.0f} files/s, "
                f"{again.known / (time.process_time() - cpu):,.0f} a second of this process's CPU"
            )


if __name__ == "__main__":
    main()
