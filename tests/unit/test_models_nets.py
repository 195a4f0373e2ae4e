"""The networks: every architecture by name, and the report's seed networks layer for layer."""

# N images, F trunk features, A=56 scores, D=512 embedding numbers

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import GoogLeNet_Weights

from images.preprocessing import JOINT, SEED
from models.checkpoint import BadCheckpoint
from models.nets.load import ARCHITECTURES, build, parameter_count
from models.nets.seed_nets import TRUNKS, AttributeNet, SeedNet, SiameseNet, build_trunk

# a real forward of the others adds nothing but time
SMALL = (
    "joint-mobilenet_v2-parts", "joint-mobilenet_v2",
    "seed-alexnet", "seed-googlenet", "seed-resnet34", "seed-resnet50",
)  # fmt: skip
FEATURES = {
    "alexnet": 4096,
    "googlenet": 1024,
    "resnet34": 512,
    "resnet50": 2048,
    "resnet152": 2048,
    "wide_resnet50_2": 2048,
    "resnext50_32x4d": 2048,
}


def size_of(architecture: str) -> tuple[int, int]:
    taken = SEED if architecture.startswith("seed") else JOINT
    return taken.height, taken.width


def torchvision_net(trunk: str) -> nn.Module:
    options: dict[str, Any] = {}
    if trunk == "googlenet":
        options = {"aux_logits": False, "init_weights": False}
    builder: Callable[..., nn.Module] = getattr(torchvision.models, trunk)
    return builder(weights=None, **options)


def test_there_is_a_name_for_the_default_and_for_each_trunk_of_the_report() -> None:
    assert list(ARCHITECTURES) == [
        "joint-mobilenet_v2-parts-fused",
        "joint-mobilenet_v2-parts",
        "joint-mobilenet_v2",
        *(f"seed-{trunk}" for trunk in FEATURES),
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gives_56_scores_and_512_numbers(architecture: str) -> None:
    with torch.device("meta"):
        net = build(architecture)
        scores_NA, embeddings_ND, *_ = net(torch.empty(2, 3, *size_of(architecture)))
    assert net.architecture == architecture
    assert scores_NA.shape == (2, 56)
    assert embeddings_ND.shape == (2, 512)


@pytest.mark.parametrize("architecture", SMALL)
def test_numbers_are_in_range(architecture: str) -> None:
    torch.manual_seed(1)
    net = build(architecture).eval()
    with torch.inference_mode():
        scores_NA, embeddings_ND, *quality = net(torch.rand(2, 3, *size_of(architecture)))
    assert all(0 <= float(value) <= 1 for part in quality for value in part)
    assert scores_NA.shape == (2, 56)
    assert embeddings_ND.shape == (2, 512)
    assert bool(((scores_NA >= 0) & (scores_NA <= 1)).all())
    if net.normalised:
        torch.testing.assert_close(embeddings_ND.norm(dim=1), torch.ones(2), rtol=0, atol=1e-6)
    else:
        assert bool(((embeddings_ND >= 0) & (embeddings_ND <= 1)).all())


def test_a_name_that_is_no_architecture() -> None:
    with pytest.raises(BadCheckpoint) as caught:
        build("seed-vgg")
    assert str(caught.value) == (
        "unknown architecture 'seed-vgg'; known are joint-mobilenet_v2-parts-fused, "
        "joint-mobilenet_v2-parts, joint-mobilenet_v2, seed-alexnet, seed-googlenet, "
        "seed-resnet34, seed-resnet50, seed-resnet152, seed-wide_resnet50_2, "
        "seed-resnext50_32x4d"
    )


def linears(head: nn.Sequential) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("trunk", TRUNKS)
def test_seed_heads_stand_in_the_place_of_the_last_layer(trunk: str) -> None:
    with torch.device("meta"):
        attributes, siamese = AttributeNet(trunk), SiameseNet(trunk)
    features = FEATURES[trunk]
    assert [type(m) for m in attributes.head] == [nn.Linear, nn.Linear, nn.Linear, nn.Sigmoid]
    assert linears(attributes.head) == [(features, 1024), (1024, 512), (512, 56)]
    assert [type(m) for m in siamese.head] == [nn.Linear, nn.Linear, nn.Sigmoid]
    assert linears(siamese.head) == [(features, 1024), (1024, 512)]


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_seed_trunk_is_torchvisions_without_the_last_layer(trunk: str) -> None:
    with torch.device("meta"):
        theirs = torchvision_net(trunk)
        ours, features = build_trunk(trunk)
    place = "classifier.6" if trunk == "alexnet" else "fc"
    last = theirs.get_submodule(place)
    assert isinstance(last, nn.Linear)
    assert features == last.in_features == FEATURES[trunk]
    assert isinstance(ours.get_submodule(place), nn.Identity)
    assert parameter_count(ours) == parameter_count(theirs) - parameter_count(last)
    kept = {n: t.shape for n, t in theirs.state_dict().items() if not n.startswith(place)}
    assert {n: t.shape for n, t in ours.state_dict().items()} == kept


def test_a_seed_trunk_gives_what_torchvisions_last_layer_is_fed() -> None:
    theirs = torchvision_net("resnet34").eval()
    ours, _ = build_trunk("resnet34")
    state = {n: t for n, t in theirs.state_dict().items() if not n.startswith("fc.")}
    ours.load_state_dict(state)
    images_NCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        features_NF = ours.eval()(images_NCHW)
        last = theirs.get_submodule("fc")
        torch.testing.assert_close(last(features_NF), theirs(images_NCHW), rtol=0, atol=0)


def test_there_is_no_such_trunk() -> None:
    with pytest.raises(ValueError, match=r"^no trunk 'vgg'; known are alexnet, googlenet"):
        build_trunk("vgg")


def test_googlenet_with_weights_is_the_one_that_a_checkpoint_is_loaded_onto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torchvision's pretrained GoogLeNet rescales its input; ours must not, with or without."""
    torch.manual_seed(2)
    downloaded = torchvision.models.GoogLeNet(init_weights=False).state_dict()
    monkeypatch.setattr(GoogLeNet_Weights, "get_state_dict", lambda *_, **__: downloaded)
    pretrained, _ = build_trunk("googlenet", weights="DEFAULT")
    reloaded, _ = build_trunk("googlenet")
    reloaded.load_state_dict(pretrained.state_dict())
    images_NCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        wanted_NF = pretrained.eval()(images_NCHW)
        torch.testing.assert_close(reloaded.eval()(images_NCHW), wanted_NF, rtol=0, atol=0)
    assert isinstance(pretrained.train()(images_NCHW), Tensor), "no auxiliary heads in training"


def test_the_siamese_net_starts_from_the_trunk_that_the_attributes_trained() -> None:
    torch.manual_seed(3)
    attributes, siamese = AttributeNet("resnet34").eval(), SiameseNet("resnet34").eval()
    images_NCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        wanted_NF = attributes.trunk(images_NCHW)
        assert not torch.equal(siamese.trunk(images_NCHW), wanted_NF)
        siamese.start_from(attributes)
        assert torch.equal(siamese.trunk(images_NCHW), wanted_NF)
        assert torch.equal(siamese(images_NCHW), siamese.head(wanted_NF))


def test_the_seed_net_runs_both_side_by_side() -> None:
    torch.manual_seed(4)
    net = SeedNet("resnet34").eval()
    images_NCHW = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        scores_NA, embeddings_ND = net(images_NCHW)
        assert torch.equal(scores_NA, net.attributes(images_NCHW))
        assert torch.equal(embeddings_ND, net.siamese(images_NCHW))
