"""The MLP's training step for small batches: one product per example, for several replicas at once.

At the lecture's shape (32 examples, 10 x 200) a step is about twenty small calls whose fixed
costs are larger than the arithmetic. Replicas, which are the same run from other seeds, share
these costs: with five replicas, each takes 0.6 times as long as one alone (one core).

R replicas, B batch, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.model.dropout import kept_units
from harness.model.hidden import ACTIVATIONS
from harness.model.layout import Dims, size_of, weights_of


class DirectPlan:
    """Training steps of R replicas with closed-form gradients. Each replica has its own batches.

    Every tensor with an R is used in batched products, so replicas do not affect each other.
    Buffers are allocated once, because at this size allocating costs as much as computing.
    """

    closed_form = True

    def __init__(
        self,
        dims: Dims,
        parameters: Tensor,
        gradient: Tensor,
        contexts: Tensor,
        batch_size: int,
        dropout: float,
        activation: str = "tanh",
    ) -> None:
        """Use the given memory: (R * P,) weights and (R * P,) gradient. Contexts are (D, T) int64."""
        self.parameters, self.gradient = parameters, gradient
        self._contexts = contexts
        V, T, E, H, *_ = dims
        R, B = parameters.numel() // size_of(dims), batch_size
        self._weights, self._d = weights_of(parameters, dims, R), weights_of(gradient, dims, R)
        self.biases = self._weights.biases
        like = parameters
        self._activation = ACTIVATIONS[activation](dropout, like)
        # These are tensors because Python numbers would be converted in every call.
        self._share = like.new_tensor(1 / B)
        self._minus_shares_R1B = like.new_full((R, 1, B), -1 / B)
        self._minus_shares_RB1 = self._minus_shares_R1B.mT
        # Concatenated embeddings, transposed, with a row of ones below them for b1.
        self._x_RXB = like.new_ones(R, E * T + 1, B)
        self._x_RBX, self._x_RETB = self._x_RXB.mT, self._x_RXB[:, :-1].view(R, E, T * B)
        self._d_x_RXB = like.new_empty(R, E * T, B)
        self._d_x_RETB = self._d_x_RXB.view(R, E, T * B)
        self._h, self._d_units = like.new_empty(R, B, H), like.new_empty(R, B, H)
        self._out = like.new_empty(R, V, B)

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Take S steps. Rows of the contexts and targets are (S, R, B); yields (R,) mean nats for each step."""
        R, E, TB = self._x_RETB.shape
        symbols = self._contexts[rows].transpose(2, 3).reshape(-1, R, 1, TB).expand(-1, R, E, TB)
        for symbols_RETB, targets_R1B in zip(symbols, targets[:, :, None].long(), strict=True):
            yield self._step(symbols_RETB, targets_R1B, generators)

    def _step(self, symbols_RETB: Tensor, targets_R1B: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        w, d, activation = self._weights, self._d, self._activation
        torch.gather(w.embedding, 2, symbols_RETB, out=self._x_RETB)
        inputs_RBH = self._h.baddbmm_(self._x_RBX, w.first, beta=0, alpha=activation.times)
        units_RBH, saved = activation.forward_(inputs_RBH, self._kept(generators) if activation.dropout else None)
        # The shape is (V, B) because a product with 27 rows is twice as fast as one with 27 columns.
        torch.baddbmm(w.b2, w.w2, units_RBH.mT, alpha=activation.scale, out=self._out)
        log_p_RVB = torch.log_softmax(self._out, 1)
        nats_R11 = torch.bmm(log_p_RVB.gather(1, targets_R1B), self._minus_shares_RB1)

        # d loss / d logits = (softmax - one-hot) / B
        d_out_RVB = log_p_RVB.exp_().mul_(self._share).scatter_add_(1, targets_R1B, self._minus_shares_R1B)
        torch.sum(d_out_RVB, 2, keepdim=True, out=d.b2)
        d.w2.baddbmm_(d_out_RVB, units_RBH, beta=0, alpha=activation.scale)
        self._d_units.baddbmm_(d_out_RVB.mT, w.w2, beta=0, alpha=activation.slope)
        d_z_RBH = activation.backward_(self._d_units, saved)
        torch.bmm(self._x_RXB, d_z_RBH, out=d.first)
        torch.bmm(w.w1, d_z_RBH.mT, out=self._d_x_RXB)
        d.embedding.zero_().scatter_add_(2, symbols_RETB, self._d_x_RETB)
        return nats_R11.view(-1)

    def _kept(self, generators: Sequence[torch.Generator]) -> Tensor:
        """(R, B, H) masks. Each example has its own one, because equal contexts are rare in a small batch."""
        return torch.stack([kept_units(self._activation.dropout, self._h[0], generator) for generator in generators])

    def settle(self) -> None:
        """Do nothing: the weights are trained in place."""
