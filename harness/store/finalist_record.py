"""What is kept of runs from several seeds, and of the finalists: who stands where after them."""

from __future__ import annotations

from pydantic import BaseModel

from harness.store.trial_record import SeedRun


class Finalist(BaseModel, frozen=True):
    """One config over its fresh seeds. Losses in nats per symbol, exact means over whole splits."""

    name: str
    """`trial 12`, or `lecture's recipe`."""
    trial: int | None
    """The search's trial; None for the recipe."""
    is_recipe: bool = False
    parameters: int
    runs: tuple[SeedRun, ...]
    out: str = ""
    """Why it cannot win, if it cannot."""
    search_nats: float | None
    """The dev loss that made it a finalist: of one seed, and the lowest of many."""
    train_nats: float | None
    """Mean over the seeds that did not diverge, as are the following."""
    dev_nats: float | None
    deviation: float | None = None
    """Standard deviation of dev between seeds; None for fewer than two."""
    low: float | None = None
    high: float | None = None
    """95 % interval of the mean dev loss, seeds and items resampled."""
    behind: float | None = None
    """Mean dev less the lowest mean among the contenders."""
    behind_low: float | None = None
    behind_high: float | None = None
    """95 % interval of that difference, paired by seed and item."""
    tied: bool = False
    """Whether that interval contains 0."""
    p_better: dict[str, float] = {}
    """Share of resamples in which its mean is lower than that of each other contender."""

    @property
    def optimism(self) -> float | None:
        """Search value less fresh mean: below 0 where the search's one seed was lucky."""
        return None if self.search_nats is None or self.dev_nats is None else self.search_nats - self.dev_nats


class Ranking(BaseModel, frozen=True):
    """The finalists' round as it came out, lowest mean first, those that are out last."""

    seeds: tuple[int, ...]
    finalists: tuple[Finalist, ...]
    winner: str | None
    """Name of one of them; None where all are out."""
    resamples: int
    items_artifact: str | None
    """The nats of every dev item under every run that the intervals rest on."""

    @property
    def won(self) -> Finalist | None:
        return next((finalist for finalist in self.finalists if finalist.name == self.winner), None)
