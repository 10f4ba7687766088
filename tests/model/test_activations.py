"""The activations of the hidden layers: values and gradients against torch's own, with and without dropout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness import Budget, CharMLP, Corpus, ModelConfig, TrainConfig, stream, train
from harness.model import plan_of, stacks
from harness.model.direct import DirectPlan
from harness.model.dropout import dropout_mask
from harness.model.hidden import ACTIVATIONS
from harness.model.merged import MergedPlan

MakeConfig = Callable[..., TrainConfig]
PLANS = {"merged": MergedPlan, "direct": DirectPlan}
STATED = {"tanh": torch.tanh, "relu": torch.relu, "gelu": nn.functional.gelu}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_layers_units_and_its_gradient_are_those_of_torch(name: str, dropout: float):
    z = torch.randn(40, 30, dtype=torch.float64, generator=stream(0, "init")).requires_grad_()
    d_units = torch.randn(40, 30, dtype=torch.float64, generator=stream(1, "init"))
    mask = dropout_mask(dropout, z, stream(2, "dropout"))
    expected = STATED[name](z) * mask
    expected.backward(d_units)
    activation = ACTIVATIONS[name](dropout, z.detach())
    kept = (mask > 0).double() if dropout else None
    units, saved = activation.forward_(z.detach() * activation.times, kept)
    torch.testing.assert_close(units * activation.scale, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(activation.backward_(d_units * activation.slope, saved), z.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_closed_form_gradient_is_autograds(name: str, plan: str, dropout: float):
    @given(*(st.integers(1, high) for high in (24, 5, 5, 9)), st.integers(2, 12), st.integers(0, 2**31))
    def holds(B: int, T: int, E: int, H: int, V: int, seed: int) -> None:
        shape = ModelConfig(context_length=T, embedding_size=E, hidden_width=H, activation=name)
        model = CharMLP(shape, V, dropout=dropout, dtype=torch.float64)
        draw = torch.Generator().manual_seed(seed)
        model.initialise("normal", draw)
        distinct = torch.randint(V, (max(1, B // 2), T), generator=draw)
        rows = torch.randint(len(distinct), (B,), generator=draw).sort().values
        targets = torch.randint(V, (B,), generator=draw)
        flat = (model.dims, model.parameters, model.gradient, distinct, B, dropout, name)
        (nats,) = PLANS[plan](*flat).steps(rows.view(1, 1, -1), targets.view(1, 1, -1), [stream(seed, "dropout")])
        which = torch.arange(B) if plan == "direct" else rows.unique(return_inverse=True)[1]
        like = torch.empty(len(which.unique()), H, dtype=torch.float64)
        mask_BH = dropout_mask(dropout, like, stream(seed, "dropout"))[which] if dropout else 1.0

        w = {key: tensor.detach().clone().requires_grad_() for key, tensor in model.tensors().items()}
        z_BH = w["embedding"][distinct[rows]].flatten(1) @ w["w1"].flatten(0, 1) + w["b1"]
        loss = nn.functional.cross_entropy((STATED[name](z_BH) * mask_BH) @ w["w2"] + w["b2"], targets)
        loss.backward()
        assert float(nats) == pytest.approx(loss.item(), abs=1e-10)
        twin = CharMLP(shape, V, dtype=torch.float64)
        twin.parameters.copy_(model.gradient)
        for key, ours in twin.tensors().items():
            torch.testing.assert_close(ours, w[key].grad, rtol=0, atol=1e-10)

    holds()


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_a_second_layer_has_the_same_activation(name: str):
    shape = ModelConfig(embedding_size=3, hidden_width=7, second_width=5, context_length=2, activation=name)
    model = CharMLP(shape, 6, dtype=torch.float64)
    model.initialise("normal", stream(0, "init"))
    contexts, targets = torch.randint(6, (50, 2), generator=stream(1, "batches")), torch.arange(50) % 6
    model.loss_and_gradient(contexts, targets, generator=stream(2, "dropout"))
    found = model.gradient.clone()
    leaves = {key: tensor.detach().clone().requires_grad_() for key, tensor in model.tensors().items()}
    first = STATED[name](leaves["embedding"][contexts].flatten(1) @ leaves["w1"].flatten(0, 1) + leaves["b1"])
    logits = STATED[name](first @ leaves["w_second"] + leaves["b_second"]) @ leaves["w2"] + leaves["b2"]
    torch.testing.assert_close(model.logits(contexts), logits.detach(), rtol=0, atol=1e-12)
    nn.functional.cross_entropy(logits, targets).backward()
    twin = CharMLP(shape, 6, dtype=torch.float64)
    twin.parameters.copy_(found)
    for key, ours in twin.tensors().items():
        torch.testing.assert_close(ours, leaves[key].grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("few", [True, False])
def test_predictions_are_those_of_the_stated_model(name: str, few: bool):
    model = CharMLP(ModelConfig(embedding_size=3, hidden_width=9, context_length=3, activation=name), 5)
    model.initialise("normal", stream(0, "init"))
    contexts = torch.randint(5, (4 if few else 400, 3), generator=stream(1, "batches"))
    expected: Tensor = torch.log_softmax(model.logits(contexts), 1)
    torch.testing.assert_close(model.log_probabilities(contexts), expected, rtol=0, atol=1e-5)


def test_only_models_of_one_activation_stack():
    def model(activation: str) -> CharMLP:
        return CharMLP(ModelConfig(hidden_width=8, activation=activation), 10)

    assert stacks([model("gelu"), model("gelu")], 8)
    assert not stacks([model("gelu"), model("relu")], 8)
    with pytest.raises(ValueError, match="one shape, activation and dropout"):
        plan_of([model("gelu"), model("tanh")], torch.zeros(4, 8, dtype=torch.int64), 8)


@pytest.mark.parametrize("name", ["relu", "gelu"])
@pytest.mark.parametrize("batch_size", [8, 300])
def test_a_model_with_another_activation_learns(small_corpus: Corpus, tiny_config: MakeConfig, name: str, batch_size):
    shape = ModelConfig(embedding_size=4, hidden_width=16, context_length=3, activation=name)
    config = tiny_config(model=shape, batch_size=batch_size, budget=Budget(steps=60), evaluations=3, dropout=0.1)
    losses = [point.dev_nats for point in train(config, small_corpus).curve]
    assert losses == sorted(losses, reverse=True)


def test_a_config_without_another_activation_has_the_json_it_had_before():
    assert "activation" not in TrainConfig().model_dump_json()
    relu = TrainConfig(model=ModelConfig(activation="relu"))
    assert TrainConfig.parse(relu.model_dump_json()) == relu
    assert relu.hash() != TrainConfig().hash()
