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
        h_BH = torch.tanh(w["embedding"][contexts].flatten(1) @ w["w1"].flatten(0, 1) + w["b1"])
        if self.dropout:
            h_BH = h_BH * self.mask(contexts, generator)
        loss = nn.functional.cross_entropy(h_BH @ w["w2"] + w["b2"], targets)
        loss.backward()
        twin = CharMLP(self.shape, self.dims.V)
        for name, view in twin.tensors().items():
            view.copy_(w[name].grad)
        self.gradient.copy_(twin.parameters)
        return loss.detach()

    def mask(self, contexts: Tensor, generator: torch.Generator) -> Tensor:
        """One row for each example; with large batches, equal contexts share theirs."""
        which = torch.arange(len(contexts))
        if not self.is_direct(len(contexts)):
            which = torch.unique_consecutive(contexts, dim=0, return_inverse=True)[1]
        like = torch.empty(int(which.max()) + 1, self.dims.H)
        return dropout_mask(self.dropout, like, generator)[which]

    @property
    def shape(self) -> ModelConfig:
        _, T, E, H, *_ = self.dims
        return ModelConfig(embedding_size=E, hidden_width=H, context_length=T)


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


def test_a_tiny_fixed_run_of_large_batches_has_these_losses(small_corpus: Corpus, tiny_config: MakeConfig):
    result = train(tiny_config(schedule=Cosine(), batch_size=LARGE), small_corpus)
    golden = [(2.051883, 2.080164), (1.817443, 1.874457), (1.709985, 1.775561), (1.69235, 1.758955)]
    assert [(point.train_nats, point.dev_nats) for point in result.curve] == [
        pytest.approx(point, abs=1e-5) for point in golden
    ]
