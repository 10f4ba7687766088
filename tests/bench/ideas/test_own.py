"""The ideas' own models: their gradients against autograd on the readable definition, and their settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.bench.ideas.own import ACTIVATIONS, Scaled, Tied, Variant, merged
from harness.config import ModelConfig, TrainConfig
from harness.errors import ConfigError
from harness.model import CharMLP, check_build
from harness.model.dropout import dropout_mask
from harness.train import stream

SHAPES = [(5, 1, 1, 3, 7), (11, 3, 4, 6, 1), (27, 8, 5, 17, 64), (7, 5, 3, 33, 40)]
"""Vocabulary, context length, embedding size, hidden width, batch size."""
CHANGES: list[dict[str, Any]] = [
    *({"activation": name} for name in ACTIVATIONS),
    {"normalised": True},
    {"label_smoothing": 0.3},
    {"mask_each_example": True},
    {"activation": "gelu", "normalised": True, "label_smoothing": 0.1},
]


def config_of(shape: tuple[int, int, int, int, int], dropout: float = 0.0, **extra: Any) -> TrainConfig:
    _, T, E, H, B = shape
    model = ModelConfig(context_length=T, embedding_size=E, hidden_width=H, extra=extra)
    return TrainConfig(model=model, batch_size=B, dropout=dropout)


def batch_of(shape: tuple[int, int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Contexts with padding, equal ones adjacent as in training, and targets."""
    V, T, _, _, B = shape
    draw = torch.Generator().manual_seed(1)
    contexts = torch.randint(V, (max(1, B // 2), T), generator=draw)
    contexts[::2, : T // 2] = 0
    rows = torch.randint(len(contexts), (B,), generator=draw).sort().values
    return contexts[rows], torch.randint(V, (B,), generator=draw)


def double(model: Variant) -> Variant:
    """The model in float64, so that gradients can be compared closely."""
    model._bind(model.parameters.double())
    return model


def expected(model: Variant, contexts: Tensor, targets: Tensor, mask_BH: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Loss and gradient by autograd, every example on its own, from the definition in the docstring."""
    _, T, E, H, *_ = model.dims
    flat = model.parameters.clone().requires_grad_()
    other = Variant.__new__(Variant)
    other.__dict__.update(model.__dict__)
    other._bind(flat)
    z_BH = other.embedding[contexts].reshape(len(contexts), T * E) @ other.w1.reshape(T * E, H) + other.b1
    h_BH = model._activated(z_BH) * (1 if mask_BH is None else mask_BH)
    log_p = torch.log_softmax(h_BH @ other.w2 + other.b2, 1)
    loss = torch.nn.functional.nll_loss(log_p, targets) * (1 - model._smoothing) - model._smoothing * log_p.mean()
    (gradient,) = torch.autograd.grad(loss, flat)
    return loss.detach(), gradient


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("extra", CHANGES, ids=str)
def test_the_gradient_equals_autograd_on_every_example(shape: tuple[int, int, int, int, int], extra: dict[str, Any]):
    model = double(Variant.build(config_of(shape, **extra), shape[0], stream(0, "init")))
    contexts, targets = batch_of(shape)
    loss = model.loss_and_gradient(contexts, targets, generator=torch.Generator())
    loss_there, gradient = expected(model, contexts, targets)
    torch.testing.assert_close(loss, loss_there)
    torch.testing.assert_close(model.gradient, gradient)


@pytest.mark.parametrize("each", [False, True])
def test_dropout_has_one_mask_for_a_distinct_context_or_one_for_an_example(each: bool):
    shape = SHAPES[2]
    model = double(Variant.build(config_of(shape, 0.4, mask_each_example=each), shape[0], stream(0, "init")))
    contexts, targets = batch_of(shape)
    distinct, of_example = merged(contexts)
    assert len(distinct) < len(contexts)
    like = model.parameters.new_empty(len(contexts) if each else len(distinct), shape[3])
    mask = dropout_mask(0.4, like, torch.Generator().manual_seed(3))
    loss = model.loss_and_gradient(contexts, targets, generator=torch.Generator().manual_seed(3))
    loss_there, gradient = expected(model, contexts, targets, mask if each else mask[of_example])
    torch.testing.assert_close(loss, loss_there)
    torch.testing.assert_close(model.gradient, gradient)


def test_a_character_that_is_dropped_leaves_its_position_empty_and_the_others_are_scaled_up():
    shape = SHAPES[3]
    V, T, E, H, _ = shape
    model = double(Variant.build(config_of(shape, character_dropout=0.25), V, stream(0, "init")))
    contexts, targets = batch_of(shape)
    distinct, of_example = merged(contexts)
    kept = torch.rand(distinct.shape, generator=torch.Generator().manual_seed(5)) >= 0.25
    flat = model.parameters.clone().requires_grad_()
    twin = CharMLP(config_of(shape).model, V, dtype=torch.float64)
    twin._bind(flat)
    emb_DTE = twin.embedding[distinct] * kept[..., None] / 0.75
    h_DH = torch.tanh(emb_DTE.flatten(1) @ twin.w1.reshape(T * E, H) + twin.b1)
    loss = torch.nn.functional.cross_entropy((h_DH @ twin.w2 + twin.b2)[of_example], targets)
    (gradient,) = torch.autograd.grad(loss, flat)
    found = model.loss_and_gradient(contexts, targets, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, loss.detach())
    torch.testing.assert_close(model.gradient, gradient)


def test_without_settings_it_is_the_built_in_model():
    shape = SHAPES[2]
    config = config_of(shape)
    ours, theirs = (kind.build(config, shape[0], stream(0, "init")) for kind in (Variant, CharMLP))
    contexts, targets = batch_of(shape)
    losses = [model.loss_and_gradient(contexts, targets, generator=torch.Generator()) for model in (ours, theirs)]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(ours.gradient, theirs.gradient)
    torch.testing.assert_close(ours.log_probabilities(contexts), theirs.log_probabilities(contexts))


@pytest.mark.parametrize("extra", [*CHANGES, {"character_dropout": 0.5}], ids=str)
def test_it_keeps_to_the_contract_of_a_users_own_model(extra: dict[str, Any]):
    log_p = check_build(Variant.build, config_of(SHAPES[1], 0.2, **extra), 11, stream(0, "init"))
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(len(log_p)))


@pytest.mark.parametrize("shape", SHAPES)
def test_tied_embeddings_give_the_logits_of_their_definition(shape: tuple[int, int, int, int, int]):
    V, T, E, H, _ = shape
    tied = Tied.build(config_of(shape), V, stream(0, "init"))
    contexts, targets = batch_of(shape)
    w = {name: tensor.detach().clone().requires_grad_() for name, tensor in tied.tensors().items()}
    h_BH = torch.tanh(w["embedding"][contexts].flatten(1) @ w["w1"].reshape(T * E, H) + w["b1"])
    logits = h_BH @ w["projection"] @ w["embedding"].t() + w["b2"]
    expected = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, targets), list(w.values()))
    torch.testing.assert_close(tied.log_probabilities(contexts), torch.log_softmax(logits, 1).detach())
    tied.loss_and_gradient(contexts, targets, generator=torch.Generator())
    found = [parameter.grad for _, parameter in tied.module.named_parameters()]
    torch.testing.assert_close(found, list(expected))


def test_tied_embeddings_keep_to_the_contract_of_a_users_own_model():
    check_build(Tied.build, config_of(SHAPES[1], 0.2), 11, stream(0, "init"))


def test_initial_weights_are_scaled_by_name():
    config = config_of(SHAPES[1])
    plain = CharMLP.build(config, 11, stream(0, "init")).tensors()
    scaled = Scaled.build(config_of(SHAPES[1], embedding=0.5, w2=0.0), 11, stream(0, "init")).tensors()
    factors = {"embedding": 0.5, "w1": 1.0, "b1": 1.0, "w2": 0.0, "b2": 1.0}
    for name, factor in factors.items():
        torch.testing.assert_close(scaled[name], factor * plain[name])


@pytest.mark.parametrize("kind", [Variant, Tied])
@pytest.mark.parametrize("knob", [{"second_width": 4}, {"direct_connections": True}])
def test_a_knob_that_it_does_not_have_is_refused(kind: type[Variant] | type[Tied], knob: dict[str, Any]):
    config = config_of(SHAPES[1])
    config = config.model_copy(update={"model": config.model.model_copy(update=knob)})
    with pytest.raises(ConfigError, match="must have one hidden layer and no direct connections"):
        kind.build(config, 11, stream(0, "init"))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"activations": "relu"}, "settings of this model are .*; got 'activations'. Did you mean 'activation'"),
        ({"activation": "cosine"}, "activation must be one of tanh, .*; got 'cosine'"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(extra: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Variant.build(config_of(SHAPES[1], **extra), 11, stream(0, "init"))
