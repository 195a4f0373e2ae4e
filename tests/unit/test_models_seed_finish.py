"""From the report's two trainings to checkpoints, and what does not fit together."""

# N images, A=56 scores, D=512 embedding numbers

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.nets.seed_nets
from drawn.dataset import draw_dataset
from images.preprocessing import SEED
from metrics.distances import l2_distances
from models.checkpoint import BadCheckpoint, Header, read_header
from models.nets.load import load, save
from models.nets.seed_nets import AttributeNet, SeedNet
from models.training.data import BadTrainingData, LabelledImages, load_training_folder
from models.training.seed_finish import (
    OtherIdentities,
    check_people,
    finish_attributes,
    finish_siamese,
    read_attributes,
)
from models.training.seed_training import SiameseTraining
from tests.tiny_seed import ATTRIBUTES, CPU, SIAMESE, attributes_of, build_tiny


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(models.nets.seed_nets, "build_trunk", build_tiny)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=2)
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> LabelledImages:
    return load_training_folder(folder, SEED)


def written(images: LabelledImages, folder: Path, **changes: Any) -> Path:
    training = attributes_of(images, **changes)
    path = folder / "attributes.safetensors"
    folder.mkdir(exist_ok=True)
    finish_attributes(training, path, "default")
    return path


def test_the_attribute_checkpoint_says_what_it_is(images: LabelledImages, tmp_path: Path) -> None:
    training = attributes_of(images)
    path = tmp_path / "attributes.safetensors"
    header = finish_attributes(training, path, "mall")
    assert read_header(path) == header
    assert header.architecture == "seed-resnet34-attributes"
    assert (header.trained_pids, header.identity_space) == (tuple(training.pids), "mall")
    assert header.metrics["attributes"]["num_identities"] == 2
    assert header.preprocessing == SEED
    trained = read_attributes(path)
    assert trained.trunk == "resnet34"
    images_NCHW = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        wanted = training.net.eval()(images_NCHW)
        assert torch.equal(trained.net(images_NCHW), wanted), "in 32 bit"


def test_the_attribute_checkpoint_is_no_model_yet(images: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        load(written(images, tmp_path))
    assert str(caught.value) == (
        "seed-resnet34-attributes has attributes and no embedding yet; go on with "
        "`reid train siamese --attributes FILE`, and use what that writes"
    )


def test_both_networks_become_one_checkpoint(
    images: LabelledImages, folder: Path, tmp_path: Path
) -> None:
    trained = read_attributes(written(images, tmp_path))
    training = SiameseTraining(
        images, SIAMESE, CPU, attributes=trained.net, trunk="resnet34", origin=trained.content
    )
    path = tmp_path / "model.safetensors"
    strangers = [*sorted((folder / "test").iterdir()), tmp_path / "none.jpg"]
    header = finish_siamese(training, trained, path, "default", strangers)
    assert read_header(path) == header
    assert header.architecture == "seed-resnet34"
    assert not header.normalised
    assert header.trained_pids == tuple(training.pids)
    assert header.recipe == {"attributes": ATTRIBUTES.to_json(), "siamese": SIAMESE.to_json()}
    assert (
        header.metrics["reid"]["num_gallery"]
        < (header.metrics["reid_with_distractors"]["num_gallery"])
    )
    assert header.calibration["num_skipped"] == 1
    assert header.metrics["attributes"]["num_images"] == len(training.held_out.names)
    assert "no distance is calibrated: a limit needs 20 people" in header.notes
    net, _ = load(path)
    assert isinstance(net, SeedNet)
    images_NCHW = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        scores_NA, embeddings_ND = net(images_NCHW)
        torch.testing.assert_close(scores_NA, trained.net(images_NCHW), atol=2e-3, rtol=0)
        wanted_ND = training.net.eval()(images_NCHW)
        torch.testing.assert_close(embeddings_ND, wanted_ND, atol=2e-3, rtol=0)
    figures = training.validate().figures
    assert header.metrics["reid"]["mAP"] == pytest.approx(figures["mAP"], abs=0.05)


def test_figures_of_embeddings_that_are_not_normalised_are_of_plain_l2() -> None:
    a_ND, b_MD = np.random.default_rng(1).random((2, 5, 512), np.float32) * 3
    wanted = np.linalg.norm(a_ND[:, None].astype(float) - b_MD[None], axis=2)
    np.testing.assert_allclose(l2_distances(a_ND, b_MD), wanted, rtol=1e-12)
    near_ND = a_ND + np.float32(1e-5)
    wanted = np.linalg.norm(a_ND[0].astype(float) - near_ND[0])
    assert l2_distances(a_ND, near_ND)[0, 0] == pytest.approx(wanted, rel=1e-3)


def test_an_attribute_checkpoint_must_come_from_train_attributes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    net = SeedNet("resnet34")
    save(path, net, Header(net.architecture, SEED))
    with pytest.raises(BadCheckpoint) as caught:
        read_attributes(path)
    assert str(caught.value) == (
        f"{path} holds seed-resnet34; expected what `reid train attributes` wrote"
    )
    names = ("hat-1", "hat-2")
    other = Header("seed-resnet34-attributes", SEED, attribute_names=names)
    save(path, AttributeNet("resnet34"), other)
    with pytest.raises(BadCheckpoint, match="was trained on another attribute list"):
        read_attributes(path)
    save(path, SeedNet("resnet34"), Header("seed-resnet34-attributes", SEED))
    with pytest.raises(BadCheckpoint, match="does not hold the weights of seed-resnet34-attrib"):
        read_attributes(path)


def test_nobody_is_held_out_whom_the_attributes_know(
    images: LabelledImages, tmp_path: Path
) -> None:
    header = read_header(written(images, tmp_path))
    check_people(images, SIAMESE, header, "default")
    with pytest.raises(BadTrainingData) as caught:
        check_people(images, SIAMESE.with_changes(held_out=0.5), header, "default")
    assert str(caught.value).startswith("2 people who would be held out are known to the attribute")
    with pytest.raises(OtherIdentities) as other:
        check_people(images, SIAMESE, header, "mall")
    assert str(other.value) == (
        "the attributes were trained on people of 'default', these are of 'mall'; name the same "
        "space with --identities"
    )
