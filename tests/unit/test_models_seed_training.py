"""The report's two trainings as their authors meant them, without the three mistakes they made.

A tiny trunk stands in for torchvision's: what is tested is the training around it.
"""

# N images, H and W pixels, A=56 scores, D=512 embedding numbers

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import models.nets.seed_nets
from drawn.dataset import draw_dataset
from images.preprocessing import SEED
from metrics.attribute_groups import bits_of
from models.nets.seed_nets import AttributeNet
from models.training.data import BadTrainingData, LabelledImages, load_training_folder, query_mask
from models.training.loop import Loop
from models.training.losses import pairwise_l2
from models.training.recipe_rules import BadRecipe
from models.training.seed_recipe import AttributesRecipe, SiameseRecipe
from models.training.seed_training import IMAGENET, AttributesTraining, SiameseTraining, evaluate
from models.training.start import NoStartWeights
from models.training.training_state import TrainingFailed
from tests.tiny_seed import ATTRIBUTES, CPU, SIAMESE, attributes_of, build_tiny, siamese_of


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


# The recipes


def test_the_shipped_recipes_are_the_reports() -> None:
    recipe = AttributesRecipe.read("seed-attributes")
    assert (recipe.trunk, recipe.epochs, recipe.batch) == ("resnet50", 5, 256)
    siamese = SiameseRecipe.read("seed-siamese")
    assert (siamese.epochs, siamese.batch, siamese.margin) == (15, 128, 2.0)
    for each in (recipe, siamese):
        assert (each.optimiser, each.rate, each.beta1, each.beta2) == ("adam", 1e-3, 0.5, 0.999)
        assert set(vars(each.augmentation).values()) == {0}
        assert (each.held_out, each.seed) == (0.2, 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('trunk = "vgg"', "trunk is 'vgg', expected one of alexnet, googlenet, resnet34"),
        ('optimiser = "lion"', "optimiser is 'lion', expected one of adam, sgd, adagrad"),
        ("optimiser = [1]", "optimiser is [1], expected one of adam"),
        ("batch = 1", "batch is 1, expected a whole number from 2 to"),
        ("beta2 = 1.0", "beta2 is 1.0, expected a number from 0 to below 1"),
        ("margin = 2.0", "unknown key margin; "),
    ],
)
def test_a_recipe_with_a_value_that_cannot_be(tmp_path: Path, text: str, why: str) -> None:
    shipped = Path(models.nets.seed_nets.__file__).parents[1] / "recipes" / "seed-attributes.toml"
    lines = shipped.read_text().splitlines()
    path = tmp_path / "mine.toml"
    kept = [line for line in lines if line.split(" = ")[0] != text.split(" = ")[0]]
    path.write_text("\n".join([text, *kept]))
    with pytest.raises(BadRecipe) as caught:
        AttributesRecipe.read("seed-attributes", path)
    assert str(caught.value).startswith(f"{path} is no seed-attributes recipe: {why}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD), ("adagrad", torch.optim.Adagrad)],
)
def test_each_optimiser_trains(
    images: LabelledImages, tmp_path: Path, name: str, kind: type[torch.optim.Optimizer]
) -> None:
    training = attributes_of(images, optimiser=name)
    assert type(training.optimiser) is kind
    before = {n: t.clone() for n, t in training.net.state_dict().items()}
    Loop(training, tmp_path).run_epoch()
    assert training.optimiser.param_groups[0]["lr"] == 1e-3
    changed = [n for n, t in training.net.named_parameters() if not torch.equal(t, before[n])]
    assert len(changed) == len(list(training.net.parameters()))


# Attributes


def test_the_attributes_are_learned(images: LabelledImages, tmp_path: Path) -> None:
    training = attributes_of(images, epochs=12)
    loop = Loop(training, tmp_path)
    loop.run()
    losses = [entry["loss"] for entry in loop.history]
    assert losses[-1] < 0.6 * losses[0]
    scores_NA = evaluate(training.net, training.trained, CPU)
    right = (scores_NA > 0.5) == bits_of(training.trained.values_NC)
    assert right.mean() > 0.9
    assert {"accuracy", "majority_accuracy", "bits_accuracy", "bits_majority_accuracy"} <= set(
        loop.history[-1]
    )


