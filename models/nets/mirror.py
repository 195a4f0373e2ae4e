"""Flip averaging: the mean of what a network says of an image and of its mirror image."""

# N images, H and W pixels

from torch import Tensor, nn
from torch.nn import functional


class FlipAveraged(nn.Module):
    """A network of the same outputs at twice the cost. Scores and quality are averaged; embeddings
    too, and brought back to length 1 where the network's have it."""

    def __init__(self, net: nn.Module, *, normalised: bool) -> None:
        super().__init__()
        self.net, self.normalised = net, normalised

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        pairs = zip(self.net(images_NCHW), self.net(images_NCHW.flip(3)), strict=True)
        scores, embeddings, *rest = ((a + b) / 2 for a, b in pairs)
        if self.normalised:
            embeddings = functional.normalize(embeddings, dim=1)
        return (scores, embeddings, *rest)
