"""What a checkpoint on disk gives on the people held out, and the distance calibrated on them."""

# N images, Q queries, S strangers, A=56 scores, D=512 embedding numbers

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from images.decode import UnreadableImage, decode, read_file
from images.preprocessing import Pixels
from metrics.attributes import AttributeMetrics, ColumnMetrics, mean_of_known
from metrics.calibration import TooFewPeople, choose, choose_reranked, pairs_among
from metrics.centring import ANY, centred
from metrics.cutoffs import ColumnCutoff, choose_cutoffs
from metrics.distances import l2_distances
from metrics.nearby import CANDIDATES
from metrics.reid import DISTRACTOR, ReidMetrics, evaluate_distmat
from models.checkpoint import Header
from models.extractor import Extractor
from models.outputs import FloatRows
from models.training.data import LabelledImages, query_mask
from models.training.validation import measure_attributes

_BATCH = 64
_COST = 0.005  # of mAP


def measured(
    path: Path,
    header: Header,
    held_out: LabelledImages,
    strangers: Sequence[Path],
    seed: int,
) -> Header:
    """The header with figures and a calibrated distance, from the checkpoint as it is on disk.

    `strangers` are image files of other people: the gallery's distractors; what cannot be read is
    skipped. Where too few people are held out, there is no distance, and `notes` say why.
    """
    if not held_out.names:
        return replace(header, notes="nobody was held out: nothing is measured or calibrated")
    extractor = Extractor(path)
    scores_NA, embeddings_ND = _run(extractor, _batches(held_out.pixels_NHWC))
    strangers_SD = _run(extractor, _files(strangers, extractor))[1]
    limits, centred_limits, why_not = _limits(held_out, embeddings_ND, strangers_SD)
    # only embeddings of length 1 can be centred
    starts_centred = header.normalised and _helps(held_out, embeddings_ND, strangers_SD)
    cutoffs, attributes = _attributes(held_out, scores_NA)
    skipped = {
        "num_strangers": len(strangers_SD),
        "num_skipped": len(strangers) - len(strangers_SD),
    }
    limits["calibration"] |= skipped
    centred_limits["calibration"] |= skipped
    return replace(
        header,
        cutoffs=cutoffs,
        **(centred_limits if starts_centred else limits),
        centred=starts_centred,
        other_limits=limits if starts_centred else centred_limits,
        metrics={
            "reid": _reid(held_out, embeddings_ND, strangers_SD[:0]),
            "reid_with_distractors": _reid(held_out, embeddings_ND, strangers_SD),
            "reid_centred": _reid(held_out, *_centred(held_out, embeddings_ND, strangers_SD)),
            **attributes,
        },
        notes=(
            f"measured on {len(held_out.pids)} people never trained on (split seed {seed}), "
            f"single query, same camera left out{why_not}"
        ),
    )


def _attributes(
    held_out: LabelledImages, scores_NA: FloatRows
) -> tuple[dict[str, float], dict[str, Any]]:
    """(cut-offs, figures without and with them); nothing where no attribute is known."""
    if not held_out.values_NC.any():
        return {}, {}
    found = measure_attributes(held_out, scores_NA)
    cutoffs, with_cutoffs = chosen_cutoffs(held_out, scores_NA, found)
    return cutoffs, {
        "attributes": attribute_figures(found),
        "attributes_with_cutoffs": with_cutoffs,
    }


def chosen_cutoffs(
    held_out: LabelledImages, scores_NA: FloatRows, found: AttributeMetrics
) -> tuple[dict[str, float], dict[str, Any]]:
    """(cut-offs of rare values, what they give on people they were not chosen on), over the 27
    columns of `found`, which was measured without them."""
    chosen = choose_cutoffs(held_out.values_NC, scores_NA, held_out.pids_N.astype(object))
    rest = [column for column in found.columns if column.name not in {c.name for c in chosen}]
    judged: list[ColumnCutoff | ColumnMetrics] = [*chosen, *rest]
    figures = {
        "mean_accuracy": mean_of_known([column.accuracy for column in judged]),
        "mean_balanced_accuracy": mean_of_known([column.balanced_accuracy for column in judged]),
        "cross_fitted": True,
    }
    return {c.name: c.cutoff for c in chosen if c.cutoff is not None}, figures


