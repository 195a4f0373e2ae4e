"""Learning a user's cameras from his own unlabelled images: groups become people, round by round.

Each round embeds the images by the network as it is, finds groups (`metrics.groups`), trains on
these as on people, beside labelled data where there is some, and begins again: a better network
finds better groups. Source: Song et al., "Unsupervised Domain Adaptive Re-Identification", 2018;
Ge et al., "Self-paced Contrastive Learning", 2020.
"""

# N images, D=512 embedding numbers, C=27 columns

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from errors import ReidError
from files import write_whole
from images.preprocessing import Pixels
from metrics.centring import centred
from metrics.groups import NOBODY, agreement, group, split_agreement
from models.checkpoint import Header, content_hash
from models.extractor import Extractor
from models.nets.load import save
from models.outputs import Outputs
from models.training.data import SET_STRIDE, LabelledImages
from models.training.joint_training import JointTraining
from models.training.loop import Loop, StepReport
from models.training.recipe import JointRecipe
from models.training.start import start_from_checkpoint
from vocabulary import decide, values_in_order

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_BATCH = 64
_MOST = 64  # images of one group that a round trains on: a large group may well be several people
GROUPS, MODEL, REPORT = "groups.npy", "model.safetensors", "round.json"


class NothingToAdapt(ReidError):
    """The images give too few groups to learn from."""

    http_status = 409


@dataclass(frozen=True)
class Unlabelled:
    """A user's images without labels; all of one length. A camid of -1 is unknown."""

    names: tuple[str, ...]
    pixels_NHWC: Pixels
    camids_N: Ints

    def __post_init__(self) -> None:
        if {len(self.pixels_NHWC), len(self.camids_N)} != {len(self.names)}:
            raise ValueError("expected names, pixels and cameras of one length")


@dataclass(frozen=True)
class RoundReport:
    """What a round found and what became of it, without any label.

    `agreement` is the adjusted Rand index with the groups of the round before, None in the first;
    `halves` the share of half groups whose nearest other half, by this round's network, is their
    own group's: before the training, and after it on the same groups.
    """

    round: int
    groups: int
    grouped: int
    images: int
    agreement: float | None
    halves_before: float | None
    halves_after: float | None
    loss: float


@dataclass(frozen=True)
class Adaptation:
    """How to adapt: `density` and `least` make groups, as `metrics.groups.group` has them."""

    rounds: int
    density: float
    least: int


@dataclass(frozen=True)
class RoundListener:
    """Whom an adaptation tells how it goes."""

    phase: Callable[[str, float], object] = lambda *_: None
    step: Callable[[StepReport], object] = lambda _: None
    round: Callable[[RoundReport], object] = lambda _: None
    show: bool = False


def adapt(
    unlabelled: Unlabelled,
    labelled: LabelledImages | None,
    recipe: JointRecipe,
    how: Adaptation,
    start: Path,
    out: Path,
    device: torch.device,
    listener: RoundListener = RoundListener(),
) -> tuple[Path, list[RoundReport]]:
    """Train `how.rounds` rounds in `out`, or go on with those of a stopped run; give the last
    round's checkpoint and every round's report.

    `start` is a joint checkpoint. `labelled` people are trained on in every round. Raises
    NothingToAdapt, BadCheckpoint, BadTrainingData, TrainingFailed.
    """
    checkpoint, reports = start, []
    before_N: Ints | None = None
    for number in range(1, how.rounds + 1):
        folder = out / f"round-{number}"
        found = _Round(unlabelled, labelled, recipe, how, checkpoint, folder, device, listener)
        reports.append(found.run(number, before_N))
        listener.round(reports[-1])
        checkpoint, before_N = folder / MODEL, found.groups()
    return checkpoint, reports


