"""The default network: MobileNetV2's own trunk, two heads, rows that do not depend on the batch."""

# N images, H and W pixels, A=56 scores, D=512 embedding numbers

from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from images.preprocessing import JOINT, Pixels, Preprocessing
from models.checkpoint import Header
from models.extractor import Extractor, UnknownDevice, choose_device
from models.nets.folding import fold
from models.nets.joint_net import WITH_PARTS, JointNet, column_softmax
from models.nets.load import ARCHITECTURES, parameter_count, save
from models.nets.trunks import MobileNetV2, load_in_order
from models.tensors import normalise
from vocabulary import COLUMNS, LABEL_OF, NAMES, NUM_VALUES

# The same image in batches of 16, 37 and 64, on one thread and on two: equal to the bit. In smaller
# ones, which take other kernels: numbers 5e-7 apart, embeddings 2e-6 (L2). The limits leave room
# for other processors, and stay within the 1e-5 that a search fetches beyond its limit.
LARGE_BATCH, SMALL_BATCH = 1e-6, 1e-5


Net = TypeVar("Net", bound=nn.Module)


def weights_of(net: nn.Module) -> list[Tensor]:
    named = net.state_dict().items()
    return [tensor for name, tensor in named if not name.endswith("num_batches_tracked")]


def stirred(net: Net, seed: int) -> Net:
    """Random scales and the statistics of a batch: as initialised, all rows would be alike."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.1, 0.1, generator=generator)
    with torch.no_grad():
        net.train()(torch.rand(16, 3, 128, 64, generator=generator))
    return net.eval()


def test_the_trunk_has_torchvisions_tensors_in_torchvisions_order() -> None:
    with torch.device("meta"):
        ours, theirs = MobileNetV2(), mobilenet_v2().features
    assert [(n.removeprefix("features."), t.shape) for n, t in ours.state_dict().items()] == [
        (n, t.shape) for n, t in theirs.state_dict().items()
    ]
    assert len(weights_of(ours)) == 260
    assert parameter_count(ours) == parameter_count(theirs) == 2_223_872


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(10)


@pytest.mark.parametrize(("height", "width"), [(128, 64), (96, 160)])
@pytest.mark.parametrize(("last_stride", "reduction"), [(1, 16), (2, 32)])
def test_the_map_is_a_sixteenth_with_last_stride_1(
    height: int, width: int, last_stride: int, reduction: int
) -> None:
    with torch.device("meta"):
        maps = MobileNetV2(last_stride)(torch.empty(2, 3, height, width))
    assert maps.shape == (2, 1280, height // reduction, width // reduction)


def test_with_torchvisions_weights_it_gives_torchvisions_features() -> None:
    theirs = stirred(mobilenet_v2().features, 5)
    ours = MobileNetV2(last_stride=2)
    load_in_order(ours, weights_of(theirs))
    images_NCHW = torch.rand(2, 3, 128, 64)
    with torch.inference_mode():
        wanted = theirs(images_NCHW)
        found = ours.eval()(images_NCHW)
    assert float(wanted.std()) > 0.01
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_weights_of_another_number_or_shape_are_refused() -> None:
    trunk = MobileNetV2()
    weights = [tensor.clone() for tensor in weights_of(trunk)]
    with pytest.raises(ValueError, match=r"^expected 260 tensors, got 259$"):
        load_in_order(trunk, weights[:-1])
    weights[5] = weights[5].new_zeros(3)
    with pytest.raises(ValueError, match=r"^tensor 5: expected \(32, 1, 3, 3\), got \(3,\)$"):
        load_in_order(trunk, weights)


def test_column_softmax_sums_to_one_within_each_column() -> None:
    logits_NA = torch.randn(7, 56, generator=torch.Generator().manual_seed(6)) * 20
    scores_NA = column_softmax(logits_NA)
    assert bool(((scores_NA >= 0) & (scores_NA <= 1)).all())
    for column in COLUMNS:
        start, size = LABEL_OF[f"{column}-1"] - 1, NUM_VALUES[column]
        assert NAMES[start + size - 1] == f"{column}-{size}"
        part = slice(start, start + size)
        torch.testing.assert_close(scores_NA[:, part].sum(1), torch.ones(7))
        torch.testing.assert_close(scores_NA[:, part], logits_NA[:, part].softmax(1))


def test_half_of_the_embedding_is_of_the_whole_image_and_half_of_two_bands() -> None:
    net = JointNet()
    assert net.architecture == "joint-mobilenet_v2-parts"
    assert net.widths == [256, 128, 128]
    assert all(layer.in_features == 1280 and layer.bias is None for layer in net.pieces)
    assert net.neck.num_features == 512
    assert not net.neck.bias.requires_grad, "the neck keeps its centre: Bag of Tricks"
    assert parameter_count(net) < 4_000_000


def test_a_band_sees_its_half_of_the_image_only() -> None:
    """Up to the trunk's reach, which ends well before the other end of a tall image."""
    net = stirred(JointNet(), 7)
    images_NCHW = torch.rand(1, 3, 1024, 64)
    changed = images_NCHW.clone()
    changed[:, :, 1000:] = 0
    with torch.inference_mode():
        raw_D = (net.training_outputs(changed).raw_ND - net.training_outputs(images_NCHW).raw_ND)[0]
    whole, upper, lower = (piece.abs().max() for piece in torch.split(raw_D, net.widths))
    assert float(upper) == 0
    assert min(float(whole), float(lower)) > 1e-4


