"""Counting instead of training: the bigram that every model has to beat."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from harness.corpus.contexts import ContextCounts


class CountedBigram:
    """P(next | last symbol) from train counts, one added to each so that nothing is impossible (Laplace)."""

    def __init__(self, log_p: Tensor) -> None:
        self.log_p = log_p
        """(V, V) float32, log probability in nats of column after row."""

    @classmethod
    def of(cls, counts: ContextCounts, vocabulary_size: int) -> Self:
        """From distinct contexts of any length; only the last symbol of each is looked at."""
        table = torch.ones(vocabulary_size, vocabulary_size, dtype=torch.float64)
        last = counts.contexts[counts.rows, -1]
        table.index_put_((last, counts.targets), counts.counts, accumulate=True)
        return cls(torch.log(table / table.sum(1, keepdim=True)).float())

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        return self.log_p[contexts[:, -1]]

    def tensors(self) -> dict[str, Tensor]:
        return {"log_p": self.log_p}