def attribute_figures(found: AttributeMetrics) -> dict[str, Any]:
    """What a header keeps of the attributes' metrics."""
    return {
        "mean_accuracy": found.mean_accuracy,
        "majority_accuracy": found.majority_accuracy,
        "mean_balanced_accuracy": found.mean_balanced_accuracy,
        "majority_balanced_accuracy": found.majority_balanced_accuracy,
        "bits_accuracy": found.bits_accuracy,
        "bits_majority_accuracy": found.bits_majority_accuracy,
        "num_images": found.num_images,
        "num_identities": found.num_identities,
    }


def _limits(
    images: LabelledImages, embeddings_ND: FloatRows, strangers_SD: FloatRows
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The limits of the network's own embeddings and of centred ones, as a header has them, and an
    empty string, or why there are none."""
    try:
        own = _calibrated(images, embeddings_ND, strangers_SD)
        less_means = _calibrated(images, *_centred(images, embeddings_ND, strangers_SD))
    except (TooFewPeople, ValueError) as error:  # ValueError: no pair of one person
        none: dict[str, Any] = {
            "max_distance": None, "calibration": {}, "rerank_max_distance": None,
            "rerank_calibration": {},
        }  # fmt: skip
        return none, {**none, "calibration": {}}, f"; no distance is calibrated: {error}"
    return own, less_means, ""


def _calibrated(
    images: LabelledImages, embeddings_ND: FloatRows, strangers_SD: FloatRows
) -> dict[str, Any]:
    """The limits of the plain and the re-ranked distance with their figures."""
    query_N = query_mask(images)
    pairs = pairs_among(
        embeddings_ND[query_N],
        images.pids_N[query_N],
        images.camids_N[query_N],
        embeddings_ND[~query_N],
        images.pids_N[~query_N],
        images.camids_N[~query_N],
        strangers_SD,
    )
    plain, reranked = choose(pairs), choose_reranked(pairs)
    return {
        "max_distance": plain.max_distance,
        "calibration": asdict(plain),
        "rerank_max_distance": reranked.max_distance if reranked else None,
        "rerank_calibration": {**asdict(reranked), "candidates": CANDIDATES} if reranked else {},
    }


def _centred(
    images: LabelledImages, embeddings_ND: FloatRows, strangers_SD: FloatRows
) -> tuple[FloatRows, FloatRows]:
    """The people's embeddings centred by camera, the strangers' as a collection of their own
    without cameras: see `metrics.centring`."""
    unknown_S = np.full(len(strangers_SD), ANY)
    return (
        centred(embeddings_ND, images.camids_N.astype(np.int64)),
        centred(strangers_SD, unknown_S),
    )


def _helps(images: LabelledImages, embeddings_ND: FloatRows, strangers_SD: FloatRows) -> bool:
    """Whether centring costs at most `_COST` on the people held out. What it brings is on cameras
    that nobody trained on, of which these images are none."""
    own = _reid(images, embeddings_ND, strangers_SD)["mAP"]
    without_means = _reid(images, *_centred(images, embeddings_ND, strangers_SD))["mAP"]
    return bool(without_means >= own - _COST)


def _reid(
    images: LabelledImages, embeddings_ND: FloatRows, strangers_SD: FloatRows
) -> dict[str, Any]:
    query_N = query_mask(images)
    gallery_GD = np.concatenate([embeddings_ND[~query_N], strangers_SD])
    found: ReidMetrics = evaluate_distmat(
        l2_distances(embeddings_ND[query_N], gallery_GD),
        images.pids_N[query_N],
        np.append(images.pids_N[~query_N], np.full(len(strangers_SD), DISTRACTOR)),
        images.camids_N[query_N],
        np.append(images.camids_N[~query_N], np.full(len(strangers_SD), -1)),
    )
    return {**asdict(found), "num_gallery": len(gallery_GD)}


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


def _run(extractor: Extractor, batches: Iterator[Pixels]) -> tuple[FloatRows, FloatRows]:
    scores, embeddings = [np.zeros((0, 56), np.float32)], [np.zeros((0, 512), np.float32)]
    for batch in batches:
        found = extractor(batch)
        scores.append(found[0])
        embeddings.append(found[1])
    return np.concatenate(scores), np.concatenate(embeddings)
