"""Batches drawn with replacement, many steps at a time."""

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
    """Endless chunks of batches: S steps at a time, with one batch per step for each of R streams.

    A batch is B examples of the split, all equally likely. It is sorted by context row, so that equal
    contexts are adjacent. What a stream yields does not depend on the other streams.

    Yields:
        rows of `counts.contexts` and targets, both (S, R, B) int32.
    """
    rows, targets = counts.by_row
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
    """Endless losses (R,), one per step. The step's gradient has been written when its loss is yielded.

    The caller trains the models by applying that gradient before it asks for the next loss.
    """
    device = plan.parameters.device
    for rows, targets in draw_batches(counts, batch_size, batches):
        yield from plan.steps(rows.to(device), targets.to(device), dropout)
