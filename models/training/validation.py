"""What a training run says of the people held out: figures beside guessing's, and a picture."""

# N images, A=56 scores, D=512 embedding numbers

import numpy as np

from metrics.attributes import AttributeMetrics, evaluate_attributes
from metrics.distances import l2_distances
from metrics.reid import evaluate_distmat
from models.outputs import FloatRows
from models.training.data import LabelledImages, query_mask
from models.training.match_strip import match_strip
from models.training.task import Validation
from vocabulary import decide, values_in_order


def validate_reid(images: LabelledImages, embeddings_ND: FloatRows) -> Validation:
    """Single query, same camera left out: mAP and rank-1 beside what a random order gives."""
    query_N = query_mask(images)
    distances_QG = l2_distances(embeddings_ND[query_N], embeddings_ND[~query_N])
    found = evaluate_distmat(
        distances_QG,
        images.pids_N[query_N],
        images.pids_N[~query_N],
        images.camids_N[query_N],
        images.camids_N[~query_N],
    )
    if not found.num_valid_queries:
        return Validation()
    names = ("mAP", "chance_mAP", "rank1", "chance_rank1")
    figures = {name: float(getattr(found, name)) for name in names}
    return Validation(figures, match_strip(images, query_N, distances_QG))


def measure_attributes(images: LabelledImages, scores_NA: FloatRows) -> AttributeMetrics:
    """The metrics of what these scores decide. Raises ValueError for no image at all."""
    return evaluate_attributes(
        images.values_NC,
        np.array([values_in_order(decide(row)) for row in scores_NA.tolist()]),
        scores_NA,
        images.pids_N.astype(object),
    )


def validate_attributes(images: LabelledImages, scores_NA: FloatRows) -> Validation:
    """Accuracy over 27 columns and 56 bits beside the majority's, and balanced accuracy.

    Raises ValueError for no image at all.
    """
    found = measure_attributes(images, scores_NA)
    figures = {
        "accuracy": found.mean_accuracy,
        "majority_accuracy": found.majority_accuracy,
        "bits_accuracy": found.bits_accuracy,
        "bits_majority_accuracy": found.bits_majority_accuracy,
    }
    balanced, majority = found.mean_balanced_accuracy, found.majority_balanced_accuracy
    if balanced is not None and majority is not None:
        figures["balanced_accuracy"] = balanced
        figures["majority_balanced_accuracy"] = majority
    return Validation(figures)
