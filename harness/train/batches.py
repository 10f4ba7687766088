"""Batches drawn with replacement, for many steps at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from harness.corpus import ContextCounts
from harness.model import Plan

_EXAMPLES_AT_ONCE = 65_536


def draw_batches(
    counts: ContextCounts, batch_size: int, streams: Sequence[torch.Generator]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless chunks of S steps' batches, one for each of R streams.

    A batch is B examples of the split, each equally likely. It is given in the order of contexts,
    so that equal ones stand side by side; what a stream yields does not depend on those beside it.

    Yields:
        rows of `counts.contexts` and targets, (S, R, B) int32 each.
    """
    times = counts.counts.long()
    rows, targets = (of_pair.to(torch.int32).repeat_interleave(times) for of_pair in (counts.rows, counts.targets))
    steps = max(1, _EXAMPLES_AT_ONCE // (batch_size * len(streams)))
    while True:
        chosen = torch.empty(steps, len(streams), batch_size, dtype=torch.int32)
        for replica, generator in enumerate(streams):
            chosen[:, replica] = torch.randint(len(rows), (steps, batch_size), generator=generator, dtype=torch.int32)
        chosen.numpy().sort(axis=2)  # numpy sorts many short rows several times faster than torch
        yield rows[chosen], targets[chosen]


def take_steps(
    plan: Plan,
    counts: ContextCounts,
    batch_size: int,
    *,
    batches: Sequence[torch.Generator],
    dropout: Sequence[torch.Generator],
) -> Iterator[Tensor]:
    """The losses (R,) of one step after another without end, each with its gradient written.

    What steps along that gradient before it asks for the next one trains the models.
    """
    device = plan.parameters.device
    for rows, targets in draw_batches(counts, batch_size, batches):
        yield from plan.steps(rows.to(device), targets.to(device), dropout)
