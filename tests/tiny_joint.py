"""The joint network with a tiny trunk and a recipe of two epochs, for tests of its training."""

# N images, H and W pixels

from torch import Tensor, nn

from models.training.augment import Augmentation
from models.training.recipe import JointRecipe

RECIPE = JointRecipe(
    epochs=2, height=128, width=64, people=4, images=2, junk=2, rate=3e-3, weight_decay=5e-4,
    warmup_epochs=1, label_smoothing=0.1, identity_scale=16.0, identity_margin=0.2, part_weight=0.5,
    triplet_weight=1.0, attribute_weight=1.0, quality_weight=1.0, rare_power=0.5, whitening=0.0,
    score_weight=0.0, flip_average=False, held_out=0.25, seed=7, augmentation=Augmentation(),
)  # fmt: skip


class TinyTrunk(nn.Module):
    """Images (N, 3, H, W) to maps (N, 16, H/16, W/16)."""

    num_features = 16

    def __init__(self, last_stride: int = 1) -> None:
        super().__init__()
        assert last_stride == 1
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 4, 1),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features: Tensor = self.features(images_NCHW)
        return features