def test_the_first_network_has_neither_bands_nor_quality() -> None:
    net = stirred(JointNet(parts=0), 7)
    assert (net.architecture, net.widths) == ("joint-mobilenet_v2", [512])
    assert [part.shape[1] for part in net(torch.rand(2, 3, 128, 64))] == [56, 512]


def test_search_uses_what_comes_after_the_neck() -> None:
    net = stirred(JointNet(), 7)
    images_NCHW = torch.rand(3, 3, 128, 64)
    with torch.inference_mode():
        outputs = net.training_outputs(images_NCHW)
        scores_NA, embeddings_ND, quality_N = net(images_NCHW)
        assert torch.equal(outputs.neck_ND, net.neck(outputs.raw_ND))
    wanted_ND = outputs.neck_ND / outputs.neck_ND.norm(dim=1, keepdim=True)
    torch.testing.assert_close(embeddings_ND, wanted_ND)
    torch.testing.assert_close(scores_NA, column_softmax(outputs.logits_NA), rtol=0, atol=0)
    assert outputs.quality_N is not None
    torch.testing.assert_close(quality_N, outputs.quality_N.sigmoid(), rtol=0, atol=0)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    torch.manual_seed(8)
    path = tmp_path_factory.mktemp("joint") / "model.safetensors"
    save(path, stirred(JointNet(), 8), Header(WITH_PARTS, JOINT))
    return Extractor(path, "cpu")


@pytest.fixture(scope="module")
def pixels_NHWC() -> Pixels:
    return np.random.default_rng(9).integers(0, 256, (64, 128, 64, 3), dtype=np.uint8)


def test_embeddings_have_length_1(extractor: Extractor, pixels_NHWC: Pixels) -> None:
    scores_NA, embeddings_ND, quality_N = extractor(pixels_NHWC)
    assert quality_N is not None
    assert quality_N.shape == (64,)
    assert (scores_NA.shape, embeddings_ND.shape) == ((64, 56), (64, 512))
    assert {scores_NA.dtype, embeddings_ND.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.linalg.norm(embeddings_ND, axis=1), 1, rtol=0, atol=1e-6)
    assert float(embeddings_ND.std(axis=0).max()) > 1e-3, "different images, different rows"


