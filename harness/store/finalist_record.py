"""The finalists and their ranking, as a study's record stores them."""

from __future__ import annotations

from pydantic import BaseModel

from harness.store.trial_record import SeedRun
from harness.study.definition import Objective


class Finalist(BaseModel, frozen=True):
    """One config trained from fresh seeds. Losses are exact means over whole splits, in nats per symbol."""

    name: str
    """`trial 12`, or `lecture's recipe`."""
    trial: int | None
    """Number of the trial in the search; None for the recipe."""
    is_recipe: bool = False
    parameters: int
    runs: tuple[SeedRun, ...]
    out: str = ""
    """Why it cannot win; empty if it can."""
    search_nats: float | None
    """Dev loss of its trial in the search, from a single seed. The trial was selected for it. None for the recipe."""
    train_nats: float | None
    """Mean over the complete runs, as is `dev_nats`."""
    dev_nats: float | None
    deviation: float | None = None
    """Standard deviation of the dev loss between seeds; None for fewer than two."""
    low: float | None = None
    high: float | None = None
    """`low` to `high` is the 95 % interval of the mean dev loss, over seeds and items."""
    search_mixed_nats: float | None = None
    """Dev loss of its trial's mixture in the search."""
    mixed_nats: float | None = None
    """Mean dev loss of the mixtures of its runs with the counted n-gram, each with its own weight; None if not
    recorded (before 0.5.0)."""
    mixed_deviation: float | None = None
    mixed_low: float | None = None
    mixed_high: float | None = None
    """`mixed_low` to `mixed_high` is the 95 % interval of that mean, over seeds and items."""
    behind: float | None = None
    """Mean loss by the ranking's objective minus the lowest mean among the finalists that can win."""
    behind_low: float | None = None
    behind_high: float | None = None
    """`behind_low` to `behind_high` is the 95 % interval of that difference, paired by seed and item."""
    tied: bool = False
    """Whether that interval contains 0, `behind` is at most the ranking's `tie_margin` and P(the best is better) is
    below 0.9. Up to version 0.3.0, only the first."""
    p_better: dict[str, float] = {}
    """For every other finalist that can win, by name: the confidence that this one's mean is lower."""

    @property
    def optimism(self) -> float | None:
        """Mean on fresh seeds minus the dev loss in the search: positive if the search's one seed was lucky."""
        return None if self.search_nats is None or self.dev_nats is None else self.dev_nats - self.search_nats

    @property
    def mixed_order(self) -> int | None:
        """The order of the n-gram that its runs are mixed with; None if not recorded."""
        return next((run.mixed.order for run in self.runs if run.mixed is not None), None)

    @property
    def mixed_optimism(self) -> float | None:
        """The same for its mixtures."""
        if self.search_mixed_nats is None or self.mixed_nats is None:
            return None
        return self.mixed_nats - self.search_mixed_nats


class Distance(BaseModel, frozen=True):
    """How far the outcome's dev loss is from another model's on the same dev items, in nats per symbol."""

    other: str
    """`lecture's recipe`, or `counted 6-gram`."""
    other_nats: float
    nats: float
    """The outcome's dev loss minus that of the other."""
    low: float
    high: float
    """`low` to `high` is its 95 % interval, paired by item, and by seed if both have the same seeds."""


class Distances(BaseModel, frozen=True):
    """The outcome of a study, the winner's mean or before that the best single run, beside what it should beat."""

    outcome: str
    """`trial 12`, or `lecture's recipe`."""
    objective: Objective = "dev"
    """Which loss of the networks is compared: their own, or that of their mixtures."""
    seeds: int
    """Number of the winner's fresh seeds; 0 for a single run of the search."""
    distances: tuple[Distance, ...]
    items_artifact: str
    """Artifact id of the nats of every dev item under the outcome and the others, each (seeds, items)."""

    @property
    def others(self) -> set[str]:
        return {distance.other for distance in self.distances}

    def to(self, other: str) -> Distance | None:
        return next((distance for distance in self.distances if distance.other == other), None)


class Ranking(BaseModel, frozen=True):
    """The result of a finalists' round: finalists by their mean loss, lowest first, then those that cannot win."""

    seeds: tuple[int, ...]
    finalists: tuple[Finalist, ...]
    winner: str | None
    """Name of the winner; None if no finalist can win."""
    objective: Objective = "dev"
    """The loss by which the finalists are ranked, and to which differences, ties, P, resolution and bias refer."""
    resamples: int
    """Up to version 0.3.0, the resamples of the bootstrap that gave intervals and chances; 0 since they are in closed
    form."""
    items_artifact: str | None
    """Artifact id of the nats of every dev item under every run, from which the intervals are computed."""
    tie_margin: float | None = None
    """Nats that a tied mean may be above the lowest, from the noise of seeds; None if a tie had no margin then."""
    resolution: float | None = None
    """Median half-width of the paired 95 % intervals between finalists, in nats; None if not recorded."""
    selection_bias: float | None = None
    """Nats by which the winner's mean is too low because it was chosen on the same dev items, by cross-fitting over
    item halves. The estimate may be negative. None if nothing was chosen, or not recorded."""
    bias_repetitions: int | None = None
    """Number of random halvings behind it."""

    @property
    def won(self) -> Finalist | None:
        """The winner itself, if there is one."""
        return next((finalist for finalist in self.finalists if finalist.name == self.winner), None)

    def nats_of(self, finalist: Finalist) -> float | None:
        """A finalist's mean loss by the objective."""
        return finalist.mixed_nats if self.objective == "mixed" else finalist.dev_nats

    def deviation_of(self, finalist: Finalist) -> float | None:
        """The standard deviation of that loss between seeds."""
        return finalist.mixed_deviation if self.objective == "mixed" else finalist.deviation

    @property
    def corrected_nats(self) -> float | None:
        """The winner's mean loss by the objective, corrected for selection. A negative estimate corrects nothing."""
        nats = None if self.won is None else self.nats_of(self.won)
        return None if nats is None or self.selection_bias is None else nats + max(0.0, self.selection_bias)
