"""Which parts of the parameters weight decay shrinks, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from harness import SGD, AdamW, Autograd, Budget, CharMLP, Corpus, ModelConfig, TrainConfig, stream, train
from harness.model import Model, plan_of
from harness.train.optimizer import make_optimizer

MakeConfig = Callable[..., TrainConfig]
RATES = (0.1, 0.05, 0.02)
SETTINGS = {
    "sgd": SGD(weight_decay=0.3, decay_biases=False),
    "momentum": SGD(momentum=0.9, weight_decay=0.3, decay_biases=False),
    "adamw": AdamW(beta1=0.8, beta2=0.95, weight_decay=0.3, decay_biases=False),
}
SHAPES = {
    "plain": ModelConfig(embedding_size=3, hidden_width=5, context_length=2),
    "all knobs": ModelConfig(
        embedding_size=3, hidden_width=5, context_length=2, second_width=4, direct_connections=True
    ),
    "no hidden layer": ModelConfig(embedding_size=3, hidden_width=0, context_length=2, direct_connections=True),
}


def by_hand(w: Tensor, gradients: Sequence[Tensor], settings: SGD | AdamW, decay: float) -> Tensor:
    """The weights after steps at RATES, in float64: as Loshchilov & Hutter 2019 state AdamW, and torch SGD."""
    w, momentum, mean, square = w.double(), 0.0, 0.0, 0.0
    for step, (rate, given) in enumerate(zip(RATES, gradients, strict=True), start=1):
        g = given.double()
        if isinstance(settings, SGD):
            momentum = settings.momentum * momentum + (g + decay * w)
            w = w - rate * momentum
        else:
            mean = settings.beta1 * mean + (1 - settings.beta1) * g
            square = settings.beta2 * square + (1 - settings.beta2) * g * g
            first, second = mean / (1 - settings.beta1**step), square / (1 - settings.beta2**step)
            w = w * (1 - rate * decay) - rate * first / (second.sqrt() + 1e-8)
    return w


def check(models: Sequence[Model], settings: SGD | AdamW, is_bias: Callable[[str, Tensor], bool]) -> None:
    """Steps with random gradients leave every tensor where steps by hand take it, biases without decay."""
    plan = plan_of(models, torch.zeros(4, 2, dtype=torch.int64), 4)
    before = [{name: tensor.clone() for name, tensor in model.tensors().items()} for model in models]
    optimizer, draw = make_optimizer(plan, settings), torch.Generator().manual_seed(0)
    given: list[list[dict[str, Tensor]]] = [[] for _ in models]
    for rate in RATES:
        plan.gradient.copy_(torch.randn(plan.gradient.shape, generator=draw))
        _read_gradient(plan, models, given)
        optimizer.step(rate)
    plan.settle()
    for model, weights, gradients in zip(models, before, given, strict=True):
        for name, tensor in model.tensors().items():
            decay = 0.0 if is_bias(name, tensor) else settings.weight_decay
            expected = by_hand(weights[name], [each[name] for each in gradients], settings, decay)
            assert torch.allclose(tensor.double(), expected, rtol=0, atol=2e-6), name


def _read_gradient(plan: object, models: Sequence[Model], given: list[list[dict[str, Tensor]]]) -> None:
    """The plan's gradient by the names of each model's tensors: settled into the models as if it were weights."""
    weights = plan.parameters.clone()
    plan.parameters.copy_(plan.gradient)
    plan.settle()
    for model, found in zip(models, given, strict=True):
        found.append({name: tensor.clone() for name, tensor in model.tensors().items()})
    plan.parameters.copy_(weights)
    plan.settle()


def built(shape: ModelConfig, seed: int = 0) -> CharMLP:
    model = CharMLP(shape, 7)
    model.initialise("normal", torch.Generator().manual_seed(seed))
    return model


def one_dimensional(_name: str, tensor: Tensor) -> bool:
    return tensor.dim() < 2


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_biases_are_not_decayed_and_embeddings_and_weights_are(kind: str, shape: str):
    biases = {"b1", "b_second", "b2"}
    check([built(SHAPES[shape])], SETTINGS[kind], lambda name, _: name in biases)


@pytest.mark.parametrize("kind", SETTINGS)
def test_biases_of_stacked_replicas_are_not_decayed_either(kind: str):
    models = [built(SHAPES["plain"], seed) for seed in range(3)]
    check(models, SETTINGS[kind], lambda name, _: name in {"b1", "b2"})


@pytest.mark.parametrize("kind", SETTINGS)
def test_by_default_everything_is_decayed(kind: str):
    check([built(SHAPES["plain"])], SETTINGS[kind].model_copy(update={"decay_biases": True}), lambda *_: False)


@pytest.mark.parametrize("kind", SETTINGS)
def test_in_a_module_parameters_with_fewer_than_two_dimensions_count_as_biases(kind: str):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 7))
    check([Autograd(module)], SETTINGS[kind], one_dimensional)


def test_a_frozen_parameter_and_a_buffer_do_not_count_as_biases():
    module = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 7), nn.BatchNorm1d(7))
    module[2].bias.requires_grad_(False)
    model = Autograd(module)
    plan = plan_of([model], torch.zeros(4, 2, dtype=torch.int64), 4)
    assert [tuple(bias.shape) for bias in plan.biases] == [(7,), (7,)]  # BatchNorm's weight and bias
    frozen = module[2].bias.clone()
    model.gradient.fill_(1.0)
    make_optimizer(plan, SETTINGS["adamw"]).step(0.1)
    assert torch.equal(module[2].bias, frozen)


def test_a_model_without_biases_is_decayed_as_a_whole():
    module = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 7, bias=False))
    check([Autograd(module)], SETTINGS["adamw"], lambda *_: False)


def test_a_run_spares_its_biases_and_learns(small_corpus: Corpus, tiny_config: MakeConfig):
    decayed, spared = (
        train(
            tiny_config(
                optimizer=AdamW(learning_rate=1e-2, weight_decay=10.0, decay_biases=decay), budget=Budget(steps=60)
            ),
            small_corpus,
        )
        for decay in (True, False)
    )
    start = CharMLP.build(tiny_config(), small_corpus.vocabulary_size, stream(0, "init"))
    assert float(spared.model.b2.norm()) > 2 * float(decayed.model.b2.norm())
    assert float(spared.model.embedding.norm()) < 0.5 * float(start.embedding.norm())
    assert spared.dev_nats < decayed.dev_nats
