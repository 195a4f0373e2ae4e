"""Training folders in memory: pixels, identities, cameras, attribute values."""

# N images, C=27 columns, H and W pixels

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from errors import UsageError
from images.annotations import UNKNOWN, read_annotations
from images.decode import UnreadableImage, decode, read_file
from images.names import facts_of
from images.preprocessing import Pixels, Preprocessing
from metrics.reid import single_query_mask
from vocabulary import COLUMNS

Ints = npt.NDArray[np.int64]
SET_STRIDE = 10**9  # a person of the k-th folder has the number k * SET_STRIDE + pid


class BadTrainingData(UsageError):
    """The training folder cannot be used; the message says what is missing."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels, in sorted order of file names; all of one length.

    A camid of -1 and a value of 0 are unknown. Of several folders, persons and known cameras of the
    k-th are numbered from k * `SET_STRIDE`: equal numbers of two folders are two people.
    """

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

    def followed_by(self, others: "LabelledImages") -> "LabelledImages":
        """These images, then the others."""
        return LabelledImages(
            (*self.names, *others.names),
            np.concatenate([self.pixels_NHWC, others.pixels_NHWC]),
            np.concatenate([self.pids_N, others.pids_N]),
            np.concatenate([self.camids_N, others.camids_N]),
            np.concatenate([self.values_NC, others.values_NC]),
        )

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


def load_training_folders(folders: Sequence[Path], preprocessing: Preprocessing) -> LabelledImages:
    """Read several folders as one set of images, each as `load_training_folder` reads it."""
    sets = [load_training_folder(folder, preprocessing) for folder in folders]
    shifts = [SET_STRIDE * k for k in range(len(sets))]
    return LabelledImages(
        tuple(name for images in sets for name in images.names),
        np.concatenate([images.pixels_NHWC for images in sets]),
        np.concatenate([images.pids_N + k for images, k in zip(sets, shifts, strict=True)]),
        np.concatenate(
            [
                np.where(images.camids_N < 0, -1, images.camids_N + k)
                for images, k in zip(sets, shifts, strict=True)
            ]
        ),
        np.concatenate([images.values_NC for images in sets]),
    )


def load_training_folder(folder: Path, preprocessing: Preprocessing) -> LabelledImages:
    """Read `folder/train/`, or `folder` itself, and the annotations; junk and distractors are left
    out.

    Annotations are `folder/annotations_train.csv`, or `NAME-attributes.csv` beside a folder NAME;
    a person without a row has no known attribute, and neither has anybody without a file. A camera
    of 0 is not known. Raises BadTrainingData for a missing folder, a person annotated twice, an
    image that cannot be read, or fewer than two people; BadAnnotations as `read_annotations` does.
    """
    nested = (folder / "train").is_dir()
    within = folder / "train" if nested else folder
    labelled = []
    for path in sorted(within.glob("*.jpg")):
        pid, camid = facts_of(path.name)
        if pid is not None and pid > 0:
            labelled.append((path, pid, camid or -1))
    if not labelled and not nested:
        raise BadTrainingData(
            f"no image of a person in {folder / 'train'} or {folder}: expected "
            "PPPP_cC_NNNNNNNNN.jpg there"
        )
    if len({pid for _, pid, _ in labelled}) < 2:
        raise BadTrainingData(f"{within} holds fewer than two people")
    values_of = _values_of_people(folder)
    unknown = (UNKNOWN,) * len(COLUMNS)
    return LabelledImages(
        tuple(path.name for path, _, _ in labelled),
        np.stack([_pixels(path, preprocessing) for path, _, _ in labelled]),
        np.array([pid for _, pid, _ in labelled]),
        np.array([camid for _, _, camid in labelled]),
        np.array([values_of.get(pid, unknown) for _, pid, _ in labelled]),
    )


def people_without_images(folder: Path, pids: Collection[int]) -> list[int]:
    """The annotated people of `folder` who are not among `pids`."""
    return sorted(set(_values_of_people(folder)) - set(pids))


def people_by_space(pids: Sequence[int], spaces: Sequence[str]) -> dict[str, list[int]]:
    """Each folder's own person numbers under the name of its identity space."""
    own = [
        [pid - k * SET_STRIDE for pid in pids if pid // SET_STRIDE == k] for k in range(len(spaces))
    ]
    return dict(zip(spaces, own, strict=True))


def _annotations_of(folder: Path) -> Path | None:
    """The annotation file of a training folder, None where there is none."""
    beside = folder.resolve().with_name(f"{folder.resolve().name}-attributes.csv")
    places = (folder / "annotations_train.csv", beside)
    return next((path for path in places if path.exists()), None)


def _values_of_people(folder: Path) -> dict[int, tuple[int, ...]]:
    path = _annotations_of(folder)
    found: dict[int, tuple[int, ...]] = {}
    for pid, values in read_annotations(path).items() if path else ():
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
