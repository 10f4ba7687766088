"""What an idea gains over the base: paired over seeds, with Student's interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from harness.bench.ideas.catalogue import IDEAS, REFERENCE, Idea
from harness.bench.ideas.runs import SEEDS, Run

LEVEL = 0.95
Loss = Callable[[Run], float]


@dataclass(frozen=True)
class Gain:
    """How much lower an idea's loss is than the base's, in nats per symbol: the mean over paired seeds."""

    mean: float
    half_width: float
    """Of the 95 % interval of a paired t-test over the seeds; not finite for fewer than two seeds."""
    seeds: int

    @property
    def pays(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.mean - self.half_width > 0

    @property
    def costs(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.mean + self.half_width < 0


@dataclass(frozen=True)
class Compared:
    """One idea on one corpus."""

    alone: Gain
    """On dev."""
    mixed: Gain | None
    """On dev, both mixed with the counted n-gram by their fitted weights; None if the idea is the mixing itself."""
    parameters: int
    seconds: float
    """Median of the runs' own training seconds, those of all members."""
    diverged: int
    """Runs that ended without finite losses. The gains are then those of the other seeds."""


def gain_of(base: Sequence[float], idea: Sequence[float]) -> Gain:
    """The paired gain. Both have one loss for each seed, in the same order; losses that are not finite do not count."""
    pairs = zip(base, idea, strict=True)
    gains = [ours - theirs for ours, theirs in pairs if math.isfinite(ours) and math.isfinite(theirs)]
    if len(gains) < 2:
        return Gain(statistics.mean(gains) if gains else math.nan, math.nan, len(gains))
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    return Gain(statistics.mean(gains), float(student.ppf((1 + LEVEL) / 2, len(gains) - 1)) * error, len(gains))


def by_seed(runs: Sequence[Run], idea: Idea) -> dict[int, Run]:
    """The runs of an idea with the seeds that all ideas share."""
    return {run.seed: run for run in runs if run.key == idea.key and run.seed in SEEDS}


def compared(runs: Sequence[Run], idea: Idea) -> Compared | None:
    """One idea beside the base, on the runs of one corpus; None with fewer than two seeds in common."""
    base, theirs = by_seed(runs, REFERENCE), by_seed(runs, idea)
    seeds = [seed for seed in SEEDS if seed in base and seed in theirs]
    if len(seeds) < 2:
        return None
    ours, found = [base[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    return _compared(ours, found, _dev, gain_of([run.mixed_nats for run in ours], [run.mixed_nats for run in found]))


def mixing(runs: Sequence[Run]) -> dict[str, Compared | None]:
    """The base mixed with the counted n-gram, beside the base: nothing has to be trained for it."""
    base = list(by_seed(runs, REFERENCE).values())
    ways: dict[str, Loss] = {MIXED: lambda run: run.mixed_nats, EVEN: lambda run: run.even_nats}
    return {way: _compared(base, base, loss, None) if len(base) > 1 else None for way, loss in ways.items()}


MIXED = "mixed with the best counted n-gram, weight fitted on dev"
EVEN = "mixed with the best counted n-gram, half and half"


def _dev(run: Run) -> float:
    return run.dev_nats


def _compared(base: Sequence[Run], idea: Sequence[Run], loss: Loss, mixed: Gain | None) -> Compared:
    return Compared(
        alone=gain_of([run.dev_nats for run in base], [loss(run) for run in idea]),
        mixed=mixed,
        parameters=idea[0].parameters,
        seconds=statistics.median(run.seconds for run in idea),
        diverged=sum(run.status != "complete" for run in idea),
    )


def unfinished(runs: Sequence[Run]) -> list[Idea]:
    """Ideas that cannot be compared yet with these runs of one corpus."""
    return [idea for idea in IDEAS if compared(runs, idea) is None]
