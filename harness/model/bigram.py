"""The counted bigram: a baseline without training that every model should beat."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from harness.corpus.contexts import ContextCounts


class CountedBigram:
    """P(next | last symbol) from train counts, with one added to each count so that no probability is 0 (Laplace)."""

    def __init__(self, log_p: Tensor) -> None:
        self.log_p = log_p
        """(V, V) float32, log probability in nats of the column's symbol after the row's symbol."""

    @classmethod
    def of(cls, counts: ContextCounts, vocabulary_size: int) -> Self:
        """Estimate the model from distinct contexts of any length. Only the last symbol of each is used."""
        table = torch.ones(vocabulary_size, vocabulary_size, dtype=torch.float64)
        last = counts.contexts[counts.rows, -1]
        table.index_put_((last, counts.targets), counts.counts, accumulate=True)
        return cls(torch.log(table / table.sum(1, keepdim=True)).float())

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        return self.log_p[contexts[:, -1]]

    def tensors(self) -> dict[str, Tensor]:
        return {"log_p": self.log_p}
