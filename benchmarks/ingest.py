"""An ingest beside the bare model forward on ready pixels, and beside the report's extractor.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/ingest.py FOLDER [--count 2000] [--turns 5]

Each turn takes images of its own through all ways, one after the other: the network over pixels
that are ready in memory; an ingest as the worker does it, from listing the folder to the last
commit; and, for the first `--single` of them, one image at a time with a file saved for each, by
the network that the ingest runs, and by the same without what makes it faster. Nothing is loaded in
between. Ratios are medians over the turns, of CPU seconds and of the clock; where both cores are
busy with others, read the first. There threads that wait for each other would spin, and be counted
as if they worked: hence one thread. Linux only.
"""

import argparse
import itertools
import os
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image
from sqlalchemy import Engine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.costs import Cost, Meter, median, own_database, total
from gallery.collections import collection_called
from gallery.model_rows import ModelRow
from gallery.models import checkpoint_of, chosen, load_network
from images.decode import content_hash, decode, read_file
from images.decoder_pool import Decoders
from images.sources.open import opened
from inference.engines import load_with_torch
from ingest.register import register_files
from ingest.worker import Observer, Worker
from models.extractor import Extractor
from models.nets.load import load
from models.nets.mirror import FlipAveraged
from models.outputs import Network

STEPS = ("read", "decode", "inference", "store")
SINGLE = ("one by one", "one by one, unfolded")


class Times(Observer):
    """Seconds on the clock of each step, by the name the worker gives it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    def took(self, step: str, seconds: float) -> None:
        with self._lock:
            self.seconds[step] += seconds


def forward(network: Network, files: list[Path], batch: int, meter: Meter) -> Cost:
    """The network alone: the pixels are ready before the meter starts."""
    pixels = [network.pixels_of(decode(read_file(str(file))).image) for file in files]
    batches = [np.stack(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    network(batches[0])
    meter.read()
    for ready in batches:
        network(ready)
    return meter.read()


def end_to_end(
    engine: Engine, model: ModelRow, worker: Worker, folder: Path, name: str, meter: Meter
) -> Cost:
    """What `ingest.run.ingest` does once the network is loaded."""
    meter.read()
    source = opened(str(folder))
    with engine.begin() as connection:
        collection = collection_called(connection, name, None)
        register_files(connection, collection, model.id, source.name, source.listing())
    before = worker.progress.stored
    worker.work(collection.id)
    cost = meter.read()
    stored, files = worker.progress.stored - before, sum(1 for _ in folder.iterdir())
    assert stored == files, f"{stored} of {files} files were stored"
    return cost


def unfolded(path: Path) -> Extractor:
    """The same model as its checkpoint has it, without what we do to make it faster."""
    network = Extractor(path, "cpu")
    net, header = load(path)
    network.net = FlipAveraged(net, normalised=header.normalised) if header.flip_average else net
    network.net.eval()
    return network


def one_by_one(network: Network, files: list[Path], out: Path, meter: Meter) -> Cost:
    """The report's extractor: one image at a time, no batch, a file saved for each."""
    network(np.zeros((1, network.preprocessing.height, network.preprocessing.width, 3), np.uint8))
    meter.read()
    for file in files:
        with Image.open(file) as opened_image:
            pixels_HWC = network.pixels_of(opened_image.convert("RGB"))
        scores_1A, embedding_1D, _ = network(pixels_HWC[None])
        found = torch.from_numpy(scores_1A[0]), torch.from_numpy(embedding_1D[0])
        torch.save(found, out / f"{file.stem}.pt")
    return meter.read()


def reading_alone(files: list[Path]) -> tuple[float, float]:
    """Microseconds a file of reading it, and of hashing its bytes."""
    started = time.perf_counter()
    data = [read_file(str(file)) for file in files]
    read = time.perf_counter()
    for each in data:
        content_hash(each)
    ended = time.perf_counter()
    return 1e6 * (read - started) / len(files), 1e6 * (ended - read) / len(files)


