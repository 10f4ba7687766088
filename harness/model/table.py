"""The MLP's first layer as a table: the forward pass sums its rows, the backward pass gives the weights' gradient.

What symbol v at position t adds to the hidden units depends only on v and t. It is row v * T + t of
a table, and one product, (V, E) by (E, T * H), gives the whole table for any number of contexts.
Most symbols of a context are the padding boundary (five of eight for `names`). A row therefore holds
the difference between its symbol and the boundary at that position, and the sum over boundaries at
all positions is computed once. The result is exact: it is the same sum in another order.

D contexts, T context length, E embedding size, H hidden width, V vocabulary size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.model.layout import Dims, Weights


def entries_of(contexts: Tensor) -> tuple[Tensor, Tensor]:
    """The table rows of each context's symbols without boundaries, and the start of each context's rows.

    Args:
        contexts: (D, T) int64.

    Returns:
        The rows of all contexts, one after another, and their (D,) starts; both int64.
    """
    T = contexts.shape[1]
    inside_DT = contexts != 0
    rows = torch.add(torch.arange(T, device=contexts.device), contexts, alpha=T)[inside_DT]
    lengths = inside_DT.sum(1)
    return rows, lengths.cumsum(0) - lengths


class Table:
    """The first layer of one model. It uses the memory of the weights and, for training, of their gradient."""

    def __init__(self, dims: Dims, weights: Weights, gradient: Weights | None = None) -> None:
        """Create every view that a step needs, because creating one costs as much as a small product."""
        V, T, E, H = dims
        w, like = weights.of_replica(0), weights.b1
        self._embedding_VE, self._w1, self._b1 = w.embedding.t(), w.w1.view(E, T * H), w.b1
        self._boundary_1E = self._embedding_VE[:1]
        # The left factor of w1: the boundary's embedding, and the other embeddings minus the boundary's.
        self._factors_VE = like.new_empty(V, E)
        self._first_1E, self._factors_EV = self._factors_VE[:1], self._factors_VE.t()
        self._table = like.new_empty(V, T * H)
        self._rows = self._table.view(V * T, H)
        self._boundaries_TH, self._boundaries_1H = self._rows[:T], like.new_empty(1, H)
        if gradient is not None:
            d = gradient.of_replica(0)
            self._d_embedding_EV, self._d_boundary_E = d.embedding, d.embedding[:, 0]
            self._d_w1, self._d_b1, self._w1_TH_E = d.w1.view(E, T * H), d.b1, self._w1.t()
            self._d_factors_VE = like.new_empty(V, E)
            self._d_factors_EV, self._d_first_E = self._d_factors_VE.t(), self._d_factors_VE[0]
            self._d_others = self._d_factors_VE[1:]

    def twice_inputs(self, entries: Tensor, starts: Tensor) -> Tensor:
        """2z for the hidden layer's inputs z (D, H), for contexts given by their entries (see `entries_of`)."""
        torch.sub(self._embedding_VE, self._boundary_1E, out=self._factors_VE)
        self._first_1E.copy_(self._boundary_1E)
        # The tanh starts from doubled inputs, and alpha=2 doubles them at no extra cost.
        self._table.addmm_(self._factors_VE, self._w1, beta=0, alpha=2)
        torch.sum(self._boundaries_TH, 0, keepdim=True, out=self._boundaries_1H).add_(self._b1, alpha=2)
        return torch.embedding_bag(self._rows, entries, starts)[0].add_(self._boundaries_1H)

    def backward(self, d_z_DH: Tensor, contexts: Tensor, starts: Tensor) -> None:
        """Write the gradient of embedding, w1 and b1, given the (D, H) gradient of the layer's input.

        Args:
            contexts: the context of every entry, ordered by table row. Each row's gradient is then an
                embedding_bag too, and a forward embedding_bag is several times faster than its
                backward pass or index_add_.
            starts: (V * T,) where each row's contexts begin.
        """
        torch.sum(d_z_DH, 0, keepdim=True, out=self._d_b1)
        d_rows = torch.embedding_bag(d_z_DH, contexts, starts)[0]
        d_rows[: len(self._boundaries_TH)].copy_(self._d_b1)  # the sum over boundaries is in every context once
        d_table = d_rows.view(len(self._table), -1)
        torch.mm(self._factors_EV, d_table, out=self._d_w1)
        torch.mm(d_table, self._w1_TH_E, out=self._d_factors_VE)
        self._d_embedding_EV.copy_(self._d_factors_EV)
        torch.sub(self._d_first_E, self._d_others.sum(0), out=self._d_boundary_E)
