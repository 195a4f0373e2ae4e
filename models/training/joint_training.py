"""The default network's training: batches of people and junk, four losses, one warm cosine."""

# N images, P images of people, J junk crops, K people, C=27 columns

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from images.preprocessing import Preprocessing, joint_preprocessing
from models.nets.fusion import fit_fusion, fused
from models.nets.joint_net import JointNet, Training
from models.outputs import Outputs
from models.tensors import in_batches, normalise
from models.training.data import BadTrainingData, LabelledImages, split_people
from models.training.identity import Identities
from models.training.junk import make_junk
from models.training.losses import ColumnCrossEntropy, batch_hard_triplet
from models.training.recipe import JointRecipe
from models.training.sampler import pk_batches
from models.training.task import Ints, Validation
from models.training.validation import validate_attributes, validate_reid

Start = Callable[[JointNet], None]


class JointTraining:
    """Identity, triplets, attributes and crop quality at once; a task for the training loop.

    `start` puts weights into the fresh network, and `origin` says which; with `imprint` these know
    people already, and each identity's weights begin as the mean of its images. With `on_all`
    nobody is held out and nothing is measured. Raises BadTrainingData for fewer people than a batch
    holds.
    """

    batch_key, decisive = "people", "mAP"

    def __init__(
        self,
        images: LabelledImages,
        recipe: JointRecipe,
        device: torch.device,
        *,
        start: Start | None = None,
        imprint: bool = False,
        origin: str = "none",
        on_all: bool = False,
    ) -> None:
        self.recipe, self.device, self.origin, self.together = recipe, device, origin, recipe.images
        self._split(images, on_all)
        torch.manual_seed(recipe.seed)
        net = JointNet()
        if start:
            start(net)
        self.net = net.to(memory_format=torch.channels_last).to(device)
        self.identities = Identities(net.widths, len(self.pids), recipe).to(device)
        self.modules: dict[str, nn.Module] = {"net": self.net, "classifier": self.identities}
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            [*self.net.parameters(), *self.identities.parameters()],
            lr=recipe.rate,
            weight_decay=recipe.weight_decay,
        )
        if imprint:
            self.identities.imprint(self.embed(self.trained).embeddings_ND, self.people_N)

    def _split(self, images: LabelledImages, on_all: bool) -> None:
        recipe = self.recipe
        trained, held_out = split_people(images.pids, recipe.held_out, recipe.seed)
        if on_all:
            trained, held_out = trained | held_out, set()
        if len(trained) < recipe.people:
            raise BadTrainingData(
                f"a batch of this recipe holds {recipe.people} people, but there are only "
                f"{len(trained)} to train on; bring more, or lower `people` in the recipe"
            )
        self.trained, self.held_out = images.of_people(trained), images.of_people(held_out)
        self.pids = self.trained.pids
        position = {pid: k for k, pid in enumerate(self.pids)}
        self.people_N = torch.tensor([position[int(pid)] for pid in self.trained.pids_N])
        self.values_NC = torch.from_numpy(self.trained.values_NC)
        first_of_person = np.unique(self.trained.pids_N, return_index=True)[1]
        self.attributes = ColumnCrossEntropy(
            self.values_NC[torch.from_numpy(first_of_person)], recipe.rare_power
        ).to(self.device)

    @property
    def preprocessing(self) -> Preprocessing:
        return joint_preprocessing(self.recipe.height, self.recipe.width)

    def batches(self, epoch: int) -> list[Ints]:
        recipe, pids = self.recipe, self.trained.pids_N.tolist()
        return list(pk_batches(pids, recipe.people, recipe.images, recipe.seed, epoch))

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        recipe, index_P = self.recipe, torch.from_numpy(batch)
        junk_JHWC = make_junk(self.trained.pixels_NHWC, recipe.junk, rng)
        chosen_NHWC = np.concatenate([self.trained.pixels_NHWC[batch], junk_JHWC])
        # junk is changed like the rest: what augmentation leaves behind must not tell it apart
        pixels_NHWC = torch.from_numpy(recipe.augmentation(chosen_NHWC, rng)).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.net.training_outputs(normalise(pixels_NHWC, self.preprocessing))
        people_P = self.people_N[index_P].to(self.device)
        return self._weighted(
            outputs.full(), people_P, self.values_NC[index_P].to(self.device), len(junk_JHWC)
        )

    def _weighted(
        self, outputs: Training, people_P: Tensor, values_PC: Tensor, junk: int
    ) -> dict[str, Tensor]:
        """The people's images come first in the batch, junk after them."""
        recipe, count = self.recipe, len(people_P)
        nobody_J = people_P.new_full((junk,), -1)
        good_N = torch.cat([torch.ones(count), torch.zeros(junk)]).to(self.device)
        assert outputs.quality_N is not None
        losses = {
            "identity": self.identities(outputs.neck_ND[:count], people_P),
            "triplet": batch_hard_triplet(outputs.raw_ND, torch.cat([people_P, nobody_J])),
            "attributes": self.attributes(outputs.logits_NA[:count], values_PC),
            "quality": functional.binary_cross_entropy_with_logits(outputs.quality_N, good_N),
        }
        weights = {
            "identity": 1.0,
            "triplet": recipe.triplet_weight,
            "attributes": recipe.attribute_weight,
            "quality": recipe.quality_weight,
        }
        return {name: weights[name] * loss for name, loss in losses.items()}

    def rate_at(self, epoch: float) -> float:
        """Rises from a hundredth to the recipe's rate, then falls to zero as half a cosine."""
        warm, total, rate = self.recipe.warmup_epochs, self.recipe.epochs, self.recipe.rate
        if epoch < warm:
            return rate * (0.01 + 0.99 * epoch / warm)
        done = (epoch - warm) / max(1, total - warm)
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def embed(self, images: LabelledImages) -> Outputs:
        """What the network gives for at least one image, in evaluation mode and 32 bit."""
        self.net.eval()
        with torch.inference_mode():
            batches = [
                [part.cpu().numpy() for part in self.net(batch_NCHW)]
                for batch_NCHW in in_batches(images.pixels_NHWC, self.preprocessing, self.device)
            ]
        return Outputs(*(np.concatenate(part) for part in zip(*batches, strict=True)))

    def finished(self) -> JointNet:
        """The network as it is saved: with the recipe's last layer, which is fitted here."""
        recipe = self.recipe
        if not (recipe.whitening or recipe.score_weight):
            return self.net
        found = self.embed(self.trained)
        return fused(self.net, fit_fusion(found, recipe.whitening, recipe.score_weight))

    def validate(self) -> Validation:
        if not self.held_out.names:
            return Validation()
        found = self.embed(self.held_out)
        reid = validate_reid(self.held_out, found.embeddings_ND)
        attributes = validate_attributes(self.held_out, found.scores_NA)
        return Validation({**reid.figures, **attributes.figures}, reid.strip)