def test_a_row_depends_on_its_image_alone(extractor: Extractor, pixels_NHWC: Pixels) -> None:
    whole = extractor(pixels_NHWC)
    turned = extractor(np.ascontiguousarray(pixels_NHWC[::-1]))
    fewer = extractor(pixels_NHWC[:37])
    for in_whole, in_turned, in_fewer in zip(whole, turned, fewer, strict=True):
        assert in_whole is not None and in_turned is not None and in_fewer is not None
        np.testing.assert_allclose(in_turned[::-1], in_whole, rtol=0, atol=LARGE_BATCH)
        np.testing.assert_allclose(in_fewer, in_whole[:37], rtol=0, atol=LARGE_BATCH)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_row_of_a_small_batch_is_nearly_the_same(
    extractor: Extractor, pixels_NHWC: Pixels, size: int
) -> None:
    small, large = extractor(pixels_NHWC[:size]), extractor(pixels_NHWC)
    for few, whole in zip(small[:2], large[:2], strict=True):
        assert float(np.linalg.norm(few - whole[:size], axis=1).max()) < SMALL_BATCH


def test_folding_leaves_the_numbers_as_they_are() -> None:
    net, images_NCHW = stirred(JointNet(), 7), torch.rand(3, 3, 128, 64)
    with torch.inference_mode():
        wanted = net(images_NCHW)
        found = fold(net)(images_NCHW)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="expected a network in evaluation mode"):
        fold(JointNet())


def test_flip_averaging_counts_the_mirror_image_in(tmp_path: Path, pixels_NHWC: Pixels) -> None:
    torch.manual_seed(8)
    path, net = tmp_path / "model.safetensors", stirred(JointNet(), 8)
    save(path, net, Header(WITH_PARTS, JOINT))
    plain = Extractor(path, "cpu")
    save(path, net, Header(WITH_PARTS, JOINT, flip_average=True))
    few_NHWC = pixels_NHWC[:4]
    found = Extractor(path, "cpu")(few_NHWC)
    there, back = plain(few_NHWC), plain(np.ascontiguousarray(few_NHWC[:, :, ::-1]))
    np.testing.assert_allclose(found[0], (there[0] + back[0]) / 2, rtol=0, atol=1e-6)
    wanted_ND = there[1] + back[1]
    wanted_ND /= np.linalg.norm(wanted_ND, axis=1, keepdims=True)
    np.testing.assert_allclose(found[1], wanted_ND, rtol=0, atol=1e-5)
    mirrored = Extractor(path, "cpu")(np.ascontiguousarray(few_NHWC[:, :, ::-1]))
    np.testing.assert_allclose(mirrored[1], found[1], rtol=0, atol=1e-5)


def test_pixels_become_normalised_channels() -> None:
    preprocessing = Preprocessing(1, 2, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))
    pixels_NHWC = torch.tensor([[[[0, 0, 0], [255, 255, 255]]]], dtype=torch.uint8)
    found = normalise(pixels_NHWC, preprocessing)
    assert found.dtype == torch.float32
    wanted = torch.tensor([[[[-1.0, 1.0]], [[-1.0, 3.0]], [[0.0, 1.0]]]])
    torch.testing.assert_close(found, wanted)


def test_a_device_that_is_not_there() -> None:
    for name in ("abacus", "cuda:99"):
        with pytest.raises(UnknownDevice) as caught:
            choose_device(name)
        assert str(caught.value) == f"no device {name!r} here; use cpu, cuda, cuda:1 ... or auto"
    assert choose_device("cpu") == torch.device("cpu")


def test_the_shipped_checkpoint_is_small_and_works() -> None:
    shipped = Path(__file__).parents[2] / "models" / "weights" / "default.safetensors"
    assert shipped.stat().st_size < 8_000_000
    extractor = Extractor(shipped, "cpu")
    assert extractor.header.architecture in ARCHITECTURES
    height, width = (extractor.header.preprocessing.height, extractor.header.preprocessing.width)
    embeddings_ND = extractor(np.zeros((2, height, width, 3), np.uint8)).embeddings_ND
    np.testing.assert_allclose(np.linalg.norm(embeddings_ND, axis=1), 1, rtol=0, atol=1e-6)
