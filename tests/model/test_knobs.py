"""The knobs of the model: direct connections, no hidden layer, a second hidden layer; gradients against autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness import AdamW, Budget, CharMLP, Corpus, ModelConfig, TrainConfig, stream, train, train_seeds
from harness.model import load_tensors, stacks
from harness.model.dropout import dropout_mask
from harness.model.merged import MergedPlan
from harness.train import lr_range, overfit_one_batch

MakeConfig = Callable[..., TrainConfig]
KNOBS = {
    "direct": {"direct_connections": True},
    "no hidden layer": {"direct_connections": True, "hidden_width": 0},
    "second": {"second_width": 6},
    "second and direct": {"second_width": 6, "direct_connections": True},
}


def shape_of(model: CharMLP) -> ModelConfig:
    _, T, E, H, S, direct = model.dims
    return ModelConfig(context_length=T, embedding_size=E, hidden_width=H, second_width=S, direct_connections=direct)


def paper(w: dict[str, Tensor], contexts: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
    """(B, V) logits by the equation, position by position, from named weights; a mask for each hidden layer."""
    positions = [w["embedding"][contexts[:, t]] for t in range(contexts.shape[1])]
    logits = w["b2"]
    if "direct" in w:
        logits = logits + sum(x @ w["direct"][t] for t, x in enumerate(positions))
    if "w1" in w:
        first, second = masks or (1.0, 1.0)
        h = torch.tanh(w["b1"] + sum(x @ w["w1"][t] for t, x in enumerate(positions))) * first
        if "w_second" in w:
            h = torch.tanh(w["b_second"] + h @ w["w_second"]) * second
        logits = logits + h @ w["w2"]
    return logits


def by_autograd(
    model: CharMLP, contexts: Tensor, targets: Tensor, masks: tuple[Tensor, ...] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    w = {name: tensor.detach().clone().requires_grad_() for name, tensor in model.tensors().items()}
    loss = nn.functional.cross_entropy(paper(w, contexts, masks), targets)
    loss.backward()
    return loss.detach(), {name: leaf.grad for name, leaf in w.items() if leaf.grad is not None}


def by_name(model: CharMLP, flat: Tensor) -> dict[str, Tensor]:
    twin = CharMLP(shape_of(model), model.dims.V, dtype=flat.dtype)
    twin.parameters.copy_(flat)
    return twin.tensors()


def drawn(shape: ModelConfig, vocabulary_size: int, seed: int = 0, dropout: float = 0.0) -> CharMLP:
    model = CharMLP(shape, vocabulary_size, dropout=dropout, dtype=torch.float64)
    model.initialise("normal", torch.Generator().manual_seed(seed))
    return model


def masks_of(model: CharMLP, rows: Tensor) -> tuple[Tensor, ...]:
    """The masks of a step, (B, H) and (B, S): first those of the first layer, one for each distinct context."""
    generator, distinct = stream(5, "dropout"), len(rows.unique())
    widths = (model.dims.H, model.dims.S) if model.dropout else ()
    return tuple(
        dropout_mask(model.dropout, torch.empty(distinct, width, dtype=torch.float64), generator)[rows]
        for width in widths
    )


def check_against_autograd(model: CharMLP, contexts: Tensor, targets: Tensor) -> None:
    """One step of the plan that such a model is trained by; some contexts occur several times."""
    distinct, rows = torch.unique(contexts, dim=0, return_inverse=True)
    each = (rows.sort().values.view(1, 1, -1), targets[rows.argsort()].view(1, 1, -1))
    (nats,) = model.plan(distinct, len(targets)).steps(*each, [stream(5, "dropout")])
    loss, gradient = by_autograd(model, contexts, targets, masks_of(model, rows))
    assert float(nats) == pytest.approx(float(loss), abs=1e-10)
    ours = by_name(model, model.gradient)
    assert ours.keys() == gradient.keys()
    for name, expected in gradient.items():
        assert torch.allclose(ours[name], expected, rtol=0, atol=1e-10), name
    log_p = torch.log_softmax(model.logits(contexts), 1)
    assert torch.allclose(log_p, torch.log_softmax(paper(model.tensors(), contexts), 1), rtol=0, atol=1e-10)
    assert torch.allclose(model.log_probabilities(contexts), log_p, rtol=0, atol=1e-10)


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("batch_size", [1, 7, 300])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_closed_form_gradient_of_every_knob_is_autograds(knobs: str, batch_size: int, dropout: float):
    @given(st.integers(2, 12), st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
    def holds(V: int, T: int, E: int, H: int, seed: int) -> None:
        given = {"hidden_width": H, **KNOBS[knobs]}
        model = drawn(ModelConfig(context_length=T, embedding_size=E, **given), V, seed, dropout)
        draw = torch.Generator().manual_seed(seed)
        contexts = torch.randint(V, (batch_size, T), generator=draw)
        contexts *= torch.rand(contexts.shape, generator=draw) < 0.5  # boundaries, so that contexts repeat
        check_against_autograd(model, contexts, torch.randint(V, (batch_size,), generator=draw))

    holds()


@pytest.mark.parametrize("sizes", list(product([2, 27], [1, 8], [1, 5], [1, 33], [0, 1, 17])), ids=str)
def test_the_gradient_is_autograds_at_the_smallest_and_at_odd_sizes(sizes: tuple[int, ...]):
    V, T, E, H, S = sizes
    shape = ModelConfig(context_length=T, embedding_size=E, hidden_width=H, second_width=S, direct_connections=True)
    contexts, targets = torch.randint(V, (7, T), generator=stream(1, "batches")), torch.arange(7) % V
    for dropout in (0.0, 0.5):
        check_against_autograd(drawn(shape, V, dropout=dropout), contexts, targets)


# Weights


def test_weights_of_the_knobs_are_published_by_these_names_and_shapes():
    def shapes(**knobs: int) -> dict[str, tuple[int, ...]]:
        given = {"embedding_size": 5, "hidden_width": 7, "context_length": 3, **knobs}
        model = CharMLP(ModelConfig(**given), 27)
        found = {name: tuple(tensor.shape) for name, tensor in model.tensors().items()}
        assert model.parameters.numel() == sum(map(math.prod, found.values()))
        return found

    plain = {"embedding": (27, 5), "w1": (3, 5, 7), "b1": (7,), "w2": (7, 27), "b2": (27,)}
    second = {"w2": (4, 27), "w_second": (7, 4), "b_second": (4,)}
    assert shapes(direct_connections=True) == plain | {"direct": (3, 5, 27)}
    assert shapes(second_width=4) == plain | second
    assert shapes(second_width=4, direct_connections=True) == plain | second | {"direct": (3, 5, 27)}
    assert shapes(hidden_width=0, direct_connections=True) == {
        "embedding": (27, 5), "b2": (27,), "direct": (3, 5, 27),
    }  # fmt: skip


def test_position_zero_of_the_direct_connections_is_the_oldest_symbol():
    model = CharMLP(ModelConfig(embedding_size=1, hidden_width=0, context_length=2, direct_connections=True), 3)
    direct = torch.zeros(2, 1, 3)
    direct[0, 0, 1], direct[1, 0, 2] = 2.0, 0.5
    load_tensors(model, {"embedding": torch.tensor([[0.0], [1.0], [1.0]]), "b2": torch.ones(3), "direct": direct})
    assert model.logits(torch.tensor([[1, 0], [0, 1], [1, 1]])).tolist() == [[1, 3, 1], [1, 1, 1.5], [1, 3, 1.5]]


@pytest.mark.parametrize("init", ["scaled", "normal"])
def test_the_weights_that_a_plain_model_has_too_are_drawn_first(init: str):
    def built(**knobs: int) -> dict[str, Tensor]:
        shape = ModelConfig(hidden_width=6, init=init, **knobs)
        return CharMLP.build(TrainConfig(model=shape), 27, stream(3, "init")).tensors()

    plain, with_direct, with_both = (
        built(),
        built(direct_connections=True),
        built(second_width=6, direct_connections=True),
    )
    for name, tensor in plain.items():
        assert torch.equal(with_direct[name], tensor)
        assert torch.equal(with_both[name], tensor)
    first = torch.randn(plain["embedding"].shape, generator=stream(3, "init"))
    assert torch.equal(plain["embedding"], first)


@pytest.mark.parametrize("knobs", KNOBS)
def test_the_scaled_initialisation_starts_near_uniform_guessing(small_corpus: Corpus, knobs: str):
    shape = ModelConfig(**{"embedding_size": 10, "hidden_width": 200, "context_length": 3, **KNOBS[knobs]})
    model = CharMLP.build(TrainConfig(model=shape), small_corpus.vocabulary_size, stream(0, "init"))
    examples = small_corpus.examples("train", 3)
    loss = float(model.loss_and_gradient(examples.contexts, examples.targets, generator=torch.Generator()))
    assert loss == pytest.approx(math.log(small_corpus.vocabulary_size), abs=0.05)
    assert all(bool(gradient.abs().max() > 0) for gradient in by_name(model, model.gradient).values())


# Runs


def knob_config(make: MakeConfig, knobs: str, **changes: object) -> TrainConfig:
    model = ModelConfig(**{"embedding_size": 4, "hidden_width": 12, "context_length": 3, **KNOBS[knobs]})
    return make(model=model, **{"budget": Budget(steps=40), "evaluations": 2, **changes})


@pytest.mark.parametrize("knobs", KNOBS)
def test_a_model_with_a_knob_is_trained_by_shared_contexts_at_every_batch_size(tiny_config: MakeConfig, knobs: str):
    model = CharMLP.build(knob_config(tiny_config, knobs), 10, stream(0, "init"))
    contexts = torch.zeros(4, 3, dtype=torch.int64)
    for batch_size in (1, 16, 500):
        assert isinstance(model.plan(contexts, batch_size), MergedPlan)
        assert not stacks([model, model], batch_size)


@pytest.mark.parametrize("knobs", KNOBS)
def test_several_seeds_of_a_model_with_a_knob_are_trained_as_each_alone(
    small_corpus: Corpus, tiny_config: MakeConfig, knobs: str
):
    config = knob_config(tiny_config, knobs, batch_size=8, optimizer=AdamW(weight_decay=0.1, decay_biases=False))
    for seed, found in zip((4, 5), train_seeds(config, small_corpus, (4, 5)), strict=True):
        alone = train(config.model_copy(update={"seed": seed}), small_corpus)
        assert torch.equal(found.model.parameters, alone.model.parameters)
        assert found.curve[-1].dev_nats == alone.curve[-1].dev_nats < found.curve[0].dev_nats


@pytest.mark.parametrize("knobs", KNOBS)
def test_the_probes_work_on_a_model_with_a_knob(small_corpus: Corpus, tiny_config: MakeConfig, knobs: str):
    config = knob_config(tiny_config, knobs, batch_size=16)
    found = lr_range(config, small_corpus, steps=80)
    assert 1e-5 <= found.low < found.high <= 10
    assert overfit_one_batch(config, small_corpus).passed
