"""What is kept of studies and trials: plain validated documents, null where a number is not finite."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel

from harness.config import TrainConfig
from harness.lecture import LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT
from harness.search.environment import Owner
from harness.search.experiment import Experiment
from harness.search.standing import SeedRun, Standing, Status
from harness.train import Baselines, Evaluation, LrRange, TrainResult, Verdict

EndedBy = Literal["trials", "minutes", "interrupted", "failed"]

_MOST_POINTS = 50
Item = TypeVar("Item")


class Point(BaseModel, frozen=True):
    """One evaluation of a curve."""

    step: int
    examples: int
    seconds: float
    learning_rate: float
    train_nats: float | None
    dev_nats: float | None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        return cls(**{name: finite(value) for name, value in vars(evaluation).items()})


class TrialRecord(BaseModel, frozen=True):
    """Everything kept of one trial. Losses are exact means over whole splits, in nats per symbol."""

    number: int
    seed: int
    status: Status = "running"
    params: dict[str, Any] = {}
    config: TrainConfig | None = None
    """None if the trial failed before its suggest() returned one."""
    owner: Owner | None = None
    attempt: int = 0
    """0 for a first try; one more for each time it failed of itself."""
    root: int | None = None
    """The trial that this one repeats, if it repeats one."""
    curve: tuple[Point, ...] = ()
    train_nats: float | None = None
    dev_nats: float | None = None
    gap: float | None = None
    gap_error: float | None = None
    """Standard error of the gap, by items; None for a run cut short."""
    seconds: float | None = None
    steps: int | None = None
    parameters: int | None = None
    verdict: Verdict | None = None
    """None for a run that was cut short."""
    evidence: dict[str, float | None] = {}
    advice: str = ""
    failure: str | None = None
    versions: dict[str, str] = {}
    weights: str | None = None
    """Artifact id, if the weights were kept."""
    seeds: tuple[SeedRun, ...] = ()
    """Filled where one config was trained from several seeds; curve, losses and gap are then means of those
    that did not diverge, and `weights` those of the first of these."""

    @property
    def dev_spread(self) -> str:
        """`mean of 5 seeds from 2.15 to 2.16`; nothing for a run of one seed."""
        found = [run.dev_nats for run in self.seeds if run.status == "complete" and run.dev_nats is not None]
        return f"mean of {len(found)} seeds from {min(found):.4f} to {max(found):.4f}" if found else ""

    @property
    def first(self) -> int:
        """The trial that this one repeats, or its own number."""
        return self.number if self.root is None else self.root

    @property
    def steps_per_s(self) -> float | None:
        return self.steps / self.seconds if self.steps and self.seconds else None

    def with_result(self, result: TrainResult) -> Self:
        """The record with a run's curve and losses filled in."""
        points = [Point.of(evaluation) for evaluation in thinned(list(result.curve))]
        train_nats, dev_nats = finite(result.train_nats), finite(result.dev_nats)
        gap = None if train_nats is None or dev_nats is None else dev_nats - train_nats
        return self.model_copy(
            update={
                "curve": tuple(points),
                "train_nats": train_nats,
                "dev_nats": dev_nats,
                "gap": gap,
                "seconds": result.seconds,
                "steps": result.steps,
                "parameters": result.parameters,
            }
        )


class RangeTest(BaseModel, frozen=True):
    """A learning-rate range test of one trial's config, as plots need it."""

    trial: int
    optimizer: str
    rates: tuple[float, ...]
    smoothed: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of(cls, trial: int, config: TrainConfig, probe: LrRange) -> Self:
        return cls(
            trial=trial,
            optimizer=config.optimizer.kind,
            rates=tuple(thinned(list(probe.rates), 300)),
            smoothed=tuple(thinned(list(probe.smoothed), 300)),
            low=probe.low,
            high=probe.high,
        )


class Baseline(BaseModel, frozen=True):
    """The counted bigram of a study's corpus."""

    train_nats: float
    dev_nats: float


class Ngram(BaseModel, frozen=True):
    """A counted Kneser-Ney model of one order, by its exact losses."""

    order: int
    train_nats: float
    dev_nats: float


class Ngrams(BaseModel, frozen=True):
    """What counting reaches at one context length, and below what no model of it can train."""

    context_length: int
    floor: float
    """Conditional entropy of the train targets given their contexts, in nats."""
    orders: tuple[Ngram, ...]

    @classmethod
    def of(cls, found: Baselines) -> Self:
        orders = [Ngram(order=n.order, train_nats=n.train_nats, dev_nats=n.dev_nats) for n in found.kneser_ney]
        return cls(context_length=found.context_length, floor=found.floor, orders=tuple(orders))

    @property
    def best(self) -> Ngram:
        """The order with the lowest dev loss."""
        return min(self.orders, key=lambda ngram: (ngram.dev_nats, ngram.order))


