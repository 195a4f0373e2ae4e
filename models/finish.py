"""From a trained network to a checkpoint: measured on people held out, calibrated, saved."""

# N images, Q queries, G gallery images, S strangers, D=512 embedding numbers

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from db.attributes import COLUMNS, column_values, decide
from images.decode import UnreadableImage, decode, read_file
from models.attribute_metrics import AttributeMetrics, evaluate_attributes
from models.calibration import TooFewPeople, calibrate
from models.checkpoint import Header
from models.data import LabelledImages, query_mask
from models.extractor import Extractor
from models.joint_net import JointNet
from models.metrics import DISTRACTOR, ReidMetrics, Threshold, evaluate_distmat
from models.nets import save
from models.recipe import JointRecipe
from models.training import JointTraining
from models.transforms import JOINT, Pixels

FloatRows = npt.NDArray[np.float32]
_BATCH = 64


def finish(
    training: JointTraining,
    path: Path,
    identity_space: str,
    strangers: Sequence[Path] = (),
    on_progress: Callable[[int], object] | None = None,
) -> Header:
    """Saves the network in 16 bit, measures what was saved on the people held out, and writes the
    figures and the calibrated distance into its header.

    `strangers` are image files of other people: the gallery's distractors; what cannot be read is
    skipped. Where too few people are held out, there is no distance, and `notes` say why.
    """
    header = Header(
        architecture=JointNet.architecture,
        preprocessing=JOINT,
        trained_pids=tuple(training.trained.pids),
        identity_space=identity_space,
        recipe=training.recipe.to_json(),
    )
    save(path, training.net, header, half=True)
    header = measured(path, header, training.held_out, strangers, training.recipe, on_progress)
    save(path, training.net, header, half=True)
    return header


def measured(
    path: Path,
    header: Header,
    held_out: LabelledImages,
    strangers: Sequence[Path],
    recipe: JointRecipe,
    on_progress: Callable[[int], object] | None = None,
) -> Header:
    """The header with figures and a calibrated distance, from the checkpoint as it is on disk."""
    if not held_out.names:
        return replace(header, notes="nobody was held out: nothing is measured or calibrated")
    extractor = Extractor(path)
    scores_NA, embeddings_ND = _run(extractor, _batches(held_out.pixels_NHWC), on_progress)
    strangers_SD = _run(extractor, _files(strangers, extractor), on_progress)[1]
    query_N = query_mask(held_out)
    q_pids, g_pids = held_out.pids_N[query_N], held_out.pids_N[~query_N]
    q_camids, g_camids = held_out.camids_N[query_N], held_out.camids_N[~query_N]
    queries, gallery = embeddings_ND[query_N], embeddings_ND[~query_N]
    threshold: Threshold | None = None
    uncalibrated = ""
    try:
        threshold = calibrate(queries, q_pids, q_camids, gallery, g_pids, g_camids, strangers_SD)
    except (TooFewPeople, ValueError) as error:  # ValueError: no pair of one person
        uncalibrated = f"; no distance is calibrated: {error}"
    small = evaluate_distmat(_distances(queries, gallery), q_pids, g_pids, q_camids, g_camids)
    large = evaluate_distmat(
        _distances(queries, np.concatenate([gallery, strangers_SD])),
        q_pids,
        np.append(g_pids, np.full(len(strangers_SD), DISTRACTOR)),
        q_camids,
        np.append(g_camids, np.full(len(strangers_SD), -1)),
    )
    attributes = _attributes(held_out, scores_NA)
    return replace(
        header,
        max_distance=round(threshold.max_distance, 6) if threshold else None,
        calibration={
            **(asdict(threshold) if threshold else {}),
            "num_strangers": len(strangers_SD),
            "num_skipped": len(strangers) - len(strangers_SD),
        },
        metrics=_figures(small, large, len(gallery), len(strangers_SD), attributes),
        notes=(
            f"measured on {len(held_out.pids)} people never trained on "
            f"(split seed {recipe.seed}), single query, same camera left out{uncalibrated}"
        ),
    )


def _figures(
    small: ReidMetrics, large: ReidMetrics, gallery: int, strangers: int, a: AttributeMetrics
) -> dict[str, Any]:
    return {
        "reid": {**asdict(small), "num_gallery": gallery},
        "reid_with_distractors": {**asdict(large), "num_gallery": gallery + strangers},
        "attributes": {
            "mean_accuracy": a.mean_accuracy,
            "majority_accuracy": a.majority_accuracy,
            "mean_balanced_accuracy": a.mean_balanced_accuracy,
            "majority_balanced_accuracy": 0.5,
            "num_images": a.num_images,
            "num_identities": a.num_identities,
        },
    }


def _attributes(images: LabelledImages, scores_NA: FloatRows) -> AttributeMetrics:
    decided = [column_values(decide(row)) for row in scores_NA.tolist()]
    return evaluate_attributes(
        images.values_NC,
        np.array([[values[column] for column in COLUMNS] for values in decided]),
        scores_NA,
        images.pids_N.astype(object),
    )


def _distances(a_ND: FloatRows, b_MD: FloatRows) -> npt.NDArray[np.float32]:
    """L2 distances (N, M) of rows of length 1."""
    distances: npt.NDArray[np.float32] = np.sqrt(np.maximum(0, 2 - 2 * a_ND @ b_MD.T))
    return distances


def _batches(pixels_NHWC: Pixels) -> Iterator[Pixels]:
    for start in range(0, len(pixels_NHWC), _BATCH):
        yield pixels_NHWC[start : start + _BATCH]


def _files(paths: Sequence[Path], extractor: Extractor) -> Iterator[Pixels]:
    for start in range(0, len(paths), _BATCH):
        batch = [_pixels(path, extractor) for path in paths[start : start + _BATCH]]
        readable = [pixels_HWC for pixels_HWC in batch if pixels_HWC is not None]
        if readable:
            yield np.stack(readable)


def _pixels(path: Path, extractor: Extractor) -> Pixels | None:
    """None for a file that cannot be read."""
    try:
        return extractor.pixels_of(decode(read_file(str(path))).image)
    except UnreadableImage:
        return None


def _run(
    extractor: Extractor,
    batches: Iterator[Pixels],
    on_progress: Callable[[int], object] | None,
) -> tuple[FloatRows, FloatRows]:
    scores, embeddings = [np.zeros((0, 56), np.float32)], [np.zeros((0, 512), np.float32)]
    for batch in batches:
        batch_scores, batch_embeddings = extractor(batch)
        scores.append(batch_scores)
        embeddings.append(batch_embeddings)
        if on_progress:
            on_progress(len(batch))
    return np.concatenate(scores), np.concatenate(embeddings)
