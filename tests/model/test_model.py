"""The mathematics: closed form against autograd, dropout, published shapes, the bigram, the schedules."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness import (
    Autograd,
    CharMLP,
    Constant,
    Corpus,
    Cosine,
    InverseTime,
    Linear,
    ModelConfig,
    OneCycle,
    Schedule,
    Step,
    TrainConfig,
    stream,
)
from harness.corpus import Examples
from harness.corpus.contexts import count_contexts
from harness.errors import ConfigError
from harness.model import CountedBigram, load_tensors, multiplier
from harness.model.direct import DirectPlan
from harness.model.dropout import dropout_mask
from harness.model.merged import MergedPlan
from harness.model.stack import Stack
from harness.model.table import entries_of
from tests.strategies import BELOW_ONE, SCHEDULES, build_plain

MakeConfig = Callable[..., TrainConfig]
PLANS = {"merged": MergedPlan, "direct": DirectPlan}


class Problem(NamedTuple):
    """A float64 model with weights drawn at random, and a batch of examples, some of which share their context."""

    model: CharMLP
    distinct: Tensor
    rows: Tensor
    targets: Tensor

    @property
    def contexts(self) -> Tensor:
        return self.distinct[self.rows]

    def step(self, plan: str, seed: int = 0) -> Tensor:
        """The loss of one step by the named plan; the model has its gradient then."""
        model, made = self.model, PLANS[plan]
        batches = made(
            model.dims, model.parameters, model.gradient, self.distinct, len(self.targets), model.dropout
        ).steps(self.rows.view(1, 1, -1), self.targets.view(1, 1, -1), [torch.Generator().manual_seed(seed)])
        (nats,) = batches
        return nats[0]

    def mask(self, plan: str, seed: int) -> Tensor:
        """The dropout mask of that step for each example: merged plans draw one for each distinct context."""
        examples = torch.arange(len(self.rows)) if plan == "direct" else self.rows.unique(return_inverse=True)[1]
        like = torch.empty(len(examples.unique()), self.model.dims.H, dtype=torch.float64)
        return dropout_mask(self.model.dropout, like, torch.Generator().manual_seed(seed))[examples]


@st.composite
def problems(draw: st.DrawFn, dropout: float = 0.0) -> Problem:
    B, T, E, H, V = (draw(st.integers(low, high)) for low, high in ((1, 24), (1, 6), (1, 6), (1, 9), (2, 12)))
    shape = ModelConfig(embedding_size=E, hidden_width=H, context_length=T)
    model = CharMLP(shape, V, dropout=dropout, dtype=torch.float64)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    model.initialise(draw(st.sampled_from(["scaled", "normal"])), generator)
    # Few symbols other than the boundary in some, many in others.
    distinct = torch.randint(V, (draw(st.integers(1, B)), T), generator=generator)
    distinct *= torch.rand(distinct.shape, generator=generator) < draw(st.floats(0, 1))
    rows = torch.randint(len(distinct), (B,), generator=generator).sort().values
    return Problem(model, distinct, rows, torch.randint(V, (B,), generator=generator))


def by_autograd(
    model: CharMLP, contexts: Tensor, targets: Tensor, mask_BH: Tensor | float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and named gradients of the model as the paper states it, for the same weights."""
    w = {name: tensor.detach().clone().requires_grad_() for name, tensor in model.tensors().items()}
    h_BH = torch.tanh(w["embedding"][contexts].flatten(1) @ w["w1"].flatten(0, 1) + w["b1"])
    loss = nn.functional.cross_entropy((h_BH * mask_BH) @ w["w2"] + w["b2"], targets)
    loss.backward()
    return loss.detach(), {name: leaf.grad for name, leaf in w.items() if leaf.grad is not None}


def shape_of(model: CharMLP) -> ModelConfig:
    return ModelConfig(embedding_size=model.dims.E, hidden_width=model.dims.H, context_length=model.dims.T)


def named_gradient(model: CharMLP) -> dict[str, Tensor]:
    """The model's flat gradient by the names of its weights: those of a twin that has it as its weights."""
    twin = CharMLP(shape_of(model), model.dims.V, dtype=model.parameters.dtype)
    twin.parameters.copy_(model.gradient)
    return twin.tensors()


