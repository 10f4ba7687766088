"""A layer above the embeddings as a table: the forward pass sums its rows, the backward pass gives the gradient.

What symbol v at position t adds to a layer's units depends only on v and t. It is row v * T + t of
a table, and one product, (V, E) by (E, T * W), gives the whole table for any number of contexts.
Most symbols of a context are the padding boundary (five of eight for `names`). A row therefore holds
the difference between its symbol and the boundary at that position, and the sum over boundaries at
all positions is computed once. The result is exact: it is the same sum in another order.

The hidden layer has such a table, and so have direct connections, whose W is the vocabulary. Two tables are
faster than one with the columns of both, whose units would not be adjacent in memory: a second table adds 0.05 to
0.09 ms to a step, one wide table 0.13 to 0.23 ms (1,024 examples, context 8, widths of 256 and 640).

D contexts, T context length, E embedding size, V vocabulary size, W units of the layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.model.layout import Weights


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


class Embeddings:
    """The left factor of every table: the boundary's embedding, and the other embeddings minus the boundary's."""

    def __init__(self, weights: Weights, gradient: Weights | None = None) -> None:
        """Use the memory of the weights of one model and, for training, of their gradient.

        Every view that a step needs is created here, because creating one costs as much as a small product.
        """
        self._embedding_VE = weights.embedding.t()
        self._boundary_1E = self._embedding_VE[:1]
        self.factors_VE = torch.empty_like(self._embedding_VE, memory_format=torch.contiguous_format)
        self.factors_EV, self._first_1E = self.factors_VE.t(), self.factors_VE[:1]
        if gradient is not None:
            self._d_embedding_EV, self._d_boundary_E = gradient.embedding, gradient.embedding[:, 0]

    def update(self) -> None:
        """Compute the factors of the current embeddings."""
        torch.sub(self._embedding_VE, self._boundary_1E, out=self.factors_VE)
        self._first_1E.copy_(self._boundary_1E)

    def backward(self, d_factors_VE: Tensor) -> None:
        """Write the gradient of the embedding, given that of the factors, summed over all tables."""
        self._d_embedding_EV.copy_(d_factors_VE.t())
        torch.sub(d_factors_VE[0], d_factors_VE[1:].sum(0), out=self._d_boundary_E)


class Table:
    """x @ w + b for contexts, where x are their concatenated embeddings."""

    def __init__(self, embeddings: Embeddings, w: Tensor, b: Tensor) -> None:
        """Use the memory of w, (E * T, W) in the order of `Weights.w1`, and of b, with W numbers."""
        V, E = embeddings.factors_VE.shape
        T, W = len(w) // E, w.shape[1]
        self._embeddings, self._w, self._b_1W = embeddings, w.view(E, T * W), b.view(1, W)
        self._table = w.new_empty(V, T * W)
        self._rows = self._table.view(V * T, W)
        self._boundaries_TW, self._boundaries_1W = self._rows[:T], w.new_empty(1, W)

    def for_training(self, d_w: Tensor, d_b: Tensor) -> Table:
        """Also use the memory of the gradient, in the shapes of w and b."""
        self._d_w, self._d_b_1W = d_w.view(self._w.shape), d_b.view(self._b_1W.shape)
        self._w_TW_E, self._d_factors_VE = self._w.t(), torch.empty_like(self._embeddings.factors_VE)
        return self

    def sums(self, entries: Tensor, starts: Tensor, times: int = 1) -> Tensor:
        """`times` (x @ w + b) as (D, W), for contexts given by their entries (see `entries_of`)."""
        self._table.addmm_(self._embeddings.factors_VE, self._w, beta=0, alpha=times)
        torch.sum(self._boundaries_TW, 0, keepdim=True, out=self._boundaries_1W).add_(self._b_1W, alpha=times)
        return torch.embedding_bag(self._rows, entries, starts)[0].add_(self._boundaries_1W)

    def backward(self, d_sums_DW: Tensor, contexts: Tensor, starts: Tensor) -> Tensor:
        """Write the gradient of w and b, given that of x @ w + b.

        Args:
            contexts: the context of every entry, ordered by table row. Each row's gradient is then an
                embedding_bag too, and a forward embedding_bag is several times faster than its
                backward pass or index_add_.
            starts: (V * T,) where each row's contexts begin.

        Returns:
            (V, E) the gradient of the embeddings' factors, overwritten by the next call.
        """
        torch.sum(d_sums_DW, 0, keepdim=True, out=self._d_b_1W)
        d_rows = torch.embedding_bag(d_sums_DW, contexts, starts)[0]
        d_rows[: len(self._boundaries_TW)].copy_(self._d_b_1W)  # the sum over boundaries is in every context once
        d_table = d_rows.view(len(self._table), -1)
        torch.mm(self._embeddings.factors_EV, d_table, out=self._d_w)
        return torch.mm(d_table, self._w_TW_E, out=self._d_factors_VE)
