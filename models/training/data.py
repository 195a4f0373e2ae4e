"""A training folder in memory: pixels, identities, cameras, attribute values."""

# N images, C=27 columns, H and W pixels

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errors import UsageError
from images.annotations import read_annotations
from images.decode import UnreadableImage, decode, read_file
from images.names import facts_of
from images.preprocessing import Pixels, Preprocessing
from metrics.reid import single_query_mask

Ints = npt.NDArray[np.int64]


class BadTrainingData(UsageError):
    """The training folder cannot be used; the message says what is missing."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, in sorted order of file names; all of one length."""

    names: tuple[str, ...]
    pixels_NHWC: Pixels
    pids_N: Ints
    camids_N: Ints
    values_NC: Ints

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.pixels_NHWC), len(self.pids_N)}
        lengths |= {len(self.camids_N), len(self.values_NC)}
        if len(lengths) != 1:
            raise ValueError("expected names, pixels and labels of one length")

    @property
    def pids(self) -> list[int]:
        return sorted({int(pid) for pid in self.pids_N})

    def of_people(self, pids: set[int]) -> "LabelledImages":
        """The images of these people, in the same order."""
        keep = np.flatnonzero(np.isin(self.pids_N, sorted(pids)))
        return LabelledImages(
            tuple(self.names[i] for i in keep),
            self.pixels_NHWC[keep],
            self.pids_N[keep],
            self.camids_N[keep],
            self.values_NC[keep],
        )


def load_training_folder(folder: Path, preprocessing: Preprocessing) -> LabelledImages:
    """Reads `train/` and `annotations_train.csv` of `folder`; junk and distractors are left out.

    An annotation without images is no error: see `people_without_images`. Raises BadTrainingData
    for a missing folder, a person annotated twice, an image of a person without annotation or that
    cannot be read, or fewer than two people; BadAnnotations as `read_annotations` does.
    """
    if not (folder / "train").is_dir():
        raise BadTrainingData(f"no folder {folder / 'train'}: expected PPPP_cC_NNNNNNNNN.jpg in it")
    values_of = _values_of_people(folder / "annotations_train.csv")
    labelled = []
    for path in sorted((folder / "train").glob("*.jpg")):
        pid, camid = facts_of(path.name)
        if pid is not None and pid > 0:
            labelled.append((path, pid, -1 if camid is None else camid))
    unknown = sorted({pid for _, pid, _ in labelled} - set(values_of))
    if unknown:
        raise BadTrainingData(
            f"{len(unknown)} people of {folder / 'train'} have no annotation, the first is "
            f"{unknown[0]}; add them to annotations_train.csv or move their images away"
        )
    if len({pid for _, pid, _ in labelled}) < 2:
        raise BadTrainingData(f"{folder / 'train'} holds fewer than two people")
    return LabelledImages(
        tuple(path.name for path, _, _ in labelled),
        np.stack([_pixels(path, preprocessing) for path, _, _ in labelled]),
        np.array([pid for _, pid, _ in labelled]),
        np.array([camid for _, _, camid in labelled]),
        np.array([values_of[pid] for _, pid, _ in labelled]),
    )


def people_without_images(folder: Path, images: LabelledImages) -> list[int]:
    """The annotated people of `folder` who have no image among `images`."""
    annotated = _values_of_people(folder / "annotations_train.csv")
    return sorted(set(annotated) - set(images.pids))


def _values_of_people(path: Path) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for pid, values in read_annotations(path).items():
        if pid.isdecimal():
            if int(pid) in found:
                raise BadTrainingData(f"{path}: person {int(pid)} occurs twice, also as {pid!r}")
            found[int(pid)] = values
    return found


def _pixels(path: Path, preprocessing: Preprocessing) -> Pixels:
    # the decoder of the ingest, so that both see the same pixels
    try:
        return preprocessing.resize(decode(read_file(str(path)), any_shape=True).image)
    except UnreadableImage as error:
        raise BadTrainingData(f"{path}: {error}; mend it or move it away") from None


def split_people(pids: list[int], held_out: float, seed: int) -> tuple[set[int], set[int]]:
    """(trained, held out): a share of the people, drawn by `seed`, is never trained on."""
    shuffled = sorted(pids)
    random.Random(seed).shuffle(shuffled)
    count = round(len(shuffled) * held_out)
    return set(shuffled[count:]), set(shuffled[:count])


def query_mask(images: LabelledImages) -> npt.NDArray[np.bool_]:
    """Single query: the first image of each person and camera is a query, the rest the gallery."""
    return single_query_mask(images.pids_N, images.camids_N)