def same_gradient(model: CharMLP, expected: dict[str, Tensor], tolerance: float = 1e-10) -> bool:
    ours = named_gradient(model)
    return ours.keys() == expected.keys() and all(close(ours[name], expected[name], tolerance) for name in ours)


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    return torch.allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("plan", PLANS)
def test_the_closed_form_gradient_is_autograds(plan: str):
    @given(problems())
    def holds(problem: Problem) -> None:
        loss = problem.step(plan)
        expected_loss, expected_gradient = by_autograd(problem.model, problem.contexts, problem.targets)
        assert close(loss, expected_loss, 1e-10)
        assert same_gradient(problem.model, expected_gradient)
        stated = nn.functional.cross_entropy(problem.model.logits(problem.contexts), problem.targets)
        assert close(loss, stated, 1e-10)

    holds()


@pytest.mark.parametrize("plan", PLANS)
def test_the_closed_form_gradient_is_autograds_with_dropout_too(plan: str):
    @given(problems(dropout=0.4), st.integers(0, 2**31))
    def holds(problem: Problem, seed: int) -> None:
        loss = problem.step(plan, seed)
        mask_BH = problem.mask(plan, seed)
        expected_loss, expected_gradient = by_autograd(problem.model, problem.contexts, problem.targets, mask_BH)
        assert close(loss, expected_loss, 1e-10)
        assert same_gradient(problem.model, expected_gradient)

    holds()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_replicas_in_a_stack_get_the_losses_and_gradients_they_get_alone(dropout: float):
    @given(problems(dropout=dropout), st.integers(2, 5))
    def holds(problem: Problem, replicas: int) -> None:
        draw, V, B = torch.Generator().manual_seed(replicas), problem.model.dims.V, len(problem.targets)
        models = [CharMLP(shape_of(problem.model), V, dropout=dropout, dtype=torch.float64) for _ in range(replicas)]
        for model in models:
            model.initialise("normal", draw)
        rows = torch.randint(len(problem.distinct), (1, replicas, B), generator=draw)
        targets = torch.randint(V, (1, replicas, B), generator=draw)
        stack = Stack(models, problem.distinct, B)
        (nats_R,) = stack.steps(rows, targets, [stream(replica, "dropout") for replica in range(replicas)])
        stack.parameters.copy_(stack.gradient)
        weights = [model.parameters.clone() for model in models]
        stack.settle()  # each model now has its gradient in the place of its weights
        for replica, model in enumerate(models):
            gradient = {name: tensor.clone() for name, tensor in model.tensors().items()}
            model.parameters.copy_(weights[replica])
            alone = Problem(model, problem.distinct, rows[0, replica], targets[0, replica])
            assert close(nats_R[replica], alone.step("direct", stream(replica, "dropout").initial_seed()), 1e-12)
            assert same_gradient(model, gradient, 1e-12)

    holds()


@given(problems(dropout=0.5))
def test_log_probabilities_are_those_of_the_statement_and_sum_to_one(problem: Problem):
    log_p = problem.model.log_probabilities(problem.contexts)
    assert close(log_p.exp().sum(1), torch.ones(len(problem.contexts), dtype=torch.float64), 1e-12)
    assert close(log_p, torch.log_softmax(problem.model.logits(problem.contexts), 1), 1e-10)


@pytest.mark.parametrize(("batch_size", "direct"), [(16, True), (300, False)])
def test_the_gradient_is_overwritten_by_each_batch(tiny_config: MakeConfig, batch_size: int, direct: bool):
    model = CharMLP.build(tiny_config(), 27, stream(0, "init"))
    assert model.is_direct(batch_size) == direct
    contexts, targets = torch.full((batch_size, 3), 5), torch.full((batch_size,), 7)
    model.loss_and_gradient(contexts, targets, generator=torch.Generator())
    first = model.gradient.clone()
    model.loss_and_gradient(contexts, targets, generator=torch.Generator())
    assert torch.equal(model.gradient, first)


# Shared contexts


