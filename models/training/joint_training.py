"""The default network's training: batches of people and junk, four losses, one warm cosine."""

# N images, P images of people, J junk crops, K people, C=27 columns

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from images.preprocessing import Pixels, Preprocessing, joint_preprocessing
from models.nets.fusion import fit_fusion, fused
from models.nets.joint_net import JointNet, Training
from models.nets.trunks import has_tiles, multiply_in_bfloat16
from models.outputs import Outputs
from models.tensors import in_batches, normalise
from models.training.data import SET_STRIDE, BadTrainingData, LabelledImages, split_people
from models.training.device_augment import augment_batch
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
    nobody is held out and nothing is measured. `compiled` trains faster after a minute of
    compiling, where a C++ compiler is installed. With `singles` in the recipe, people with one
    image teach attributes and quality only. With `on_device`, as on a GPU, the images lie on the
    device as bytes and are augmented there. Raises BadTrainingData for fewer people than a batch
    holds.
    """

    batch_key, decisive = "people", "mAP"
    small = False

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
        compiled: bool = False,
        on_device: bool | None = None,
    ) -> None:
        self.recipe, self.device, self.origin, self.together = recipe, device, origin, recipe.images
        self._split(images, on_all)
        torch.manual_seed(recipe.seed)
        net = JointNet()
        if start:
            start(net)
        self.net = net.to(memory_format=torch.channels_last).to(device)
        self.identities = Identities(net.widths, self.num_people, recipe).to(device)
        self.modules: dict[str, nn.Module] = {"net": self.net, "classifier": self.identities}
        self.optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            [*self.net.parameters(), *self.identities.parameters()],
            lr=recipe.rate,
            weight_decay=recipe.weight_decay,
        )
        self._on_cpu(compiled)
        self.pixels_NHWC = self._sent(device.type != "cpu" if on_device is None else on_device)
        if imprint:
            embeddings_ND = self.embed(self.trained).embeddings_ND[self.several_M]
            self.identities.imprint(embeddings_ND, self.people_N[self.several_M])

    def _sent(self, wanted: bool) -> Tensor | None:
        """The training images on the device as bytes; None where they stay in the computer's
        memory."""
        if not wanted:
            return None
        try:
            return torch.from_numpy(self.trained.pixels_NHWC).to(self.device)
        except torch.OutOfMemoryError:
            return None

    def _on_cpu(self, compiled: bool) -> None:
        """Choose how the trunk's steps are computed; a GPU has autocast for that."""
        self.trunk_step: Callable[[Tensor], Tensor] = self.net.trunk
        if self.device.type == "cpu" and has_tiles():
            multiply_in_bfloat16(self.net.trunk)
        if compiled:
            self.trunk_step = torch.compile(self.net.trunk, dynamic=False)

    def _split(self, images: LabelledImages, on_all: bool) -> None:
        recipe = self.recipe
        # of several folders the first one's people are held out: one gallery, one set of cameras
        first = [pid for pid in images.pids if pid < SET_STRIDE]
        held_out = set() if on_all else split_people(first, recipe.held_out, recipe.seed)[1]
        trained = set(images.pids) - held_out
        self.trained, self.held_out = images.of_people(trained), images.of_people(held_out)
        self.pids = self.trained.pids
        _, person_N, counts = np.unique(
            self.trained.pids_N, return_inverse=True, return_counts=True
        )
        several_K = counts > 1 if recipe.singles else counts > 0
        self.num_people = int(several_K.sum())
        if self.num_people < recipe.people:
            raise BadTrainingData(
                f"a batch of this recipe holds {recipe.people} people, but there are only "
                f"{self.num_people} to train on; bring more, or lower `people` in the recipe"
            )
        position_K = np.where(several_K, np.cumsum(several_K) - 1, -1)
        self.people_N = torch.from_numpy(position_K[person_N])
        self.several_M = np.flatnonzero(several_K[person_N])
        self.singles_S = np.flatnonzero(~several_K[person_N])
        self.values_NC = torch.from_numpy(self.trained.values_NC)
        first_of_person = np.unique(self.trained.pids_N, return_index=True)[1]
        self.attributes = ColumnCrossEntropy(
            self.values_NC[torch.from_numpy(first_of_person)], recipe.rare_power
        ).to(self.device)

    @property
    def preprocessing(self) -> Preprocessing:
        return joint_preprocessing(self.recipe.height, self.recipe.width)

    def batches(self, epoch: int) -> list[Ints]:
        recipe, rows_M = self.recipe, self.several_M
        pids, camids = self.trained.pids_N[rows_M].tolist(), self.trained.camids_N[rows_M].tolist()
        cameras = camids if recipe.other_cameras_first else None
        self.small = epoch < recipe.small_epochs
        drawn = pk_batches(pids, recipe.people, recipe.images, recipe.seed, epoch, cameras)
        return [rows_M[batch] for batch in drawn]

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        recipe = self.recipe
        singles = rng.choice(self.singles_S, recipe.singles) if len(self.singles_S) else batch[:0]
        index_G = np.concatenate([batch, singles])  # everybody who is a person
        junk_JHWC = make_junk(self.trained.pixels_NHWC, recipe.junk, rng)
        pixels_NHWC = self._augmented(index_G, junk_JHWC, rng)
        outputs = self._outputs(normalise(pixels_NHWC, self.preprocessing))
        people_P = self.people_N[torch.from_numpy(batch)].to(self.device)
        values_GC = self.values_NC[torch.from_numpy(index_G)].to(self.device)
        return self._weighted(outputs.full(), people_P, values_GC)

    def _augmented(self, index_G: Ints, junk_JHWC: Pixels, rng: np.random.Generator) -> Tensor:
        """The images, then the junk, changed: what augmentation leaves behind must not tell junk
        apart. Images that lie on the device are changed there."""
        changes = self.recipe.augmentation
        if self.pixels_NHWC is None:
            chosen_NHWC = np.concatenate([self.trained.pixels_NHWC[index_G], junk_JHWC])
            return torch.from_numpy(changes(chosen_NHWC, rng)).to(self.device)
        chosen = self.pixels_NHWC[torch.from_numpy(index_G).to(self.device)]
        junk = torch.from_numpy(junk_JHWC).to(self.device)
        return augment_batch(torch.cat([chosen, junk]), changes, rng)

    def _outputs(self, images_NCHW: Tensor) -> Training:
        if self.small:
            height, width = self.recipe.height * 2 // 3, self.recipe.width * 2 // 3
            images_NCHW = functional.interpolate(
                images_NCHW, (height, width), mode="bilinear", antialias=True
            ).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu"):
            return self.net.heads(self.trunk_step(images_NCHW).float())

    def _weighted(
        self, outputs: Training, people_P: Tensor, values_GC: Tensor
    ) -> dict[str, Tensor]:
        """The people's images come first in the batch, then the singles', then junk."""
        recipe, people, good = self.recipe, len(people_P), len(values_GC)
        # a single may be somebody of another folder: neither an anchor nor a sure stranger
        raw_ND = torch.cat([outputs.raw_ND[:people], outputs.raw_ND[good:]])
        nobody_J = people_P.new_full((len(raw_ND) - people,), -1)
        assert outputs.quality_N is not None
        good_N = (torch.arange(len(outputs.quality_N), device=self.device) < good).float()
        losses = {
            "identity": self.identities(outputs.neck_ND[:people], people_P),
            "triplet": batch_hard_triplet(raw_ND, torch.cat([people_P, nobody_J])),
            "attributes": self.attributes(outputs.logits_NA[:good], values_GC),
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
        figures = dict(reid.figures)
        if self.held_out.values_NC.any():
            figures.update(validate_attributes(self.held_out, found.scores_NA).figures)
        return Validation(figures, reid.strip)
