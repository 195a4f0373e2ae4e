"""Losses: their directions, and the values that a loop over the definition gives."""

# N images, P people, C=27 columns, A=56 logits, D embedding numbers

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from models.training.identity import Identities
from models.training.losses import (
    ColumnCrossEntropy,
    CosineIdentity,
    batch_hard_triplet,
    contrastive,
    pairwise_l2,
)
from models.training.recipe import JointRecipe
from vocabulary import COLUMNS, NUM_VALUES


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Contrastive: the report's authors had its two halves exchanged


def pair(distance: float) -> tuple[Tensor, Tensor]:
    a_ND = torch.zeros(1, 512, requires_grad=True)
    b_ND = torch.zeros(1, 512)
    b_ND[0, 0] = distance
    return a_ND, b_ND.requires_grad_()


def step_towards(distance: float, same: float) -> float:
    """How much nearer a small step down the gradient brings the two."""
    a_ND, b_ND = pair(distance)
    contrastive(a_ND, b_ND, torch.tensor([same])).backward()  # type: ignore[no-untyped-call]
    assert a_ND.grad is not None
    assert b_ND.grad is not None
    after = (a_ND - 0.01 * a_ND.grad) - (b_ND - 0.01 * b_ND.grad)
    return distance - float(after.detach().norm())


@pytest.mark.parametrize("distance", [0.1, 1.0, 1.9, 3.0])
def test_contrastive_pulls_the_same_person_together(distance: float) -> None:
    assert step_towards(distance, same=1.0) > 0.001


@pytest.mark.parametrize("distance", [0.1, 1.0, 1.9])
def test_contrastive_pushes_strangers_apart_up_to_the_margin(distance: float) -> None:
    assert step_towards(distance, same=0.0) < -0.001


def test_contrastive_leaves_strangers_beyond_the_margin_alone() -> None:
    assert step_towards(2.1, same=0.0) == pytest.approx(0, abs=1e-6)
    a_ND, b_ND = (t.detach() for t in pair(2.1))
    assert float(contrastive(a_ND, b_ND, torch.zeros(1))) == 0
    assert float(contrastive(a_ND, b_ND, torch.zeros(1), margin=3.0)) > 0.5


def test_contrastive_training_separates_two_people() -> None:
    embeddings_ND = torch.rand(8, 4, generator=generator(1), requires_grad=True)
    pids_N = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    first, second = torch.combinations(torch.arange(8)).unbind(1)
    same_N = (pids_N[first] == pids_N[second]).float()
    for _ in range(200):
        loss = contrastive(embeddings_ND[first], embeddings_ND[second], same_N)
        (slope_ND,) = torch.autograd.grad(loss, embeddings_ND)
        embeddings_ND = (embeddings_ND - slope_ND).detach().requires_grad_()
    distances = pairwise_l2(embeddings_ND, embeddings_ND)[first, second].detach()
    assert float(distances[same_N == 1].max()) < 0.2
    assert float(distances[same_N == 0].min()) > 1.8


def test_contrastive_is_the_mean_of_its_definition() -> None:
    a_ND, b_ND = torch.randn(2, 9, 5, generator=generator(2)).unbind()
    same_N = torch.tensor([1.0, 0, 1, 0, 0, 1, 0, 1, 0])
    wanted = 0.0
    for a, b, same in zip(a_ND.tolist(), b_ND.tolist(), same_N.tolist(), strict=True):
        distance = math.dist(a, b)
        wanted += distance**2 if same else max(0.0, 2 - distance) ** 2
    assert float(contrastive(a_ND, b_ND, same_N)) == pytest.approx(wanted / 9, rel=1e-5)


def test_contrastive_has_a_gradient_for_twins_that_are_strangers() -> None:
    a_ND, b_ND = pair(0.0)
    contrastive(a_ND, b_ND, torch.zeros(1)).backward()  # type: ignore[no-untyped-call]
    assert a_ND.grad is not None
    assert bool(a_ND.grad.isfinite().all())


# Triplets


def test_pairwise_l2_is_not_squared() -> None:
    a_ND, b_MD = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(pairwise_l2(a_ND, b_MD), torch.tensor([[5.0], [4.0]]))