def columns_of(batches: Tensor, dropout: float) -> list[tuple[int, list[float]]]:
    """How many contexts a merged plan computes for each batch of rows, and each one's share of the batch."""
    model = CharMLP(ModelConfig(embedding_size=2, hidden_width=3, context_length=2), 5)
    distinct = torch.tensor([[0, 0], [0, 1], [2, 3], [4, 0]])
    plan = MergedPlan(model.dims, model.parameters, model.gradient, distinct, batches.shape[1], dropout)
    return [(len(batch.starts), batch.shares.tolist()) for batch in plan._batches(batches, torch.ones_like(batches))]


def test_a_context_that_occurs_several_times_in_a_batch_is_computed_once():
    batches = torch.tensor([[0, 0, 1, 3, 3, 3, 3, 3], [2, 2, 2, 2, 2, 2, 2, 2], [2, 2, 2, 2, 3, 3, 3, 3]])
    assert columns_of(batches, dropout=0.0) == [(3, [0.25, 0.125, 0.625]), (1, [1.0]), (2, [0.5, 0.5])]


def test_with_dropout_equal_contexts_share_their_column_too():
    batches = torch.tensor([[0, 0, 1, 3, 3, 3, 3, 3], [2, 2, 2, 2, 2, 2, 2, 2]])
    assert columns_of(batches, dropout=0.3) == columns_of(batches, dropout=0.0)


@given(problems())
def test_a_batch_has_a_column_for_each_of_its_contexts_and_shares_that_sum_to_one(problem: Problem):
    model, B = problem.model, len(problem.rows)
    plan = MergedPlan(model.dims, model.parameters, model.gradient, problem.distinct, B, 0.0)
    (batch,) = plan._batches(problem.rows.view(1, B), problem.targets.view(1, B))
    assert len(batch.starts) == len(batch.shares) == len(problem.rows.unique())
    assert float(batch.shares.sum()) == pytest.approx(1, abs=1e-12)


def test_the_entries_of_contexts_are_their_table_rows_without_the_boundaries():
    rows, starts = entries_of(torch.tensor([[0, 2, 1], [3, 0, 0]]))
    assert rows.tolist() == [2 * 3 + 1, 1 * 3 + 2, 3 * 3 + 0]
    assert starts.tolist() == [0, 2]


def test_a_context_of_boundaries_alone_has_no_entries():
    rows, starts = entries_of(torch.tensor([[0, 4], [0, 0], [1, 1]]))
    assert rows.tolist() == [9, 2, 3]
    assert starts.tolist() == [0, 1, 1]


# Dropout


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.5, 0.9])
def test_a_dropout_mask_has_two_exact_values(dropout: float):
    mask = dropout_mask(dropout, torch.empty(999, 201), torch.Generator().manual_seed(0))
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / (1 - dropout), rel=1e-7)]


@pytest.mark.parametrize("dropout", [1e-3, 0.1, 0.25, 0.3, 0.5, 0.9, 0.999])
def test_units_are_dropped_with_the_given_chance_though_a_byte_has_256_levels(dropout: float):
    draw, like = torch.Generator().manual_seed(0), torch.empty(50, 50)
    dropped = [(dropout_mask(dropout, like, draw) == 0).double().mean().item() for _ in range(2000)]
    error = statistics.stdev(dropped) / math.sqrt(len(dropped))
    assert statistics.mean(dropped) == pytest.approx(dropout, abs=5 * error)
    assert error < 2e-4


def test_the_rows_of_a_mask_are_independent_but_for_pairs_of_complements():
    rows, width = 7, 100_000
    kept = (dropout_mask(0.25, torch.empty(rows, width), torch.Generator().manual_seed(2)) > 0).double()
    both_dropped = ((1 - kept) @ (1 - kept).T / width).tolist()
    for one in range(rows):
        for other in range(one + 1, rows):
            expected = 0.0 if other - one == 4 else 0.25**2
            assert both_dropped[one][other] == pytest.approx(expected, abs=0.004)  # 5 standard deviations


@given(st.floats(0, 0.99), st.integers(1, 9), st.integers(1, 9))
def test_a_dropout_mask_has_the_shape_of_the_units_it_drops(dropout: float, rows: int, columns: int):
    mask = dropout_mask(dropout, torch.empty(rows, columns), stream(0, "dropout"))
    assert mask.shape == (rows, columns)