def parts(folder: Path, home: Path, count: int, turns: int) -> list[Path]:
    """Copies of the folder's first images, in as many folders as there are turns."""
    files = list(itertools.islice(sorted(folder.iterdir()), count))
    size = len(files) // turns
    folders = []
    for turn in range(turns):
        folders.append(home / "images" / f"turn{turn}")
        folders[-1].mkdir(parents=True)
        for file in files[turn * size : (turn + 1) * size]:
            shutil.copyfile(file, folders[-1] / file.name)
    return folders


def report(rates: dict[str, list[tuple[Cost, int]]]) -> None:
    """A line for each way; the ratios are of its rates to the forward's, by CPU and by clock."""
    print(f"{'':22} {'images/s':>9} {'ms of CPU':>10}  rate of the forward's: by CPU, by clock")
    for name, turns in rates.items():
        cost, images = total([cost for cost, _ in turns]), sum(number for _, number in turns)
        ratios = [
            [(getattr(base, kind) / n) / (getattr(cost, kind) / m) for (base, n), (cost, m) in
             zip(rates["bare forward"], turns, strict=True)]
            for kind in ("cpu", "clock")
        ]  # fmt: skip
        print(
            f"{name:22} {images / cost.clock:9.1f} {1000 * cost.cpu / images:10.2f}  "
            f"{median(ratios[0])}, {median(ratios[1])}"
        )
    for name in SINGLE:
        pairs = list(zip(rates["end to end"], rates[name], strict=True))
        ratios = [
            [getattr(one, kind) / m / (getattr(ours, kind) / n) for (ours, n), (one, m) in pairs]
            for kind in ("cpu", "clock")
        ]
        print(
            f"end to end is {median(ratios[0])} times as fast as {name} by CPU, "
            f"{median(ratios[1])} by the clock"
        )


def profile(times: Times, costs: list[tuple[Cost, int]], reading: tuple[float, float]) -> None:
    """Where the time of the ingests went: steps overlap, so that their sum is above the clock's."""
    cost, images = total([cost for cost, _ in costs]), sum(number for _, number in costs)
    print(f"\n{'step':34} {'ms an image':>12} {'of the clock':>13}")

    def row(name: str, seconds: float) -> None:
        print(f"{name:34} {1000 * seconds / images:12.3f} {seconds / cost.clock:13.1%}")

    for step in STEPS:
        row(step, times.seconds[step])
    row("the network waits", cost.clock - times.seconds["inference"])
    print(f"alone, a file: read {reading[0]:.0f} us, hash {reading[1]:.0f} us")
    print("CPU by process:")
    for name in ("here", "children", "server"):
        seconds = getattr(cost, name)
        print(f"  {name:32} {1000 * seconds / images:12.3f} {seconds / cost.cpu:13.1%} of the CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--single", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    with own_database() as (home, engine):
        os.environ["REID_HOME"] = str(home)
        folders = parts(given.folder, home, given.count, given.turns)
        model, meter, times = chosen(engine, None), Meter(home), Times()
        started = time.perf_counter()
        network = load_network(model, None)
        print(f"loading the network: {time.perf_counter() - started:.1f} s", file=sys.stderr)
        rates: dict[str, list[tuple[Cost, int]]] = {
            name: [] for name in ("bare forward", "end to end", *SINGLE)
        }
        torch_net = load_with_torch(checkpoint_of(model), "cpu")
        plain = unfolded(checkpoint_of(model))
        decoders = Decoders()
        decoders.start(2)
        (home / "saved").mkdir()
        with Worker(
            engine, network, model.id, batch_size=given.batch, decoders=decoders, observer=times
        ) as worker:
            for folder in folders:
                files = sorted(folder.iterdir())
                some = files[: given.single]
                rates["bare forward"].append(
                    (forward(network, files, given.batch, meter), len(files))
                )
                cost = end_to_end(engine, model, worker, folder, folder.name, meter)
                rates["end to end"].append((cost, len(files)))
                for name, net in zip(SINGLE, (torch_net, plain), strict=True):
                    cost = one_by_one(net, some, home / "saved", meter)
                    rates[name].append((cost, len(some)))
                print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
        report(rates)
        profile(times, rates["end to end"], reading_alone(files))


if __name__ == "__main__":
    main()
