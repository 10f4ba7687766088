"""Exact losses over whole splits."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.corpus import ContextCounts
from harness.model import Predictor
from harness.train.threads import one_thread

Nats = float
"""Mean negative log-likelihood per predicted symbol."""

_ROWS_AT_ONCE = 4096


def split_nats(model: Predictor, counts: ContextCounts) -> Nats:
    """Mean negative log-likelihood over a whole split, in nats per symbol.

    Each distinct context is scored once and weighted by how often each symbol
    follows it. The products are summed in float64 and divided once, so the
    result is the plain mean over all examples, not a mean of batch means.
    """
    return float(torch.dot(pair_nats(model, counts), counts.counts) / counts.counts.sum())


@one_thread()
@torch.no_grad()
def pair_nats(model: Predictor, counts: ContextCounts) -> Tensor:
    """(P,) float64 negative log-likelihood in nats of every distinct (context, target) pair.

    Always on one thread, so that a loss has the same bits wherever it is computed.
    """
    found = []
    for start in range(0, len(counts.contexts), _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, len(counts.contexts))
        log_p = model.log_probabilities(counts.contexts[start:end])
        # rows are sorted, so the pairs of these contexts are one slice
        first, last = torch.searchsorted(counts.rows, torch.tensor([start, end], device=counts.rows.device)).tolist()
        found.append(-log_p[counts.rows[first:last] - start, counts.targets[first:last]].double())
    return torch.cat(found)