def brute_triplet(embeddings_ND: Tensor, pids: list[int]) -> float | None:
    rows = embeddings_ND.double().tolist()
    losses = []
    for i, anchor in enumerate(rows):
        to = [math.dist(anchor, other) for other in rows]
        same = [d for j, d in enumerate(to) if pids[j] == pids[i] and j != i]
        strangers = [d for j, d in enumerate(to) if pids[j] != pids[i]]
        if same and strangers:
            losses.append(math.log1p(math.exp(max(same) - min(strangers))))
    return sum(losses) / len(losses) if losses else None


@settings(deadline=None, max_examples=60)
@given(pids=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 10**6))
def test_batch_hard_triplet_is_the_loop_over_its_definition(pids: list[int], seed: int) -> None:
    embeddings_ND = torch.randn(len(pids), 6, generator=generator(seed))
    wanted = brute_triplet(embeddings_ND, pids)
    if wanted is None:
        with pytest.raises(ValueError, match=r"^expected a batch with two images of one person"):
            batch_hard_triplet(embeddings_ND, torch.tensor(pids))
    else:
        found = float(batch_hard_triplet(embeddings_ND, torch.tensor(pids)))
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_batch_hard_triplet_pulls_and_pushes() -> None:
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]], requires_grad=True)
    pids_N = torch.tensor([7, 7, 8])
    before = pairwise_l2(rows, rows).detach()
    batch_hard_triplet(rows, pids_N).backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    moved = (rows - 0.1 * rows.grad).detach()
    after = pairwise_l2(moved, moved)
    assert float(after[0, 1]) < float(before[0, 1])
    assert float(after[0, 2]) > float(before[0, 2])


def test_equal_embeddings_give_a_finite_gradient() -> None:
    rows = torch.ones(4, 8, requires_grad=True)
    batch_hard_triplet(rows, torch.tensor([1, 1, 2, 2])).backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    assert bool(rows.grad.isfinite().all())


# Attributes


def people(rng: np.random.Generator, number: int) -> Tensor:
    columns = [rng.integers(1, NUM_VALUES[c] + 1, number) for c in COLUMNS]
    return torch.from_numpy(np.stack(columns, 1))


def weights(loss: ColumnCrossEntropy, column: str) -> list[float]:
    found: list[float] = loss.get_buffer(f"weight_{COLUMNS.index(column)}").tolist()
    return found


def test_a_rare_value_weighs_more() -> None:
    values_PC = torch.ones(100, 27, dtype=torch.long)
    hat, bag, gender = (COLUMNS.index(c) for c in ("hat", "bag", "gender"))
    values_PC[:10, hat] = 2
    values_PC[:1, bag] = 2
    values_PC[:50, gender] = 2
    values_PC[:, COLUMNS.index("age")] = torch.tensor([1, 2, 3, 4]).repeat(25)
    loss = ColumnCrossEntropy(values_PC, power=0.5)
    # (50 of 100 / its own share) ** 0.5, between 1/4 and 4
    assert weights(loss, "hat") == pytest.approx([math.sqrt(50 / 90), math.sqrt(50 / 10)])
    assert weights(loss, "bag") == pytest.approx([math.sqrt(50 / 99), 4.0])
    assert weights(loss, "gender") == pytest.approx([1, 1])
    assert weights(loss, "age") == pytest.approx([1, 1, 1, 1])
    assert all(map(math.isfinite, weights(loss, "upred"))), "a value that never occurs"
    assert loss.state_dict() == {}, "the weights follow from the data, not from a checkpoint"


def test_without_a_power_every_value_counts_the_same() -> None:
    loss = ColumnCrossEntropy(people(np.random.default_rng(3), 50), power=0)
    assert all(weights(loss, column) == [1.0] * NUM_VALUES[column] for column in COLUMNS)
    limited = ColumnCrossEntropy(torch.ones(1000, 27, dtype=torch.long), power=1.0, limit=2.0)
    assert weights(limited, "hat") == pytest.approx([0.5005, 2.0])


def test_column_cross_entropy_is_the_mean_of_27_weighted_ones() -> None:
    rng = np.random.default_rng(4)
    loss = ColumnCrossEntropy(people(rng, 30), power=0.5)
    values_NC = people(rng, 11)
    logits_NA = torch.randn(11, 56, generator=generator(5))
    each, start = [], 0
    for c, column in enumerate(COLUMNS):
        size, total, weight = NUM_VALUES[column], 0.0, 0.0
        for row, value in zip(logits_NA[:, start : start + size], values_NC[:, c], strict=True):
            scores, own = row.softmax(0), weights(loss, column)[int(value) - 1]
            total -= own * math.log(float(scores[int(value) - 1]))
            weight += own
        each.append(total / weight)
        start += size
    assert float(loss(logits_NA, values_NC)) == pytest.approx(sum(each) / 27, rel=1e-5)


