"""Training of the joint network: batches of people, three losses, validation, resume."""

# N images, D=512 embedding numbers, A=56 scores, C=27 columns

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from errors import ReidError
from models.data import BadTrainingData, LabelledImages, query_mask, split_people
from models.joint_net import EMBEDDING_DIM, JointNet
from models.losses import ColumnCrossEntropy, batch_hard_triplet
from models.metrics import ReidMetrics, evaluate_distmat
from models.recipe import JointRecipe
from models.sampler import pk_batches
from models.tensors import normalise
from models.transforms import JOINT


class TrainingFailed(ReidError):
    """Training cannot go on; the last good checkpoint is kept."""


@dataclass
class EpochReport:
    """What one epoch gave. `reid` is None where it was not validated."""

    epoch: int
    loss: float
    rate: float
    reid: ReidMetrics | None = None


@dataclass
class JointTraining:
    """One run: the network, its optimiser, and where it stands. Resumes from `folder/last.pt`.

    Raises BadTrainingData for fewer people than a batch holds, TrainingFailed for a folder with
    another run. With `train_on_all` nobody is held out and nothing can be measured.
    """

    images: LabelledImages
    recipe: JointRecipe
    folder: Path
    device: torch.device
    start_weights: Callable[[JointNet], None] | None = None
    train_on_all: bool = False
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.recipe.seed)
        trained, held_out = split_people(self.images.pids, self.recipe.held_out, self.recipe.seed)
        if self.train_on_all:
            trained, held_out = trained | held_out, set()
        if len(trained) < self.recipe.people:
            raise BadTrainingData(
                f"a batch of this recipe holds {self.recipe.people} people, but there are only "
                f"{len(trained)} to train on; bring more, or lower `people` in the recipe"
            )
        self.trained = self.images.of_people(trained)
        self.held_out = self.images.of_people(held_out)
        classes = {pid: position for position, pid in enumerate(self.trained.pids)}
        self.classes_N = torch.tensor([classes[int(p)] for p in self.trained.pids_N])
        self.values_NC = torch.from_numpy(self.trained.values_NC)
        self.net = JointNet().to(memory_format=torch.channels_last).to(self.device)
        if self.start_weights:
            self.start_weights(self.net)
        self.classifier = nn.Linear(EMBEDDING_DIM, len(classes), bias=False).to(self.device)
        people = np.unique(self.trained.pids_N, return_index=True)[1]
        self.attribute_loss = ColumnCrossEntropy(
            self.values_NC[torch.from_numpy(people)], self.recipe.rare_power
        ).to(self.device)
        self.optimiser = torch.optim.AdamW(
            [*self.net.parameters(), *self.classifier.parameters()],
            lr=self.recipe.rate,
            weight_decay=self.recipe.weight_decay,
        )
        self._resume()

    @property
    def steps_an_epoch(self) -> int:
        return sum(1 for _ in self._batches(self.epoch))

    def _batches(self, epoch: int) -> Any:
        recipe = self.recipe
        return pk_batches(
            self.trained.pids_N.tolist(), recipe.people, recipe.images, recipe.seed, epoch
        )

    def run_epoch(self, *, validate: bool, show: bool) -> EpochReport:
        """One pass over the people; saves `last.pt` when it is complete."""
        torch.manual_seed(self.recipe.seed * 10_000 + self.epoch)
        rng = np.random.default_rng([self.recipe.seed, 1, self.epoch])
        batches = list(self._batches(self.epoch))
        self.net.train()
        losses = []
        bar = tqdm(batches, desc=f"epoch {self.epoch + 1}/{self.recipe.epochs}", disable=not show)
        for step, batch in enumerate(bar):
            self._set_rate(self.epoch + step / len(batches))
            losses.append(self._step(batch, rng))
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
        self.epoch += 1
        report = EpochReport(self.epoch, float(np.mean(losses)), self._rate_at(self.epoch - 1))
        if validate and len(self.held_out.names):
            report.reid = self.validate()
        self.history.append(
            {
                "epoch": self.epoch,
                "loss": report.loss,
                "mAP": report.reid and report.reid.mAP,
                "rank1": report.reid and report.reid.rank1,
            }
        )
        self._save()
        return report

    def _step(self, batch: Any, rng: np.random.Generator) -> float:
        pixels = self.recipe.augmentation(self.trained.pixels_NHWC[batch], rng)
        index = torch.from_numpy(batch)
        classes_N = self.classes_N[index].to(self.device)
        values_NC = self.values_NC[index].to(self.device)
        images = normalise(torch.from_numpy(pixels).to(self.device), JOINT)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.net.training_outputs(images)
        loss = self._loss(*outputs, classes_N, values_NC)
        value = float(loss.detach())
        if not math.isfinite(value):
            kept = f"the checkpoint of the epoch before is in {self.folder}"
            raise TrainingFailed(
                f"the loss became {value} in epoch {self.epoch + 1}; "
                f"{kept if self.epoch else 'nothing was saved yet'}; try again with a lower rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return value

    def _loss(
        self, raw_ND: Tensor, neck_ND: Tensor, logits_NA: Tensor, classes_N: Tensor, values: Tensor
    ) -> Tensor:
        recipe = self.recipe
        identity = functional.cross_entropy(
            self.classifier(neck_ND.float()), classes_N, label_smoothing=recipe.label_smoothing
        )
        triplet = batch_hard_triplet(raw_ND.float(), classes_N)
        attributes: Tensor = self.attribute_loss(logits_NA.float(), values)
        return identity + recipe.triplet_weight * triplet + recipe.attribute_weight * attributes

    def _rate_at(self, epoch: float) -> float:
        warm, total = self.recipe.warmup_epochs, self.recipe.epochs
        if epoch < warm:
            return self.recipe.rate * (0.01 + 0.99 * epoch / warm)
        done = (epoch - warm) / max(1, total - warm)
        return self.recipe.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _set_rate(self, epoch: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate_at(epoch)

    def embed(self, images: LabelledImages) -> tuple[Any, Any]:
        """Scores (N, 56) and embeddings (N, 512) as NumPy arrays, in evaluation mode."""
        self.net.eval()
        scores, embeddings = [], []
        with torch.inference_mode():
            for start in range(0, len(images.names), 64):
                pixels = torch.from_numpy(images.pixels_NHWC[start : start + 64])
                out = self.net(normalise(pixels.to(self.device), JOINT))
                scores.append(out[0].cpu().numpy())
                embeddings.append(out[1].cpu().numpy())
        return np.concatenate(scores), np.concatenate(embeddings)

    def validate(self) -> ReidMetrics:
        """Single-query metrics on the people held out."""
        images = self.held_out
        _, embeddings_ND = self.embed(images)
        queries = query_mask(images)
        gallery = ~queries
        similarity = embeddings_ND[queries] @ embeddings_ND[gallery].T
        return evaluate_distmat(
            np.sqrt(np.maximum(0, 2 - 2 * similarity)),
            images.pids_N[queries],
            images.pids_N[gallery],
            images.camids_N[queries],
            images.camids_N[gallery],
        )

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / "last.pt.partial"
        torch.save(
            {
                "net": self.net.state_dict(),
                "classifier": self.classifier.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "epoch": self.epoch,
                "history": self.history,
                "recipe": self.recipe.to_json(),
                "pids": self.trained.pids,
            },
            partial,
        )
        partial.replace(self.folder / "last.pt")

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            raise TrainingFailed(f"{path} is damaged; remove it to start again") from None
        # runs of before this field was kept are told apart by the number of people alone
        people = state.get("pids", len(state["classifier"]["weight"]))
        same_recipe = state["recipe"] == self.recipe.to_json()
        if not same_recipe or people not in (self.trained.pids, len(self.trained.pids)):
            other = "other people" if same_recipe else "another recipe"
            raise TrainingFailed(
                f"{path} belongs to {other}; name another folder with --out or remove it"
            )
        self.net.load_state_dict(state["net"])
        self.classifier.load_state_dict(state["classifier"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.history = state["epoch"], state["history"]