def test_the_loss_is_the_binary_cross_entropy_of_56_scores(images: LabelledImages) -> None:
    training = attributes_of(images)
    training.net.eval()
    batch = np.arange(5)
    found = float(training.losses(batch, np.random.default_rng(0))["attributes"].detach())
    scores_NA = evaluate(training.net, training.trained, CPU)[:5].astype(float)
    bits_NA = bits_of(training.trained.values_NC[:5])
    wanted = -np.log(np.where(bits_NA, scores_NA, 1 - scores_NA)).mean()
    assert found == pytest.approx(wanted, rel=2e-2), "the trunk runs in 16 bit"


ORDERS = ("sorted", "backwards", "shuffled")


@pytest.mark.parametrize("order", ORDERS)
def test_labels_follow_images_into_every_batch_whatever_the_directory_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """The report's authors read images and attributes in two orders."""
    globbed = Path.glob

    def reordered(self: Path, pattern: str) -> Iterator[Path]:
        paths = sorted(globbed(self, pattern), reverse=order == "backwards")
        if order == "shuffled":
            random.Random(5).shuffle(paths)
        return iter(paths)

    monkeypatch.setattr(Path, "glob", reordered)
    training = attributes_of(load_training_folder(folder, SEED))
    rows = (folder / "annotations_train.csv").read_text().splitlines()
    names = rows[0].split(",")
    values_of = {row.split(",")[0]: dict(zip(names, row.split(","), strict=True)) for row in rows}
    bits = bits_of(training.trained.values_NC)
    for batch in training.batches(0):
        for i in batch:
            pid = str(int(training.trained.names[i][:4]))
            assert training.bits_NA[i].tolist() == bits[i].tolist()
            hat = [bool(bit) for bit in training.bits_NA[i, 18:20]]
            gender = [bool(bit) for bit in training.bits_NA[i, 20:22]]
            for found, column in ((hat, "hat"), (gender, "gender")):
                assert found == [values_of[pid][column] == "1", values_of[pid][column] == "2"]
            image = training.trained.pixels_NHWC[i]
            path = folder / "train" / training.trained.names[i]
            np.testing.assert_array_equal(image, pixels_of(path))


