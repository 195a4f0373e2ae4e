"""What each camera's own mean brings on a set of images, and what too few images do.

.venv/bin/python benchmarks/centring.py FOLDER [--model FILE] [--tracks]

FOLDER holds `PPPP_cC_*.jpg`: person, camera. The first image of each person and camera is a query;
the gallery is all the rest, without the same person on the same camera. `--tracks` takes each
person before each camera for a camera of its own, the worst case for a mean. Rank-1 and mAP by the
network's own embeddings, by the collection's mean alone, and by cameras for several weights.
"""

# N images, D=512 embedding numbers

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from images.names import facts_of  # noqa: E402
from metrics import centring  # noqa: E402
from metrics.distances import FloatRows, l2_distances  # noqa: E402
from metrics.reid import evaluate_distmat, single_query_mask  # noqa: E402
from models.extractor import Extractor  # noqa: E402
from models.shipped import shipped_checkpoint  # noqa: E402

_BATCH = 64


def embedded(paths: list[Path], model: Path) -> FloatRows:
    """(N, 512), L2-normalised."""
    extractor, rows = Extractor(model), []
    for start in range(0, len(paths), _BATCH):
        images = [Image.open(path).convert("RGB") for path in paths[start : start + _BATCH]]
        rows.append(extractor(np.stack([extractor.pixels_of(i) for i in images])).embeddings_ND)
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=shipped_checkpoint())
    parser.add_argument("--tracks", action="store_true")
    asked = parser.parse_args()
    paths = sorted(asked.folder.glob("*.jpg"))
    facts = [facts_of(path.name) for path in paths]
    pids_N = np.array([pid for pid, _ in facts], np.int64)
    camids_N = np.array([camid for _, camid in facts], np.int64)
    rows_ND = embedded(paths, asked.model)
    means_N = camids_N * 100_000 + pids_N if asked.tracks else camids_N
    query_N = single_query_mask(pids_N, camids_N)

    def tell(what: str, rows_ND: FloatRows) -> None:
        distances_QG = l2_distances(rows_ND[query_N], rows_ND[~query_N])
        found = evaluate_distmat(
            distances_QG, pids_N[query_N], pids_N[~query_N], camids_N[query_N], camids_N[~query_N]
        )
        print(f"{what:24} rank-1 {found.rank1:.3f}  mAP {found.mAP:.3f}")

    print(f"{len(paths):,} images, {len(np.unique(means_N)):,} cameras")
    tell("as the network gives it", rows_ND)
    tell("the collection's mean", centring.centred(rows_ND, np.full(len(rows_ND), centring.ANY)))
    for weight in (0, 10, 30, 100, 300):
        centring.WEIGHT = weight
        tell(f"by camera, weight {weight}", centring.centred(rows_ND, means_N))


if __name__ == "__main__":
    main()