class DevParts(BaseModel, frozen=True):
    """The chosen trial's dev loss on items that stand in train too, and on the others."""

    trial: int
    seeds: int = 1
    """How many runs the losses are means of."""
    seen_items: int
    unseen_items: int
    seen_nats: float | None
    """None where no item was seen."""
    unseen_nats: float | None


class Drawn(BaseModel, frozen=True):
    """New items from the trial whose experiment shows them, each with whether train has it."""

    trial: int
    items: tuple[tuple[str, bool], ...]


class CorpusFacts(BaseModel, frozen=True):
    """The corpus a study belongs to."""

    spec: str
    label: str
    variant: str
    fingerprint: str
    items: dict[str, int]
    examples: dict[str, int]
    by_default: bool
    """Whether it was taken because no corpus was asked for."""

    @property
    def is_the_lectures(self) -> bool:
        """Whether losses here may stand beside the lecture's own figures: its names, all of them, split either way."""
        return self.fingerprint in (LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT)

    @property
    def short(self) -> str:
        return f"{self.label} · fingerprint {self.fingerprint}"


class StudyRecord(BaseModel, frozen=True):
    """What a study was begun with, what ended it last, and what was measured beside its trials."""

    key: str
    name: str
    file: str
    corpus: CorpusFacts
    seed: int
    own_model: bool = False
    """Whether the study brings a model of its own in place of CharMLP."""
    space: dict[str, list[str]]
    """Signature of the search space: parameter names and their distributions."""
    constants: dict[str, Any] = {}
    """What suggest() fixed; empty in older records."""
    sampler: str
    pruner: str
    asked_sampler: str | None = None
    """The sampler that was asked for by name, kept when the study is carried on; None for the file's own."""
    asked_pruner: str | None = None
    first: tuple[Experiment, ...] = ()
    """What was tried before the sampler drew anything."""
    rounds: int = 1
    about: str = ""
    trials: int
    """Finished trials asked for."""
    created: str
    commit: str | None
    reference: str | None = None
    """Key of the lecture's recipe on this corpus, if this study shows one."""
    ended_by: EndedBy | None = None  # while it has never ended
    range_test: RangeTest | None = None
    bigram: Baseline | None = None
    ngrams: Ngrams | None = None
    """Counted at the best trial's context length."""
    dev_parts: DevParts | None = None
    drawn: Drawn | None = None
    asked_finalists: int | None = None
    """Best trials to train again after the search; None in records that were made before there were any."""
    asked_seeds: int | None = None
    """Fresh seeds for each of them; of a reference, how many it is the mean of."""
    standing: Standing | None = None
    """How the finalists came out, once they have."""


def best_trial(records: list[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the lowest dev loss; of equals the one whose weights were kept."""
    complete = [record for record in records if record.status == "complete" and record.dev_nats is not None]
    return min(complete, key=lambda record: (record.dev_nats, record.weights is None, record.number), default=None)


class Chosen(NamedTuple):
    """The trial that a study stands for: its winner's after the finalists' round, until then the best of the search."""

    trial: TrialRecord
    weights: str | None
    """Artifact id: of the winner's first fresh seed, else of the trial's own."""
    runs: tuple[SeedRun, ...]
    """The winner's fresh seeds; none before the round."""

    @property
    def advice(self) -> str:
        """What to turn next: the trial's own, unless it says to confirm what the round has confirmed."""
        if self.runs and self.trial.verdict == "well fitted":
            return f"Confirmed on {len(self.runs)} fresh seeds; more trials or a wider space may find better."
        return self.trial.advice

    @classmethod
    def of(cls, record: StudyRecord, trials: list[TrialRecord]) -> Chosen | None:
        """None while no trial is complete. Where the recipe won, the best trial: it has pages of its own."""
        won = None if record.standing is None else record.standing.won
        if won is not None and won.trial is not None:
            trial = next(trial for trial in trials if trial.number == won.trial)
            return cls(trial, won.runs[0].weights, won.runs)
        best = best_trial(trials)
        return None if best is None else cls(best, best.weights, ())


def runs_of(experiment: Experiment, records: list[TrialRecord]) -> list[TrialRecord]:
    """The complete trials of an experiment, oldest first; they differ by their seeds."""
    wanted = experiment.params
    if wanted is None:
        return []
    return [record for record in records if record.status == "complete" and wanted.items() <= record.params.items()]


def finite(value: Any) -> Any:
    """The value, or None if it is a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def thinned(items: list[Item], most: int = _MOST_POINTS) -> list[Item]:
    """At most `most` of the items, evenly spread, the last one always among them."""
    if len(items) <= most:
        return items
    return [items[math.ceil((index + 1) * len(items) / most) - 1] for index in range(most)]
