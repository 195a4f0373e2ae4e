"""End-to-end ingest beside the bare model forward on ready tensors: images/s, one run.

.venv/bin/python benchmarks/ingest.py FOLDER [--count 2000]
"""

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actions.ingest import Options, ingest, load_network
from actions.models import chosen
from db.connect import Place, open_database
from images.decode import decode, read_file
from images.walk import walk


def forward_rate(folder: Path, home: Path, batch: int) -> float:
    """Images/s of the network alone, over pixels that are decoded before the clock starts."""
    engine = open_database(Place(home))
    network = load_network(chosen(engine, None), None)
    engine.dispose()
    files = walk(folder).files
    pixels = [network.pixels_of(decode(read_file(str(folder / f.path))).image) for f in files]
    batches = [np.stack(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    network(batches[0])
    started = time.perf_counter()
    for ready in batches:
        network(ready)
    return len(files) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="reid-bench-"))
    os.environ["REID_HOME"] = str(home)
    part = home / "images"
    part.mkdir()
    for file in itertools.islice(sorted(given.folder.iterdir()), given.count):
        shutil.copyfile(file, part / file.name)
    place = Place(home)
    engine = open_database(place)
    options = Options(batch_size=given.batch)
    try:
        bare = forward_rate(part, home, given.batch)
        stored = ingest(engine, part, "bench", options)
        known = ingest(engine, part, "bench", options)
        bare_again = forward_rate(part, home, given.batch)
        forward = (bare + bare_again) / 2
        print(
            f"bare forward        {forward:9.1f} images/s  "
            f"({bare:.1f} before, {bare_again:.1f} after)"
        )
        rate = stored.images_per_second
        print(f"ingest end to end   {rate:9.1f} images/s  {rate / forward:.2f} of the forward")
        print(f"known folder again  {known.known / known.seconds:9.0f} files/s")
    finally:
        engine.dispose()
        if server := place.embedded:
            server.stop()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
