"""The lecture's character MLP (Bengio et al. 2003 without direct connections).

B batch, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from harness.config import ModelConfig, TrainConfig
from harness.errors import ConfigError
from harness.model.direct import DirectPlan
from harness.model.hidden import Tanh
from harness.model.interface import Plan
from harness.model.layout import Dims, size_of, weights_of
from harness.model.merged import MergedPlan
from harness.model.table import Table, entries_of


def check_no_extra(shape: ModelConfig) -> None:
    """Check that a config for the built-in model has no settings that only a user's own model could read.

    Raises:
        ConfigError: it has some.
    """
    if shape.extra:
        raise ConfigError(
            f"the built-in model has no setting {', '.join(map(repr, shape.extra))}; model.extra is for a model of "
            "your own. Pass build=…, or leave extra out."
        )


class CharMLP:
    """logits = tanh(sum_t embedding[x_t] @ w1[t] + b1) @ w2 + b2.

    `logits` is the readable definition. `harness.model.merged` and `harness.model.direct` are fast
    implementations with closed-form gradients. Tests compare both with autograd on `logits`.
    """

    def __init__(
        self,
        shape: ModelConfig,
        vocabulary_size: int,
        *,
        dropout: float = 0.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dropout = dropout
        self.dims = Dims(vocabulary_size, shape.context_length, shape.embedding_size, shape.hidden_width)
        self._bind(torch.zeros(size_of(self.dims), device=device, dtype=dtype))

    @classmethod
    def build(cls, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Self:
        """A new model, initialised from the generator as the config says.

        Raises:
            ConfigError: the config has settings of another model. A subclass may have its own.
        """
        if cls is CharMLP:
            check_no_extra(config.model)
        model = cls(config.model, vocabulary_size, dropout=config.dropout)
        model.initialise(config.model.init, generator)
        return model

    def initialise(self, how: str, generator: torch.Generator) -> None:
        """Initialise the weights. `normal`: N(0, 1) everywhere, as in the lecture. `scaled`: scaled by layer.

        `scaled` gives tanh inputs of about unit size and nearly uniform first predictions. The gain
        5/3 compensates for the contraction by tanh (He et al. 2015; torch's calculate_gain), and the
        small w2 lets the loss start near log V.
        """
        _, T, E, H = self.dims
        scales = (1.0, (5 / 3) / math.sqrt(T * E), 0.0, 0.1 / math.sqrt(H), 0.0) if how == "scaled" else (1.0,) * 5
        for view, scale in zip(self.tensors().values(), scales, strict=True):
            view.copy_(torch.randn(view.shape, generator=generator) * scale)

    def logits(self, contexts: Tensor) -> Tensor:
        """(B, V) logits for (B, T) int64 contexts, as the paper defines them."""
        emb_BTE = self.embedding[contexts]
        h_BH = torch.tanh(emb_BTE.flatten(1) @ self.w1.flatten(0, 1) + self.b1)
        return h_BH @ self.w2 + self.b2

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats for (B, T) contexts, without dropout."""
        if self.is_direct(len(contexts)):
            return torch.log_softmax(self.logits(contexts), 1)
        twice_z_BH = Table(self.dims, self._weights).twice_inputs(*entries_of(contexts))
        h_BH, _ = Tanh(0.0, twice_z_BH).forward_(twice_z_BH, None)
        logits_VB = torch.addmm(self.b2[:, None], self.w2.t(), h_BH.t())
        return torch.log_softmax(logits_VB, 0).t()

    @torch.no_grad()
    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mean nats of a batch. Writes the gradient of all weights, in closed form, into `gradient`.

        This makes a plan for a single batch. Code that takes many steps should make one plan for all of
        them (`harness.model.plan_of`).
        """
        each = torch.arange(len(targets), device=targets.device).view(1, 1, -1)
        (nats,) = self.plan(contexts, len(targets)).steps(each, targets.view(1, 1, -1), [generator])
        return nats[0]

    def plan(self, contexts: Tensor, batch_size: int) -> Plan:
        """The plan to train this model on batches of one size, drawn from (N, T) contexts."""
        kind = DirectPlan if self.is_direct(batch_size) else MergedPlan
        return kind(self.dims, self.parameters, self.gradient, contexts, batch_size, self.dropout)

    def is_direct(self, batch_size: int) -> bool:
        """Whether the first layer is cheaper as one product per context than as a table of all symbols.

        For every position the table multiplies V embeddings, and the product multiplies B. Measured with V
        of 27, 100 and 500, contexts of 3 to 64 and a width of 256: the table becomes faster at a B between
        1.5 V and 2.5 V, and at 4 V it takes 0.4 to 1.0 times as long.
        """
        return batch_size <= 2 * self.dims.V

    def tensors(self) -> dict[str, Tensor]:
        """Views by their saved names: embedding (V, E), w1 (T, E, H), b1 (H), w2 (H, V), b2 (V)."""
        return {"embedding": self.embedding, "w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def to(self, device: torch.device | str) -> None:
        self._bind(self.parameters.to(device))

    def _bind(self, parameters: Tensor) -> None:
        """Make the named weights views of one flat tensor, with a gradient of the same layout."""
        self.parameters, self.gradient = parameters, torch.zeros_like(parameters)
        self._weights = weights_of(parameters, self.dims)
        _, T, E, H = self.dims
        w = self._weights.of_replica(0)
        self.embedding, self.w1, self.b1 = w.embedding.t(), w.w1.view(E, T, H).transpose(0, 1), w.b1[0]
        self.w2, self.b2 = w.w2.t(), w.b2[:, 0]
