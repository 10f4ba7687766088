"""What an idea costs: the training time of a run in multiples of the base's, in short interleaved bursts.

The runs' own seconds depend on what else the machine did in those minutes. A ratio of neighbouring bursts hardly does.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bench.ideas.catalogue import BUILDS, REFERENCE, Idea
from harness.bench.ideas.table import add_row, read_rows
from harness.bench.timing import interleave
from harness.config import Budget
from harness.corpus import Corpus
from harness.store.provenance import commit_of, machine, now
from harness.train import train

_STEPS = 100
_REPEATS = 7


@dataclass(frozen=True)
class Cost:
    """An idea's training time over the base's."""

    idea: str
    key: str
    """`Idea.key`."""
    times_base: float
    """Seconds of a whole run, all members of an ensemble, over those of the base: the median over repeats."""
    low: float
    high: float
    repeats: int
    ms_per_step: float
    """Median milliseconds of one step of one model."""
    commit: str
    date: str
    machine: str


def measure_costs(path: Path, corpus: Corpus, ideas: Sequence[Idea]) -> Iterator[Cost]:
    """Time every idea that has no row yet, and add the row when it is known."""
    for idea in ideas:
        if idea.key not in {cost.key for cost in read_rows(path, Cost)}:
            cost = cost_of(idea, corpus)
            add_row(path, cost)
            yield cost


def cost_of(idea: Idea, corpus: Corpus, repeats: int = _REPEATS, steps: int = _STEPS) -> Cost:
    """Time an idea beside the base, in turns. Seconds are of training only."""

    def burst(each: Idea) -> float:
        """Seconds per step."""
        config = each.config.model_copy(update={"budget": Budget(steps=steps)})
        return train(config, corpus, build=BUILDS[each.build]).seconds / steps

    taken = interleave({"base": lambda: burst(REFERENCE), "idea": lambda: burst(idea)}, repeats)
    times = idea.members * _steps(idea) / _steps(REFERENCE)
    ratios = [times * ours / base for ours, base in zip(taken["idea"], taken["base"], strict=True)]
    return Cost(
        idea=idea.name,
        key=idea.key,
        times_base=round(statistics.median(ratios), 4),
        low=round(min(ratios), 4),
        high=round(max(ratios), 4),
        repeats=repeats,
        ms_per_step=round(1e3 * statistics.median(taken["idea"]), 4),
        commit=commit_of("harness") or "unknown",
        date=now(),
        machine=machine(),
    )


def _steps(idea: Idea) -> int:
    steps = idea.config.budget.total_steps(idea.config.batch_size)
    assert steps is not None  # no idea is a budget in seconds
    return steps
