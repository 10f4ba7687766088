"""From items to tensors: examples for training, distinct contexts for exact losses.

N examples, D distinct contexts, P distinct (context, target) pairs, T context length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BOUNDARY = "."
"""The symbol before and after every item; index 0 of every vocabulary."""


def vocabulary_of(items: Sequence[str]) -> tuple[str, ...]:
    """The boundary, then every symbol of the corpus in code point order.

    If the corpus itself contains ".", the boundary is a newline instead, which no item can contain.
    """
    symbols = sorted(set().union(*items))
    boundary = "\n" if BOUNDARY in symbols else BOUNDARY
    return (boundary, *symbols)


@dataclass(frozen=True)
class Examples:
    """Contexts (N, T), oldest symbol first, and their targets (N,); both int64."""

    contexts: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class ContextCounts:
    """A split's distinct contexts with the counts of their targets.

    Contexts repeat: the 182,625 training examples of `names` have 5,438 distinct
    contexts at length 3. A loss over these pairs therefore equals the loss over
    all examples at a fraction of the cost.
    """

    contexts: Tensor
    """(D, T) int64, each distinct context once."""
    rows: Tensor
    """(P,) int64, the row in `contexts` of each pair; ascending."""
    targets: Tensor
    """(P,) int64, the target of each pair."""
    counts: Tensor
    """(P,) float64, how often the pair occurs."""
    pair_of_example: Tensor
    """(N,) int64, the pair of each example, in the order of the items."""

    @property
    def total(self) -> int:
        """Examples in the split, N."""
        return int(self.counts.sum())

    @cached_property
    def by_row(self) -> tuple[Tensor, Tensor]:
        """Row and target of every example, both (N,) int32, with equal rows adjacent."""
        times = self.counts.long()
        rows, targets = (values.to(torch.int32).repeat_interleave(times) for values in (self.rows, self.targets))
        return rows, targets

    def conditional_entropy(self) -> float:
        """Entropy of the targets given their contexts, in nats. No model with this T can score below it."""
        per_context = torch.zeros(len(self.contexts), dtype=torch.float64).index_add_(0, self.rows, self.counts)
        log_share = torch.log(self.counts / per_context[self.rows])
        return max(0.0, float(-(self.counts * log_share).sum() / self.counts.sum()))


def examples_of(items: Sequence[str], vocabulary: Sequence[str], context_length: int) -> Examples:
    """Every (context, target) pair of the items, in the order of the items, including each item's end.

    Raises:
        KeyError: an item has a symbol that is not in the vocabulary.
    """
    stream = _encode(items, vocabulary, context_length)
    windows = np.lib.stride_tricks.sliding_window_view(stream, context_length + 1)
    # Keep the windows that predict a symbol of an item or the boundary directly after one.
    wanted = (windows[:, -1] != 0) | (windows[:, -2] != 0)
    chosen = torch.from_numpy(windows[wanted])
    return Examples(chosen[:, :-1].contiguous(), chosen[:, -1].contiguous())


def count_contexts(examples: Examples, vocabulary_size: int) -> ContextCounts:
    """The distinct contexts of the examples, with exact counts of their targets."""
    contexts = examples.contexts.numpy()
    _, first, row_of_example = np.unique(_row_ids(contexts, vocabulary_size), return_index=True, return_inverse=True)
    pairs = row_of_example.astype(np.int64) * vocabulary_size + examples.targets.numpy()
    distinct_pairs, pair_of_example, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    return ContextCounts(
        contexts=torch.from_numpy(contexts[first]),
        rows=torch.from_numpy(distinct_pairs // vocabulary_size),
        targets=torch.from_numpy(distinct_pairs % vocabulary_size),
        counts=torch.from_numpy(counts.astype(np.float64)),
        pair_of_example=torch.from_numpy(pair_of_example.astype(np.int64)),
    )


def _encode(items: Sequence[str], vocabulary: Sequence[str], context_length: int) -> NDArray[np.int64]:
    """All items as one row of indices, with T boundaries before each item and T after the last."""
    padding = vocabulary[0] * context_length
    text = padding + "".join(item + padding for item in items)
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    table = np.full(int(points.max()) + 1, -1, dtype=np.int64)
    known = np.array([ord(symbol) for symbol in vocabulary])
    in_table = known < len(table)
    table[known[in_table]] = np.arange(len(vocabulary))[in_table]
    stream = table[points]
    if stream.min() < 0:
        raise KeyError(f"symbol {chr(points[stream.argmin()])!r} is not in the vocabulary")
    return stream


def _row_ids(contexts: NDArray[np.int64], vocabulary_size: int) -> NDArray[np.int64]:
    """One integer per row, equal exactly where rows are equal.

    Columns are packed as digits in base V. Before 63 bits overflow, the number so far is
    replaced by its rank among all rows, which is smaller.
    """
    ids = np.zeros(len(contexts), dtype=np.int64)
    bound = 1
    for column in contexts.T:
        if bound > (2**63 - 1) // vocabulary_size:
            ids = np.unique(ids, return_inverse=True)[1].astype(np.int64)
            bound = len(contexts)
        ids = ids * vocabulary_size + column
        bound *= vocabulary_size
    return ids
