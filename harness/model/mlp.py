"""The lecture's character MLP (Bengio et al. 2003), with direct connections and a second hidden layer as knobs.

B batch, T context length, E embedding size, H hidden width, S width of the second hidden layer, V vocabulary size.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from harness.config import ModelConfig, TrainConfig
from harness.errors import ConfigError
from harness.model.direct import DirectPlan
from harness.model.interface import Plan
from harness.model.layout import Dims, size_of, weights_of
from harness.model.merged import MergedPlan
from harness.model.network import Network
from harness.model.table import entries_of


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


ACTIVATED = {"tanh": torch.tanh, "relu": torch.relu, "gelu": nn.functional.gelu}
"""The activations as torch states them. `harness.model.hidden` has the fast ones, with their derivatives."""


class CharMLP:
    """logits = tanh(sum_t embedding[x_t] @ w1[t] + b1) @ w2 + b2, and as the config says:

    - direct connections add sum_t embedding[x_t] @ direct[t] to the logits (Bengio et al. 2003, equation 1);
    - with a hidden width of 0, only these and b2 are left;
    - a second hidden layer, tanh(h @ w_second + b_second), comes between the first layer's h and w2;
    - another activation replaces tanh.

    Dropout drops units of all hidden layers. `logits` is the readable definition. `harness.model.merged` and
    `harness.model.direct` are fast implementations with closed-form gradients. Tests compare both with autograd on
    `logits`.
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
        self.dropout, self.activation = dropout, shape.activation
        sizes = (shape.context_length, shape.embedding_size, shape.hidden_width, shape.second_width)
        self.dims = Dims(vocabulary_size, *sizes, shape.direct_connections)
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
        small w2 and direct connections let the loss start near log V.
        """
        _, T, E, H, *_ = self.dims
        scales = {
            "w1": (5 / 3) / math.sqrt(T * E),
            "w_second": (5 / 3) / math.sqrt(max(1, H)),
            "w2": 0.1 / math.sqrt(max(1, self.dims.last)),
            "direct": 0.1 / math.sqrt(T * E),
        } | dict.fromkeys(("b1", "b_second", "b2"), 0.0)
        for name, view in self.tensors().items():
            scale = scales.get(name, 1.0) if how == "scaled" else 1.0
            view.copy_(torch.randn(view.shape, generator=generator) * scale)

    def logits(self, contexts: Tensor) -> Tensor:
        """(B, V) logits for (B, T) int64 contexts, as the paper defines them."""
        x_BX = self.embedding[contexts].flatten(1)
        logits_BV = x_BX @ self.direct.flatten(0, 1) + self.b2 if self.dims.direct else self.b2
        if not self.dims.H:
            return logits_BV
        activated = ACTIVATED[self.activation]
        h = activated(x_BX @ self.w1.flatten(0, 1) + self.b1)
        if self.dims.S:
            h = activated(h @ self.w_second + self.b_second)
        return h @ self.w2 + logits_BV

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats for (B, T) contexts, without dropout."""
        if self._is_few(len(contexts)):
            return torch.log_softmax(self.logits(contexts), 1)
        logits_VB = Network(self.dims, self._weights.of_replica(0), activation=self.activation).logits(
            *entries_of(contexts)
        )
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
        return kind(self.dims, self.parameters, self.gradient, contexts, batch_size, self.dropout, self.activation)

    def is_direct(self, batch_size: int) -> bool:
        """Whether batches are trained by products per example. If the layers are not the lecture's, they never are."""
        return self.dims.is_plain and self._is_few(batch_size)

    def _is_few(self, contexts: int) -> bool:
        """Whether the first layer is cheaper as one product per context than as a table of all symbols.

        For every position the table multiplies V embeddings, and the product multiplies B. Measured with V
        of 27, 100 and 500, contexts of 3 to 64 and a width of 256: the table becomes faster at a B between
        1.5 V and 2.5 V, and at 4 V it takes 0.4 to 1.0 times as long.
        """
        return contexts <= 2 * self.dims.V

    def tensors(self) -> dict[str, Tensor]:
        """Views by their saved names, without those of layers that the model does not have.

        embedding (V, E), w1 (T, E, H), b1 (H), w2 (H, V), b2 (V); with knobs also w_second (H, S), b_second (S),
        direct (T, E, V). Above a second hidden layer, w2 is (S, V).
        """
        plain = {"embedding": self.embedding, "w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}
        knobs = {"w_second": self.w_second, "b_second": self.b_second, "direct": self.direct}
        return {name: tensor for name, tensor in (plain | knobs).items() if tensor.numel()}

    def to(self, device: torch.device | str) -> None:
        self._bind(self.parameters.to(device))

    def _bind(self, parameters: Tensor) -> None:
        """Make the named weights views of one flat tensor, with a gradient of the same layout."""
        self.parameters, self.gradient = parameters, torch.zeros_like(parameters)
        self._weights = weights_of(parameters, self.dims)
        _, T, E, *_ = self.dims
        w = self._weights.of_replica(0)
        self.embedding = w.embedding.t()
        self.w1, self.direct = (each.view(E, T, each.shape[1]).transpose(0, 1) for each in (w.w1, w.direct))
        self.b1, self.w2, self.b2 = w.b1[0], w.w2.t(), w.b2[:, 0]
        self.w_second, self.b_second = w.w_second, w.b_second[0]
