"""Whole runs by the fast plans, compared with the same runs through autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness import SGD, AdamW, Budget, CharMLP, Corpus, Cosine, ModelConfig, TrainConfig, train
from harness.model.dropout import dropout_mask
from tests.strategies import ONE_OF_EACH

MakeConfig = Callable[..., TrainConfig]
SMALL, LARGE = 16, 300
"""With the small corpus's 10 symbols one is trained by direct products, the other by merged contexts."""


class ByAutograd(CharMLP):
    """The same weights and dropout masks; loss and gradient from autograd on the model as the paper states it."""

    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        w = {name: tensor.detach().clone().requires_grad_() for name, tensor in self.tensors().items()}
        x_BX = w["embedding"][contexts].flatten(1)
        logits_BV = x_BX @ w["direct"].flatten(0, 1) + w["b2"] if "direct" in w else w["b2"]
        if "w1" in w:
            h = torch.tanh(x_BX @ w["w1"].flatten(0, 1) + w["b1"]) * self.mask(self.dims.H, contexts, generator)
            if "w_second" in w:
                h = torch.tanh(h @ w["w_second"] + w["b_second"]) * self.mask(self.dims.S, contexts, generator)
            logits_BV = h @ w["w2"] + logits_BV
        loss = nn.functional.cross_entropy(logits_BV, targets)
        loss.backward()
        twin = CharMLP(self.shape, self.dims.V)
        for name, view in twin.tensors().items():
            view.copy_(w[name].grad)
        self.gradient.copy_(twin.parameters)
        return loss.detach()

    def mask(self, width: int, contexts: Tensor, generator: torch.Generator) -> Tensor | float:
        """One row for each example; where contexts are merged, equal ones share theirs."""
        if not self.dropout:
            return 1.0
        which = torch.arange(len(contexts))
        if not self.is_direct(len(contexts)):
            which = torch.unique_consecutive(contexts, dim=0, return_inverse=True)[1]
        like = torch.empty(int(which.max()) + 1, width)
        return dropout_mask(self.dropout, like, generator)[which]

    @property
    def shape(self) -> ModelConfig:
        _, T, E, H, S, direct = self.dims
        return ModelConfig(
            embedding_size=E, hidden_width=H, context_length=T, second_width=S, direct_connections=direct
        )


@pytest.mark.parametrize("schedule", ONE_OF_EACH)
@pytest.mark.parametrize("batch_size", [SMALL, LARGE], ids=["batch of 16", "batch of 300"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(2, 5, 1), (10, 20, 3), (5, 40, 8)], ids=str)
def test_fifty_steps_of_the_fast_plans_agree_with_autograd(
    small_corpus: Corpus,
    tiny_config: MakeConfig,
    schedule: str,
    batch_size: int,
    dropout: float,
    shape: tuple[int, int, int],
):
    embedding_size, hidden_width, context_length = shape
    config = tiny_config(
        model=ModelConfig(embedding_size=embedding_size, hidden_width=hidden_width, context_length=context_length),
        optimizer=AdamW(learning_rate=3e-3) if dropout else SGD(learning_rate=0.1, momentum=0.9),
        schedule=ONE_OF_EACH[schedule],
        batch_size=batch_size,
        dropout=dropout,
        budget=Budget(steps=50),
        evaluations=5,
    )
    fast, plain = (train(config, small_corpus, build=kind.build) for kind in (CharMLP, ByAutograd))
    assert len(fast.curve) == 5
    for ours, theirs in zip(fast.curve, plain.curve, strict=True):
        assert ours.train_nats == pytest.approx(theirs.train_nats, abs=1e-4)
        assert ours.dev_nats == pytest.approx(theirs.dev_nats, abs=1e-4)


KNOBS = {
    "direct": {"direct_connections": True},
    "no hidden layer": {"direct_connections": True, "hidden_width": 0},
    "second": {"second_width": 15},
    "second and direct": {"second_width": 15, "direct_connections": True},
}


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("batch_size", [SMALL, LARGE], ids=["batch of 16", "batch of 300"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_fifty_steps_of_a_model_with_a_knob_agree_with_autograd(
    small_corpus: Corpus, tiny_config: MakeConfig, knobs: str, batch_size: int, dropout: float
):
    config = tiny_config(
        model=ModelConfig(**{"embedding_size": 10, "hidden_width": 20, "context_length": 3, **KNOBS[knobs]}),
        optimizer=AdamW(learning_rate=3e-3, weight_decay=0.1, decay_biases=False),
        batch_size=batch_size,
        dropout=dropout,
        budget=Budget(steps=50),
        evaluations=2,
    )
    fast, plain = (train(config, small_corpus, build=kind.build) for kind in (CharMLP, ByAutograd))
    for ours, theirs in zip(fast.curve, plain.curve, strict=True):
        assert ours.train_nats == pytest.approx(theirs.train_nats, abs=1e-4)
        assert ours.dev_nats == pytest.approx(theirs.dev_nats, abs=1e-4)
    assert fast.dev_nats < fast.curve[0].dev_nats - 0.01


def test_a_tiny_fixed_run_of_large_batches_has_these_losses(small_corpus: Corpus, tiny_config: MakeConfig):
    result = train(tiny_config(schedule=Cosine(), batch_size=LARGE), small_corpus)
    golden = [(2.051883, 2.080164), (1.817443, 1.874457), (1.709985, 1.775561), (1.69235, 1.758955)]
    assert [(point.train_nats, point.dev_nats) for point in result.curve] == [
        pytest.approx(point, abs=1e-5) for point in golden
    ]