@dataclass
class _Round:
    """One round in its folder; what a stopped one has left is not done again."""

    unlabelled: Unlabelled
    labelled: LabelledImages | None
    recipe: JointRecipe
    how: Adaptation
    start: Path
    folder: Path
    device: torch.device
    listener: RoundListener

    def run(self, number: int, before_N: Ints | None) -> RoundReport:
        done = self.folder / REPORT
        if done.exists():
            return RoundReport(**json.loads(done.read_text(encoding="utf-8")))
        groups_N = self.groups()
        halves_before = self._halves(self._before, groups_N)
        training = JointTraining(
            self._people(groups_N), self.recipe, self.device,
            start=start_from_checkpoint(self.start), imprint=True,
            origin=content_hash(self.start), on_all=True,
        )  # fmt: skip
        loop = Loop(training, self.folder, show=self.listener.show, on_step=self.listener.step)
        loop.run()
        self._save(training)
        report = RoundReport(
            round=number,
            groups=int(groups_N.max()) + 1,
            grouped=int((groups_N != NOBODY).sum()),
            images=len(groups_N),
            agreement=None if before_N is None else agreement(before_N, groups_N),
            halves_before=halves_before,
            halves_after=self._halves(self._embed(self.folder / MODEL), groups_N),
            loss=float(loop.history[-1]["loss"]),
        )
        write_whole(done, json.dumps(asdict(report)).encode())
        return report

    def groups(self) -> Ints:
        """Each image's group, found once and then kept: a run that goes on has the same people."""
        path = self.folder / GROUPS
        if path.exists():
            kept: Ints = np.load(path, allow_pickle=False)
            if len(kept) == len(self.unlabelled.names):
                return kept
        centred_ND = centred(self._before.embeddings_ND, self.unlabelled.camids_N)
        phase = self.listener.phase
        groups_N = group(centred_ND, self.how.density, self.how.least, phase)
        found = int(groups_N.max(initial=NOBODY)) + 1
        if found < self.recipe.people:
            raise NothingToAdapt(
                f"{len(groups_N)} images give {found} groups that may be people, and a batch holds "
                f"{self.recipe.people}; bring more images, or lower `people` in the recipe"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, groups_N)
        partial.replace(path)
        return groups_N

    def _people(self, groups_N: Ints) -> LabelledImages:
        """The groups as people of a set of their own, behind the labelled ones.

        A group's attributes are what the round's start says of its images together: without them
        the attributes would be forgotten while the trunk moves.
        """
        scores_NA = self._before.scores_NA
        rng = np.random.default_rng(self.recipe.seed)
        keep, values = [], []
        for number in range(int(groups_N.max()) + 1):
            own = np.flatnonzero(groups_N == number)
            own = own if len(own) <= _MOST else np.sort(rng.permutation(own)[:_MOST])
            keep.append(own)
            decided = values_in_order(decide(scores_NA[own].mean(axis=0).tolist()))
            values.append(np.tile(np.array(decided, np.int64), (len(own), 1)))
        rows = np.concatenate(keep)
        found = LabelledImages(
            tuple(self.unlabelled.names[i] for i in rows),
            self.unlabelled.pixels_NHWC[rows],
            groups_N[rows] + 1 + (_sets(self.labelled) * SET_STRIDE),
            self.unlabelled.camids_N[rows],
            np.concatenate(values),
        )
        return found if self.labelled is None else self.labelled.followed_by(found)

    def _embed(self, checkpoint: Path) -> Outputs:
        pixels_NHWC = self.unlabelled.pixels_NHWC
        return embed(checkpoint, pixels_NHWC, self.device, self.listener.phase)

    @cached_property
    def _before(self) -> Outputs:
        """What the round's start says of all images: it takes minutes, and is asked three times."""
        return self._embed(self.start)

    def _halves(self, found: Outputs, groups_N: Ints) -> float | None:
        camids_N = self.unlabelled.camids_N
        return split_agreement(centred(found.embeddings_ND, camids_N), groups_N, camids_N)

    def _save(self, training: JointTraining) -> None:
        net = training.finished()
        header = Header(
            architecture=net.architecture,
            preprocessing=training.preprocessing,
            flip_average=self.recipe.flip_average,
            recipe={**self.recipe.to_json(), "origin": training.origin},
            notes="adapted to unlabelled images: nothing is measured or calibrated",
        )
        save(self.folder / MODEL, net, header, half=True)


def embed(
    checkpoint: Path,
    pixels_NHWC: Pixels,
    device: torch.device,
    phase: Callable[[str, float], object] = lambda *_: None,
) -> Outputs:
    """What a checkpoint's network gives for at least one image of its size, without quality."""
    extractor, scores, embeddings = Extractor(checkpoint, str(device)), [], []
    for start in range(0, len(pixels_NHWC), _BATCH):
        found = extractor(pixels_NHWC[start : start + _BATCH])
        scores.append(found.scores_NA)
        embeddings.append(found.embeddings_ND)
        phase("embed", min(1.0, (start + _BATCH) / len(pixels_NHWC)))
    return Outputs(np.concatenate(scores), np.concatenate(embeddings))


def _sets(labelled: LabelledImages | None) -> int:
    """How many training folders the labelled images come from."""
    return 0 if labelled is None else 1 + max(labelled.pids) // SET_STRIDE
