"""The MLP's training step for batches that are large compared with the vocabulary.

The first layer is a table (see `harness.model.network` and `table`), and examples of a batch with the same
context share their computation: 1,024 examples drawn from `names` have about 670 distinct contexts
at length 8. They share their dropout mask too. The loss is a mean over examples, and each one's mask
has the same distribution as if it were alone, so the expected gradient is that of a mask per example.
Only its variance is larger, for contexts that are frequent in a batch.

The gain of each technique, as the time of a step without it over the time with it (one core; lowest
and highest of five shapes from 256, 8, 16, 256 to 2048, 12, 64, 768): table instead of products per
example 2.3 to 5.0; shared contexts 1.1 to 1.4; batches prepared together 1.5 to 2.0; tanh by sigmoid
1.4 to 1.5; a second embedding_bag instead of index_add_ 1.8; boundaries summed once instead of
gathered 1.05 to 1.2; logits as (V, D) instead of (D, V) 1.0 to 1.1.

S steps, B batch, D distinct contexts of a batch, T context length, H hidden width, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from harness.model.layout import Dims, weights_of
from harness.model.network import Network
from harness.model.table import entries_of


class _Batch(NamedTuple):
    """The indices and weights that one step needs. All indices are int32."""

    entries: Tensor
    """Table rows of the distinct contexts' symbols."""
    starts: Tensor
    """(D,) where each context's entries begin."""
    contexts: Tensor
    """The context of each entry, ordered by table row."""
    row_starts: Tensor
    """(V * T,) where each table row's contexts begin."""
    cells: Tensor
    """(B,) the flat index of each example's target in the (V, D) logits."""
    shares: Tensor
    """(D,) the share of the batch that has this context; sums to 1."""


class MergedPlan:
    """Training steps of one model with closed-form gradients."""

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
        """Use the given memory: (P,) weights and (P,) gradient. Contexts are (N, T) int64."""
        self.parameters, self.gradient = parameters, gradient
        self._dims = dims
        weights, d = weights_of(parameters, dims), weights_of(gradient, dims)
        self.biases = weights.biases
        self._network = Network(dims, weights.of_replica(0), d.of_replica(0), activation=activation, dropout=dropout)
        self._minus_shares = parameters.new_full((batch_size,), -1 / batch_size)
        rows, starts = (t.cpu().to(torch.int32).numpy() for t in entries_of(contexts))
        ends = np.append(starts, np.int32(len(rows)))
        self._entries = csr_array((np.ones(len(rows), np.int8), rows, ends), shape=(len(contexts), dims.V * dims.T))

    def steps(self, rows: Tensor, targets: Tensor, generators: Sequence[torch.Generator]) -> Iterator[Tensor]:
        """Take S steps. Rows of the contexts and targets are (S, 1, B); equal rows must be adjacent.

        Yields the (1,) mean nats of each batch after writing its gradient.
        """
        for batch in self._batches(rows[:, 0], targets[:, 0]):
            yield self._step(batch, generators[0])

    def _step(self, batch: _Batch, generator: torch.Generator) -> Tensor:
        log_p_VD = torch.log_softmax(self._network.logits(batch.entries, batch.starts, generator), 0)
        log_p = log_p_VD.view(-1)
        nats = torch.dot(log_p.index_select(0, batch.cells), self._minus_shares)

        # d loss / d logits = softmax * share of the context - share of the examples with this context and target
        d_logits_VD = log_p_VD.exp_().mul_(batch.shares)
        log_p.index_add_(0, batch.cells, self._minus_shares)
        self._network.backward(d_logits_VD, batch.contexts, batch.row_starts)
        return nats.view(1)

    def settle(self) -> None:
        """Do nothing: the model is trained in place."""

    def _batches(self, rows: Tensor, targets: Tensor) -> Iterator[_Batch]:
        """The batches of S steps, prepared together. One by one, the calls would cost more than the sorting."""
        (S, B), table_rows = rows.shape, self._dims.V * self._dims.T
        rows_SB, targets_SB = rows.cpu().numpy(), targets.cpu().numpy()
        first_SB = np.ones((S, B), dtype=bool)
        np.not_equal(rows_SB[:, 1:], rows_SB[:, :-1], out=first_SB[:, 1:])
        distinct_S = first_SB.sum(1)
        cells_SB = np.cumsum(first_SB, axis=1, dtype=np.int32) - 1 + targets_SB * distinct_S[:, None]
        first = np.flatnonzero(first_SB)
        shares = np.diff(first, append=S * B) / B

        by_context = self._entries[rows_SB.ravel()[first]]
        context_bounds = np.append(0, distinct_S.cumsum())
        entry_bounds = by_context.indptr[context_bounds]
        entries_S = np.diff(entry_bounds)
        # Each step's table rows are separate columns, so that one transposition sorts the entries of all steps.
        columns = by_context.indices + np.repeat(np.arange(0, S * table_rows, table_rows, dtype=np.int32), entries_S)
        shape = (len(first), S * table_rows)
        by_row = csr_array((by_context.data, columns, by_context.indptr), shape=shape).tocsc()

        def of_steps(
            indices: NDArray[Any], lengths: NDArray[Any], before: NDArray[Any] | None = None
        ) -> Iterable[Tensor]:
            """One tensor per step. `before`, the total of all earlier steps, is subtracted from its indices."""
            relative = indices if before is None else indices - np.repeat(before[:-1], lengths)
            tensor = torch.from_numpy(relative.astype(np.int32, copy=False))
            return torch.split(tensor.to(self.parameters.device), lengths.tolist())

        tensors = (
            of_steps(by_context.indices, entries_S),
            of_steps(by_context.indptr[:-1], distinct_S, entry_bounds),
            of_steps(by_row.indices, entries_S, context_bounds),
            of_steps(by_row.indptr[:-1], np.full(S, table_rows), entry_bounds),
            of_steps(cells_SB.ravel(), np.full(S, B)),
            torch.split(torch.from_numpy(shares).to(self.parameters), distinct_S.tolist()),
        )
        return map(_Batch._make, zip(*tensors, strict=True))