def test_units_are_dropped_independently_of_their_neighbours():
    mask = dropout_mask(0.5, torch.empty(1, 200_000), torch.Generator().manual_seed(1))
    kept = (mask[0] > 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8):
        assert abs((kept[:-distance] * kept[distance:]).mean().item()) < 0.003  # 5 standard deviations: 0.0028


# Weights as they are published, and where they begin


def test_weights_are_published_by_these_names_and_shapes():
    model = CharMLP(ModelConfig(embedding_size=5, hidden_width=7, context_length=3), 27)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.tensors().items()}
    assert shapes == {"embedding": (27, 5), "w1": (3, 5, 7), "b1": (7,), "w2": (7, 27), "b2": (27,)}
    assert model.parameters.numel() == sum(math.prod(shape) for shape in shapes.values()) == 463


def test_position_zero_of_w1_is_the_oldest_symbol():
    model = CharMLP(ModelConfig(embedding_size=1, hidden_width=1, context_length=2), 3)
    load_tensors(
        model,
        {
            "embedding": torch.tensor([[0.0], [1.0], [1.0]]),
            "w1": torch.tensor([[[2.0]], [[0.5]]]),
            "b1": torch.zeros(1),
            "w2": torch.tensor([[0.0, 1.0, 0.0]]),
            "b2": torch.zeros(3),
        },
    )
    logits = model.logits(torch.tensor([[1, 0], [0, 1]]))
    assert logits[:, 1].tolist() == pytest.approx([math.tanh(2), math.tanh(0.5)])


def test_loading_saved_weights_gives_the_same_predictions(tiny_config: MakeConfig):
    config, contexts = tiny_config(), torch.tensor([[1, 2, 3], [0, 0, 4]])
    saved = CharMLP.build(config, 27, stream(1, "init"))
    other = CharMLP.build(config, 27, stream(2, "init"))
    load_tensors(other, {name: tensor.clone() for name, tensor in saved.tensors().items()})
    assert torch.equal(other.parameters, saved.parameters)
    assert torch.equal(other.log_probabilities(contexts), saved.log_probabilities(contexts))


def test_weights_of_another_shape_are_refused(tiny_config: MakeConfig):
    model = CharMLP.build(tiny_config(), 27, stream(0, "init"))
    with pytest.raises(ValueError, match=r"must have the model's names and shapes .*'b2': \(27,\).*'b2': \(28,\)"):
        load_tensors(model, CharMLP.build(tiny_config(), 28, stream(0, "init")).tensors())


def test_the_same_generator_gives_the_same_initial_weights(tiny_config: MakeConfig):
    first, again, other = (CharMLP.build(tiny_config(), 27, stream(seed, "init")) for seed in (3, 3, 4))
    assert torch.equal(first.parameters, again.parameters)
    assert not torch.equal(first.parameters, other.parameters)


def initial_loss(init: str, corpus: Corpus) -> float:
    shape = ModelConfig(embedding_size=10, hidden_width=200, context_length=3, init=init)
    model = CharMLP.build(TrainConfig(model=shape), corpus.vocabulary_size, stream(0, "init"))
    examples = corpus.examples("train", 3)
    return float(model.loss_and_gradient(examples.contexts, examples.targets, generator=torch.Generator()))


def test_the_scaled_initialisation_starts_near_uniform_guessing(small_corpus: Corpus):
    assert initial_loss("scaled", small_corpus) == pytest.approx(math.log(small_corpus.vocabulary_size), abs=0.05)


def test_the_normal_initialisation_starts_far_off_as_in_the_lecture(small_corpus: Corpus):
    assert initial_loss("normal", small_corpus) > 3 * math.log(small_corpus.vocabulary_size)


# Any module through autograd


def test_a_plain_module_with_the_same_weights_gives_the_same_loss_and_gradient(tiny_config: MakeConfig):
    config = tiny_config()
    ours, plain = (build(config, 27, stream(0, "init")) for build in (CharMLP.build, build_plain))
    draw = torch.Generator().manual_seed(0)
    contexts, targets = torch.randint(27, (64, 3), generator=draw), torch.randint(27, (64,), generator=draw)
    loss = ours.loss_and_gradient(contexts, targets, generator=torch.Generator())
    assert close(loss, plain.loss_and_gradient(contexts, targets, generator=torch.Generator()), 1e-5)
    gradients = named_gradient(ours)
    for name in ("embedding", "w1", "w2"):
        gradient, found = gradients[name], getattr(plain.module, name).grad
        assert found.abs().max() > 1e-4
        assert close(gradient, found, 1e-5)