def pixels_of(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return SEED.resize(image.convert("RGB"))


def test_batches_are_all_images_in_a_new_order_each_epoch(images: LabelledImages) -> None:
    training = attributes_of(images, batch=6)
    batches = training.batches(0)
    assert [len(batch) for batch in batches] == [6] * 6
    assert sorted(np.concatenate(batches)) == list(range(36))
    assert (np.concatenate(training.batches(1)) != np.concatenate(batches)).any()
    assert [len(batch) for batch in attributes_of(images, batch=256).batches(0)] == [36]


def test_augmentation_on_changes_what_is_learned(images: LabelledImages, tmp_path: Path) -> None:
    on = replace(ATTRIBUTES.augmentation, flip=0.5, pad=6, erase=0.5, light=0.5)
    losses = []
    for name, augmentation in (("off", ATTRIBUTES.augmentation), ("on", on)):
        training = attributes_of(images, augmentation=augmentation)
        losses.append(Loop(training, tmp_path / name).run_epoch().loss)
    assert losses[0] != losses[1]


def test_imagenet_weights_that_cannot_be_downloaded(images: LabelledImages) -> None:
    with pytest.raises(NoStartWeights) as caught:
        AttributesTraining(images, ATTRIBUTES, CPU, weights=IMAGENET)
    assert str(caught.value) == (
        "the ImageNet weights of resnet34 cannot be downloaded (<urlopen error no network here>); "
        "start from nothing with --start none"
    )


# Pairs


def test_the_same_person_ends_nearer_than_strangers(images: LabelledImages, tmp_path: Path) -> None:
    """The report's authors had the two halves of the loss exchanged."""
    training = siamese_of(images, epochs=30)
    Loop(training, tmp_path).run()
    rows_ND = torch.from_numpy(evaluate(training.net, training.trained, CPU))
    distances = pairwise_l2(rows_ND, rows_ND)
    pids = training.trained.pids_N
    same = torch.from_numpy(pids[:, None] == pids[None])
    own = distances[same & ~torch.eye(len(pids), dtype=torch.bool)]
    strangers = distances[~same]
    assert float(own.mean()) < 0.5 * float(strangers.mean())
    assert float(own.median()) < float(strangers.quantile(0.02))


@pytest.mark.parametrize("same", [1, 0])
def test_a_step_pulls_one_person_together_and_pushes_strangers_apart(
    images: LabelledImages, same: int
) -> None:
    training = siamese_of(images)
    pids = training.trained.pids_N.tolist()
    first = pids.index(pids[-1])
    places = [first, first + 1 if same else 0]

    def distance() -> float:
        rows = evaluate(training.net, training.trained, CPU)[places]
        return float(np.linalg.norm(rows[0] - rows[1]))

    before = distance()
    losses = training.losses(np.array([[*places, same]]), np.random.default_rng(0))
    losses["contrastive"].backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in training.net.parameters():
            assert parameter.grad is not None
            parameter.sub_(1e-3 * parameter.grad)
    assert distance() < before - 1e-4 if same else distance() > before + 1e-4


def test_the_rows_of_a_batch_say_who_is_the_same(images: LabelledImages) -> None:
    training = siamese_of(images)
    for batch in training.batches(0):
        first, second, same = batch.T
        pids = training.trained.pids_N
        np.testing.assert_array_equal((pids[first] == pids[second]).astype(int), same)
        assert same.sum() == len(batch) // 2


def test_map_is_of_sorted_lists(images: LabelledImages) -> None:
    """The report's authors took the list as it lay: the order of the files."""
    training = siamese_of(images)
    held_out = training.held_out
    found = training.validate().figures["mAP"]
    embeddings_ND = evaluate(training.net, held_out, CPU).astype(float)
    queries_N = query_mask(held_out)
    precisions: list[float] = []
    unsorted: list[float] = []
    for q in np.flatnonzero(queries_N):
        kept = [
            (float(np.linalg.norm(embeddings_ND[q] - embeddings_ND[g])), int(g))
            for g in np.flatnonzero(~queries_N)
            if (held_out.pids_N[g], held_out.camids_N[g])
            != (held_out.pids_N[q], held_out.camids_N[q])
        ]
        for order, into in ((sorted(kept), precisions), (kept, unsorted)):
            hits = [bool(held_out.pids_N[g] == held_out.pids_N[q]) for _, g in order]
            if any(hits):
                ranks = np.flatnonzero(hits) + 1
                into.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
    assert found == pytest.approx(np.mean(precisions), abs=1e-9)
    assert abs(np.mean(unsorted) - found) > 0.01, "the mistake would be seen"


def test_the_siamese_net_starts_from_the_attributes_trunk(images: LabelledImages) -> None:
    attributes = AttributeNet("resnet34")
    for parameter in attributes.trunk.parameters():
        nn.init.constant_(parameter, 0.25)
    training = SiameseTraining(images, SIAMESE, CPU, attributes=attributes, trunk="resnet34")
    assert all(bool((p == 0.25).all()) for p in training.net.trunk.parameters())
    trained = {id(p) for group in training.optimiser.param_groups for p in group["params"]}
    assert {id(p) for p in training.net.parameters()} == trained, "the trunk is trained on"


def test_people_with_one_image_each_give_no_pairs(images: LabelledImages) -> None:
    first = np.unique(images.pids_N, return_index=True)[1]
    single = LabelledImages(
        tuple(images.names[i] for i in first),
        images.pixels_NHWC[first],
        images.pids_N[first],
        images.camids_N[first],
        images.values_NC[first],
    )
    with pytest.raises(BadTrainingData, match=r"^pairs need two images of one person"):
        siamese_of(single)
    report = Loop(attributes_of(single), Path("unused")).task.validate()
    assert report.figures["accuracy"] > 0, "attributes can be learned of them"


def test_with_nobody_held_out_nothing_is_measured(images: LabelledImages) -> None:
    assert attributes_of(images, held_out=0.0).validate().figures == {}
    assert siamese_of(images, held_out=0.0).validate().figures == {}


def test_another_attribute_checkpoint_is_another_run(
    images: LabelledImages, tmp_path: Path
) -> None:
    training = siamese_of(images)
    training.origin = "one"
    Loop(training, tmp_path).run_epoch()
    again = siamese_of(images)
    again.origin = "one"
    assert Loop(again, tmp_path).epoch == 1
    again.origin = "two"
    with pytest.raises(TrainingFailed, match="belongs to another start; name another folder"):
        Loop(again, tmp_path)
