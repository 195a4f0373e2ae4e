"""How large a batch of the report's networks fits in a GPU's memory, by trunk.

    python benchmarks/training_memory.py [--memory 8]

Nothing is run on a GPU. What a step keeps for its backward pass is counted on the CPU, where the
same layers keep the same tensors: every tensor that autograd saves, once for each storage, weights
left out, in the mixed precision of the training. Counted for 2 and for 6 images; the difference is
what an image costs. To it come weights, gradients and Adam's two averages (16 bytes a parameter),
the two largest saved maps again (their gradients, while one is made from the other), and 1 GB for
the driver, the library's workspaces and what the allocator cannot use.
"""

# N images

import argparse

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from models.nets.load import parameter_count
from models.nets.seed_nets import TRUNKS, AttributeNet, SiameseNet

_OVERHEAD = 2**30
_BYTES_A_PARAMETER = 16
_SIDE = 128


def saved_bytes(net: AttributeNet | SiameseNet, images: int) -> tuple[int, int]:
    """(all bytes, bytes of the largest storage) that a forward pass keeps for its backward pass."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # a freed storage's place would be taken by the next
        return tensor

    images_NCHW = torch.rand(images, 3, _SIDE, _SIDE).to(memory_format=torch.channels_last)
    with saved_tensors_hooks(save, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16):
            features = net.trunk(images_NCHW)
        net.head(features.float())
    return sum(sizes.values()), max(sizes.values())


def measure(net: AttributeNet | SiameseNet) -> tuple[float, float]:
    """(bytes at rest, bytes an image)."""
    net = net.to(memory_format=torch.channels_last).train()
    few, few_largest = saved_bytes(net, 2)
    many, many_largest = saved_bytes(net, 6)
    an_image = (many - few) / 4 + 2 * (many_largest - few_largest) / 4
    # the copies of the weights in 16 bit are saved once, whatever the batch
    rest = few - 2 * (many - few) / 4
    return _OVERHEAD + _BYTES_A_PARAMETER * parameter_count(net) + rest, an_image


def largest_power_of_two(number: float) -> int:
    return 2 ** (int(number).bit_length() - 1) if number >= 1 else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--memory", type=float, default=8.0, help="of the GPU, in GB")
    memory = parser.parse_args().memory * 2**30
    print("| trunk | parameters | MB an image | GB at 256 | attributes: images | siamese: pairs |")
    print("|---|---|---|---|---|---|")
    for trunk in TRUNKS:
        net = AttributeNet(trunk)
        rest, image = measure(net)
        siamese_rest, siamese_image = measure(SiameseNet(trunk))
        images = largest_power_of_two((memory - rest) / image)
        pairs = largest_power_of_two((memory - siamese_rest) / (2 * siamese_image))
        print(
            f"| {trunk} | {parameter_count(net) / 1e6:.1f} M | {image / 2**20:.1f} | "
            f"{(rest + 256 * image) / 2**30:.1f} | {images} | {pairs} |"
        )


if __name__ == "__main__":
    main()