def test_a_plain_modules_parameters_are_views_of_one_flat_tensor(tiny_config: MakeConfig):
    model = build_plain(tiny_config(), 27, stream(0, "init"))
    with torch.no_grad():
        model.parameters.fill_(0.25)
    assert all(bool((weight == 0.25).all()) for weight in model.module.parameters())
    assert sum(weight.numel() for weight in model.module.parameters()) == model.parameters.numel()


def test_dropout_inside_a_module_repeats_with_the_runs_generator():
    module = nn.Sequential(nn.Embedding(27, 8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(24, 27))
    model = Autograd(module)
    contexts, targets = torch.full((8, 3), 5), torch.full((8,), 7)
    losses = [
        float(model.loss_and_gradient(contexts, targets, generator=torch.Generator().manual_seed(seed)))
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(model.log_probabilities(contexts), model.log_probabilities(contexts))


def test_a_module_without_parameters_is_refused():
    with pytest.raises(ConfigError, match="must have parameters to train; got none"):
        Autograd(nn.Flatten())


# The bigram


def test_the_counted_bigram_matches_the_one_worked_out_by_hand():
    # "." is followed by a twice, a by b once and by "." once; one is added to each of three.
    examples = Examples(torch.tensor([[1, 0], [2, 0], [0, 1], [2, 1]]), torch.tensor([1, 1, 2, 0]))
    bigram = CountedBigram.of(count_contexts(examples, 3), 3)
    expected = [[1 / 5, 3 / 5, 1 / 5], [2 / 5, 1 / 5, 2 / 5], [1 / 3, 1 / 3, 1 / 3]]
    assert bigram.log_p.exp().tolist() == [pytest.approx(row) for row in expected]
    assert bigram.log_probabilities(torch.tensor([[2, 2, 1]])).exp().tolist() == [pytest.approx(expected[1])]


# Schedules


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), {0: 1, 0.5: 1, 0.999: 1}),
        (Step(at=0.5, factor=0.1), {0: 1, 0.499: 1, 0.5: 0.1, 0.999: 0.1}),
        (Linear(), {0: 1, 0.25: 0.75, 0.5: 0.5, 0.9: 0.1}),
        (Linear(warmup=0.2, final=0.5), {0: 0.001, 0.05: 0.25, 0.1: 0.5, 0.2: 1, 0.6: 0.75}),
        (Cosine(warmup=0), {0: 1, 0.25: 0.5 + math.sqrt(0.125), 0.5: 0.5, 0.75: 0.5 - math.sqrt(0.125)}),
        (Cosine(warmup=0.2, final=0.2), {0: 0.001, 0.1: 0.5, 0.2: 1, 0.6: 0.6}),
        (OneCycle(peak_at=0.5, start_divisor=25), {0: 0.04, 0.25: 0.52, 0.5: 1, 0.75: 0.5}),
        (InverseTime(decay=10), {0: 1, 0.1: 0.5, 0.4: 0.2, 0.9: 0.1}),
    ],
    ids=lambda value: value.model_dump_json() if isinstance(value, Constant | Step | Linear | Cosine) else "",
)
def test_a_schedule_has_these_values(schedule: Schedule, expected: dict[float, float]):
    found = {progress: multiplier(schedule, progress) for progress in expected}
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_multiplier_is_finite_and_between_zero_and_one(kind: str):
    @given(SCHEDULES[kind], BELOW_ONE)
    def holds(schedule: Schedule, progress: float) -> None:
        assert 0 <= multiplier(schedule, progress) <= 1

    holds()


@pytest.mark.parametrize("schedule", [Linear(warmup=0.3), Cosine(warmup=0.3), OneCycle()], ids=lambda s: s.kind)
def test_a_schedule_climbs_to_its_peak_and_falls_from_there(schedule: Schedule):
    values = [multiplier(schedule, step / 100) for step in range(100)]
    assert values[:31] == sorted(values[:31])
    assert values[30] == max(values) == 1
    assert values[30:] == sorted(values[30:], reverse=True)
