"""The report's two trainings, as its authors meant them: attributes, then pairs of images.

Source: Piva and Bulbarelli, sections 1.2 and 2.2. Three mistakes of theirs are not copied: their
contrastive loss pushed the same person apart, their pairs were neighbours in the list of files,
and images and attributes were read in different orders.
"""

# N images, B images or pairs of a batch, F trunk features, A=56 scores, D=512 embedding numbers

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from images.preprocessing import SEED, Pixels
from metrics.attribute_groups import bits_of, known_bits
from models.nets.seed_nets import AttributeNet, SiameseNet
from models.outputs import FloatRows
from models.tensors import in_batches, normalise
from models.training.data import BadTrainingData, LabelledImages, split_people
from models.training.losses import contrastive
from models.training.pairs import draw_pairs
from models.training.seed_recipe import AttributesRecipe, SeedRecipe, SiameseRecipe
from models.training.start import NoStartWeights
from models.training.task import Ints, Validation
from models.training.validation import validate_attributes, validate_reid

IMAGENET = "IMAGENET1K_V1"  # the weights of the report's time, of every trunk
SeedHalf = AttributeNet | SiameseNet
Net = TypeVar("Net", AttributeNet, SiameseNet)


class AttributesTraining:
    """Binary cross-entropy on the 56 scores; a task for the training loop.

    `weights` is None or a torchvision weight name, which is downloaded. `origin` says which start
    this is. With `held_out` 0 nothing is measured. Raises NoStartWeights.
    """

    together, batch_key, decisive = 1, "batch", "balanced_accuracy"

    def __init__(
        self,
        images: LabelledImages,
        recipe: AttributesRecipe,
        device: torch.device,
        *,
        weights: str | None = None,
        origin: str = "none",
    ) -> None:
        self.recipe, self.device, self.origin = recipe, device, origin
        self.trained, self.held_out = _split(images, recipe)
        self.pids = self.trained.pids
        known_NA = known_bits(self.trained.values_NC)
        if not known_NA.any():
            raise BadTrainingData(
                "no attribute of anybody is known; bring annotations_train.csv with 27 columns for "
                "each person"
            )
        self.bits_NA = torch.from_numpy(bits_of(self.trained.values_NC)).float()
        self.known_NA = torch.from_numpy(known_NA).float()
        torch.manual_seed(recipe.seed)
        self.net = _placed(_started(recipe.trunk, weights), device)
        self.modules: dict[str, nn.Module] = {"net": self.net}
        self.optimiser = recipe.optimiser_for(self.net.parameters())

    def batches(self, epoch: int) -> list[Ints]:
        rng = np.random.default_rng([self.recipe.seed, epoch])
        return _cut(rng.permutation(len(self.trained.names)), self.recipe.batch)

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        pixels_NHWC = self.recipe.augmentation(self.trained.pixels_NHWC[batch], rng)
        # with the sigmoid inside the loss, what is no number stays none, and can be reported
        logits_NA = self.net.head[:-1](_features(self.net, pixels_NHWC, self.device))
        bits_NA = self.bits_NA[torch.from_numpy(batch)].to(self.device)
        known_NA = self.known_NA[torch.from_numpy(batch)].to(self.device)
        summed = functional.binary_cross_entropy_with_logits(
            logits_NA, bits_NA, weight=known_NA, reduction="sum"
        )
        return {"attributes": summed / known_NA.sum().clamp_min(1)}

    def rate_at(self, epoch: float) -> float:  # noqa: ARG002 - the report's rate is constant
        return self.recipe.rate

    def validate(self) -> Validation:
        if not self.held_out.names:
            return Validation()
        return validate_attributes(self.held_out, evaluate(self.net, self.held_out, self.device))


class SiameseTraining:
    """Contrastive loss on pairs, from the trunk that the attributes trained; a task for the loop.

    Raises BadTrainingData where the people trained on give no pairs.
    """

    together, batch_key, decisive = 1, "batch", "mAP"

    def __init__(
        self,
        images: LabelledImages,
        recipe: SiameseRecipe,
        device: torch.device,
        *,
        attributes: AttributeNet,
        trunk: str,
        origin: str = "none",
    ) -> None:
        self.recipe, self.device, self.origin = recipe, device, origin
        self.trained, self.held_out = _split(images, recipe)
        self.pids = self.trained.pids
        torch.manual_seed(recipe.seed)
        self.net = SiameseNet(trunk)
        self.net.start_from(attributes)
        self.net = _placed(self.net, device)
        self.modules: dict[str, nn.Module] = {"net": self.net}
        self.optimiser = recipe.optimiser_for(self.net.parameters())
        self.batches(0)

    def batches(self, epoch: int) -> list[Ints]:
        """Rows of (first image, second image, 1 for the same person or 0), each batch (B, 3)."""
        images = self.trained
        pairs = draw_pairs(images.pids_N, images.camids_N, self.recipe.seed, epoch)
        return _cut(np.column_stack([pairs.images_M2, pairs.same_M]), self.recipe.batch)

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        # both branches are one network: their images go through it together
        chosen = np.concatenate([batch[:, 0], batch[:, 1]])
        pixels_NHWC = self.recipe.augmentation(self.trained.pixels_NHWC[chosen], rng)
        features_NF = _features(self.net, pixels_NHWC, self.device)
        first_BD, second_BD = self.net.head(features_NF).chunk(2)
        same_B = torch.from_numpy(batch[:, 2]).float().to(self.device)
        return {"contrastive": contrastive(first_BD, second_BD, same_B, self.recipe.margin)}

    def rate_at(self, epoch: float) -> float:  # noqa: ARG002 - the report's rate is constant
        return self.recipe.rate

    def validate(self) -> Validation:
        if not self.held_out.names:
            return Validation()
        return validate_reid(self.held_out, evaluate(self.net, self.held_out, self.device))


def _started(trunk: str, weights: str | None) -> AttributeNet:
    try:
        return AttributeNet(trunk, weights=weights)
    except OSError as error:
        raise NoStartWeights(
            f"the ImageNet weights of {trunk} cannot be downloaded ({error}); "
            "start from nothing with --start none"
        ) from error


def _split(images: LabelledImages, recipe: SeedRecipe) -> tuple[LabelledImages, LabelledImages]:
    trained, held_out = split_people(images.pids, recipe.held_out, recipe.seed)
    return images.of_people(trained), images.of_people(held_out)


def _placed(net: Net, device: torch.device) -> Net:
    return net.to(memory_format=torch.channels_last).to(device)


def _cut(rows: Ints, size: int) -> list[Ints]:
    """Full batches; where there is not one, what there is. The rest has its turn another epoch."""
    full = len(rows) // size
    return [rows[i * size : (i + 1) * size] for i in range(full)] or [rows]


def _features(net: SeedHalf, pixels_NHWC: Pixels, device: torch.device) -> Tensor:
    """The trunk in 16 bit, for a head in 32: in 16 bit, a sigmoid rounds to 0 and 1."""
    images_NCHW = normalise(torch.from_numpy(pixels_NHWC).to(device), SEED)
    with torch.autocast(device.type, torch.bfloat16):
        features_NF: Tensor = net.trunk(images_NCHW)
    return features_NF.float()


def evaluate(net: SeedHalf, images: LabelledImages, device: torch.device) -> FloatRows:
    """What the network gives for at least one image, in evaluation mode and 32 bit: (N, 56) or
    (N, 512)."""
    net.eval()
    with torch.inference_mode():
        rows = [net(batch).cpu().numpy() for batch in in_batches(images.pixels_NHWC, SEED, device)]
    found: FloatRows = np.concatenate(rows)
    return found
