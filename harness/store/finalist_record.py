"""The finalists and their ranking, as a study's record stores them."""

from __future__ import annotations

from pydantic import BaseModel

from harness.store.trial_record import SeedRun


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
    """`low` to `high` is the 95 % interval of the mean dev loss, with seeds and items resampled."""
    behind: float | None = None
    """Mean dev loss minus the lowest mean among the finalists that can win."""
    behind_low: float | None = None
    behind_high: float | None = None
    """`behind_low` to `behind_high` is the 95 % interval of that difference, paired by seed and item."""
    tied: bool = False
    """Whether that interval contains 0."""
    p_better: dict[str, float] = {}
    """For every other finalist that can win, by name: the share of resamples in which this one's mean is lower."""

    @property
    def optimism(self) -> float | None:
        """Dev loss in the search minus the mean on fresh seeds: negative if the search's one seed was lucky."""
        return None if self.search_nats is None or self.dev_nats is None else self.search_nats - self.dev_nats


class Ranking(BaseModel, frozen=True):
    """The result of a finalists' round: finalists by mean dev loss, lowest first, then those that cannot win."""

    seeds: tuple[int, ...]
    finalists: tuple[Finalist, ...]
    winner: str | None
    """Name of the winner; None if no finalist can win."""
    resamples: int
    items_artifact: str | None
    """Artifact id of the nats of every dev item under every run, from which the intervals are computed."""

    @property
    def won(self) -> Finalist | None:
        """The winner itself, if there is one."""
        return next((finalist for finalist in self.finalists if finalist.name == self.winner), None)
