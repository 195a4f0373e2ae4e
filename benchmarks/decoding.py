"""Decoding beside the network: in decoder processes, against threads of this process.

.venv/bin/python benchmarks/decoding.py FOLDER [--count 2000] [--rounds 3] [--workers 2]

Reads, decodes and infers as the worker does, without the database, and then without the network
too; the two ways in turn, in one run. CPU seconds are of all processes together: where others work
too they tell more than the clock.
"""

import argparse
import hashlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from db.connect import DatabaseAddress
from db.open import open_database
from gallery.manifest import Claim
from gallery.models import chosen, load_network
from gallery.store import Failure
from images.decode import read_file
from images.decoder_pool import Decoders
from ingest.pipeline import BatchNetwork
from ingest.reader import FileBytes, Ready, chunks, decode_guarded, to_pixels

Decode = Callable[[Sequence[FileBytes]], list[Ready | Failure]]


def bytes_of(path: Path, position: int) -> FileBytes:
    data = read_file(str(path))
    claim = Claim(position, 1, str(path.parent), path.name, None, None, None, True, False)
    return FileBytes(claim, data, hashlib.sha256(data).digest())


def cpu_seconds(decoders: Decoders) -> float:
    """Of this process and of its decoders, user and system."""
    ticks = 0
    for decoder in decoders._all:
        stat = Path(f"/proc/{decoder._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(stat[11]) + int(stat[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def run(paths: list[Path], network: BatchNetwork | None, decode: Decode, batch: int) -> str:
    """Images go through in batches, the next read and decoded while the network runs; gives a
    digest of all pixels and thumbnails."""
    batches = [paths[i : i + batch] for i in range(0, len(paths), batch)]
    seen = hashlib.sha256()
    with ThreadPoolExecutor(1) as loader:

        def load(part: list[Path]) -> list[Ready | Failure]:
            return decode([bytes_of(path, i) for i, path in enumerate(part)])

        loading = loader.submit(load, batches[0])
        for following in [*batches[1:], None]:
            ready = [found for found in loading.result() if not isinstance(found, Failure)]
            if following is not None:
                loading = loader.submit(load, following)
            if network is not None:
                network(np.stack([pixels for _, pixels in ready]))
            for image, pixels in ready:
                seen.update(image.thumbnail + pixels.tobytes())
    return seen.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    paths = list(itertools.islice(sorted(given.folder.iterdir()), given.count))
    place = DatabaseAddress(Path(tempfile.mkdtemp(prefix="reid-bench-")))
    engine = open_database(place)
    network = load_network(chosen(engine, None), None)
    engine.dispose()
    if server := place.embedded:
        server.stop()
    preprocessing = network.preprocessing
    with ThreadPoolExecutor(given.workers) as threads, Decoders() as decoders:

        def in_threads(files: Sequence[FileBytes]) -> list[Ready | Failure]:
            return list(threads.map(lambda file: to_pixels(file, preprocessing), files))

        def in_processes(files: Sequence[FileBytes]) -> list[Ready | Failure]:
            def decode(part: Sequence[FileBytes]) -> list[Ready | Failure]:
                return decode_guarded(part, preprocessing, decoders)

            return [found for part in threads.map(decode, chunks(files)) for found in part]

        ways = {"threads": in_threads, "processes": in_processes}
        part = paths[:256]
        digests = [run(part, network, decode, given.batch) for decode in ways.values()]
        print(f"equal bytes: {'yes' if len(set(digests)) == 1 else 'NO'}")
        for title, net in (("beside the network", network), ("alone", None)):
            spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(given.rounds):
                for name, decode in ways.items():
                    began, cpu = time.perf_counter(), cpu_seconds(decoders)
                    run(paths, net, decode, given.batch)
                    used = time.perf_counter() - began, cpu_seconds(decoders) - cpu
                    spent[name].append(used)
            for name, rounds in spent.items():
                clock = statistics.median(wall for wall, _ in rounds)
                cpu = statistics.median(busy for _, busy in rounds)
                print(
                    f"{title:18} {name:10} {len(paths) / clock:8.1f} images/s  "
                    f"{1000 * cpu / len(paths):7.3f} ms of CPU an image"
                )


if __name__ == "__main__":
    main()
