"""What a model finds on cameras that it was never trained on.

    python benchmarks/cameras.py FOLDER ... [--model FILE] [--all]

Each folder holds PPPP_cC_N.jpg of one set; NAME.csv beside it may name a track (`extra`) where the
camera is not known, and NAME-attributes.csv attributes. For each set: rank-1 and mAP of single
queries (the first image of each person and camera), images of the same person and camera left out
("field rule"), and among the other cameras' images only; both as they are and less each camera's
own mean (`metrics.centring`); beside them what a random order gives. With --all every image is a
query. Attributes: mean accuracy and balanced accuracy over the columns that are known, beside the
majority.
"""

# N images, Q queries, G gallery images, D=512 embedding numbers, A=56 scores, C=27 columns

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.engines import load_network
from metrics.centring import centred
from metrics.distances import l2_distances
from metrics.reid import ReidMetrics, evaluate_distmat, single_query_mask
from models.outputs import Network
from models.shipped import shipped_checkpoint
from models.training.data import LabelledImages, load_training_folder
from models.training.validation import measure_attributes

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_BATCH = 64


def embed(network: Network, images: LabelledImages) -> tuple[Floats, Floats]:
    """(scores (N, 56), embeddings (N, 512)) as ingest stores them on this CPU."""
    parts = [
        network(images.pixels_NHWC[start : start + _BATCH])
        for start in range(0, len(images.names), _BATCH)
    ]
    return (
        np.concatenate([part.scores_NA for part in parts]),
        np.concatenate([part.embeddings_ND for part in parts]),
    )


def cameras_of(folder: Path, images: LabelledImages) -> Ints:
    """Camera numbers; where the names know none, the track of the set's table stands for one."""
    if (images.camids_N >= 0).any():
        return images.camids_N
    table = folder.resolve().with_name(f"{folder.resolve().name}.csv")
    with table.open(newline="", encoding="utf-8-sig") as file:
        track_of = {row["file"]: row["extra"] for row in csv.DictReader(file)}
    tracks = sorted(set(track_of.values()))
    return np.array([tracks.index(track_of[name]) for name in images.names])


def found(embeddings_ND: Floats, pids_N: Ints, camids_N: Ints, queries_Q: Ints) -> dict[str, float]:
    """rank-1 and mAP by the field's rule, and among other cameras only."""
    field: list[ReidMetrics] = []
    other: list[ReidMetrics] = []
    for start in range(0, len(queries_Q), 256):
        rows = queries_Q[start : start + 256]
        distances_QN = l2_distances(embeddings_ND[rows], embeddings_ND)
        for row, distances_N in zip(rows, distances_QN, strict=True):
            for kept_N, into in (
                (np.arange(len(pids_N)) != row, field),
                (camids_N != camids_N[row], other),
            ):
                into.append(
                    evaluate_distmat(
                        distances_N[None, kept_N],
                        pids_N[row : row + 1],
                        pids_N[kept_N],
                        camids_N[row : row + 1],
                        camids_N[kept_N],
                    )
                )
    result = {}
    for name, every in (("", field), ("other cameras: ", other)):
        valid = [one for one in every if one.num_valid_queries]
        result[f"{name}rank1"] = float(np.mean([one.rank1 for one in valid]))
        result[f"{name}mAP"] = float(np.mean([one.mAP for one in valid]))
        result[f"{name}chance"] = float(np.mean([one.chance_mAP for one in valid]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=shipped_checkpoint())
    parser.add_argument("--all", action="store_true", help="every image is a query")
    asked = parser.parse_args()
    network = load_network(asked.model, "cpu")
    print(f"{asked.model.name}, {network.name}\n")
    print("| set | queries | embedding | rank-1 / mAP (chance) | other cameras only |")
    print("|---|---|---|---|---|")
    attributes = []
    for folder in asked.folders:
        images = load_training_folder(folder, network.preprocessing)
        camids_N = cameras_of(folder, images)
        scores_NA, embeddings_ND = embed(network, images)
        queries_Q = np.arange(len(images.names))
        if not asked.all:
            queries_Q = np.flatnonzero(single_query_mask(images.pids_N, camids_N))
        for name, rows_ND in (
            ("as it is", embeddings_ND),
            ("less its camera's mean", centred(embeddings_ND, camids_N)),
        ):
            f = found(rows_ND, images.pids_N, camids_N, queries_Q)
            print(
                f"| {folder.name} | {len(queries_Q):,} | {name} "
                f"| {f['rank1']:.3f} / {f['mAP']:.3f} ({f['chance']:.3f}) "
                f"| {f['other cameras: rank1']:.3f} / {f['other cameras: mAP']:.3f} |",
                flush=True,
            )
        if images.values_NC.any():
            attributes.append((folder.name, measure_attributes(images, scores_NA)))
    if attributes:
        print("\n| set | images | accuracy (majority) | balanced (majority) |\n|---|---|---|---|")
    for name, a in attributes:
        print(
            f"| {name} | {a.num_images:,} | {a.mean_accuracy:.3f} ({a.majority_accuracy:.3f}) "
            f"| {a.mean_balanced_accuracy or 0:.3f} ({a.majority_balanced_accuracy or 0:.3f}) |"
        )


if __name__ == "__main__":
    main()