def test_column_cross_entropy_falls_towards_the_truth() -> None:
    values_NC = people(np.random.default_rng(6), 5)
    loss = ColumnCrossEntropy(values_NC)
    sure = torch.cat(
        [
            functional.one_hot(values_NC[:, c] - 1, NUM_VALUES[column]) * 20.0
            for c, column in enumerate(COLUMNS)
        ],
        dim=1,
    )
    undecided = float(loss(torch.zeros(5, 56), values_NC))
    assert undecided == pytest.approx((26 * math.log(2) + math.log(4)) / 27, rel=1e-5)
    assert float(loss(sure, values_NC)) < 1e-6 < undecided < float(loss(-sure, values_NC))


# Nobody: junk in a batch


def test_nobody_is_a_negative_and_never_an_anchor() -> None:
    """Two people and two junk crops by hand; the junk is nearest to the first person."""
    embeddings_ND = torch.tensor([[0.0], [1.0], [9.0], [9.5], [1.5], [1.6]])
    pids_N = torch.tensor([0, 0, 1, 1, -1, -1])
    hardest = [(1, 1.5), (1, 0.5), (0.5, 7.4), (0.5, 7.9)]
    wanted = np.mean([math.log1p(math.exp(positive - negative)) for positive, negative in hardest])
    assert float(batch_hard_triplet(embeddings_ND, pids_N)) == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(ValueError, match="two images of one person and a stranger"):
        batch_hard_triplet(embeddings_ND, torch.full((6,), -1))


# Identity: cosines with a margin, of the whole and of its pieces


def test_the_margin_is_asked_of_the_own_person_only() -> None:
    layer = CosineIdentity(3, 2, scale=10.0, margin=0.25)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 5.0]]))
    logits_NK = layer(torch.tensor([[3.0, 0.0, 4.0]]), torch.tensor([1]))
    torch.testing.assert_close(logits_NK, torch.tensor([[6.0, 5.5]]))


def test_the_pieces_share_the_say_of_the_parts() -> None:
    recipe = JointRecipe.read("joint").with_changes(part_weight=0.5)
    loss = Identities([4, 2, 2], 3, recipe)
    embeddings_ND, people_N = torch.randn(5, 8, generator=generator(4)), torch.arange(5) % 3

    def entropy(logits_NK: Tensor) -> Tensor:
        return functional.cross_entropy(logits_NK, people_N, label_smoothing=recipe.label_smoothing)

    pieces = [embeddings_ND[:, :4], embeddings_ND[:, 4:6], embeddings_ND[:, 6:]]
    parts = [entropy(layer(piece)) for layer, piece in zip(loss.pieces, pieces, strict=True)]
    wanted = entropy(loss.whole(embeddings_ND, people_N))
    wanted = wanted + 0.5 * parts[0] + 0.25 * parts[1] + 0.25 * parts[2]
    torch.testing.assert_close(loss(embeddings_ND, people_N), wanted)


def test_what_is_unknown_teaches_nothing() -> None:
    """Unknown cells change no loss and have no gradient; a column that nobody knows gives 0."""
    rng = np.random.default_rng(3)
    values_PC = people(rng, 40)
    loss = ColumnCrossEntropy(values_PC)
    logits_NA = torch.randn(8, 56, generator=generator(1), requires_grad=True)
    values_NC = values_PC[:8].clone()
    known = values_NC[:4].clone()
    values_NC[4:] = 0
    torch.testing.assert_close(loss(logits_NA, values_NC), loss(logits_NA[:4], known))
    loss(logits_NA, values_NC).backward()
    assert logits_NA.grad is not None
    assert logits_NA.grad[:4].abs().sum() > 0
    assert not logits_NA.grad[4:].any()
    assert loss(logits_NA, torch.zeros_like(values_NC)).item() == 0.0


def test_unknown_people_do_not_count_in_the_weights() -> None:
    rng = np.random.default_rng(3)
    values_PC = people(rng, 40)
    with_unknown = torch.cat([values_PC, torch.zeros(60, len(COLUMNS), dtype=torch.int64)])
    assert weights(ColumnCrossEntropy(with_unknown), "hat") == weights(
        ColumnCrossEntropy(values_PC), "hat"
    )
