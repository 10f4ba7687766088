"""What is kept of studies and trials: plain validated documents, null where a number is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel

from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.lecture import LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT
from harness.store.finalist_record import Ranking
from harness.store.trial_record import SeedRun, TrialRecord, best_trial, thinned
from harness.store.upgrade import SCHEMA
from harness.study.experiment import Experiment
from harness.study.settings import Settings
from harness.train import Baselines, LrRange

EndedBy = Literal["trials", "minutes", "interrupted", "failed"]


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

    @classmethod
    def of(cls, corpus: Corpus, *, by_default: bool) -> Self:
        train, dev = corpus.number_of_examples("train"), corpus.number_of_examples("dev")
        return cls(
            spec=corpus.source.spec,
            label=corpus.label,
            variant=corpus.source.variant.name,
            fingerprint=corpus.fingerprint,
            items={"train": len(corpus.train_items), "dev": len(corpus.dev_items), "all": len(corpus.source.items)},
            examples={"train": train, "dev": dev, "all": sum(len(item) + 1 for item in corpus.source.items)},
            by_default=by_default,
        )

    @property
    def is_the_lectures(self) -> bool:
        """Whether losses here may stand beside the lecture's own figures: its names, all of them, split either way."""
        return self.fingerprint in (LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT)

    @property
    def short(self) -> str:
        return f"{self.label} · fingerprint {self.fingerprint}"


class StudyRecord(BaseModel, frozen=True):
    """A study: what it was started with, what ended it last, and what was measured once for it."""

    schema_number: int = SCHEMA
    key: str
    name: str
    file: str
    """Of the study; empty where a notebook defines it."""
    corpus: CorpusFacts
    settings: Settings
    """What it remembers for the next run; trials, finalists, seeds and seed are always set."""
    own_model: bool = False
    """Whether the study's `build` makes another model than CharMLP."""
    space: dict[str, list[str]]
    """Signature of the search space: parameter names and their distributions as JSON."""
    constants: dict[str, Any] = {}
    """What suggest() fixed, by dotted key."""
    sampler: str
    """With its arguments, as are those of the pruner."""
    pruner: str
    first: tuple[Experiment, ...] = ()
    """Trials that ran before the sampler drew any."""
    repeats: int = 1
    about: str = ""
    created: str
    commit: str | None
    reference: str | None = None
    """Key of the lecture's recipe on this corpus, if this study shows one."""
    ended_by: EndedBy | None = None
    """What ended the last run; None while one is running or was killed."""
    range_test: RangeTest | None = None
    bigram: Baseline | None = None
    ngrams: Ngrams | None = None
    """Counted at the best trial's context length."""
    dev_parts: DevParts | None = None
    drawn: Drawn | None = None
    ranking: Ranking | None = None
    """Of the finalists; None until they are trained."""

    @property
    def trials(self) -> int:
        """Finished trials asked for."""
        return self.settings.trials or 0

    @property
    def finalists(self) -> int:
        """Best trials to train again after the search."""
        return self.settings.finalists or 0

    @property
    def seeds(self) -> int:
        """Fresh seeds of each finalist; of a reference, how many it is the mean of."""
        return self.settings.seeds or 0

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self.settings.seed or 0


class Chosen(NamedTuple):
    """The trial that a study stands for: its winner's after the finalists' round, until then the best of the search."""

    trial: TrialRecord
    weights_artifact: str | None
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
    def of(cls, record: StudyRecord, trials: Sequence[TrialRecord]) -> Chosen | None:
        """None while no trial is complete. Where the recipe won, the best trial: it has pages of its own."""
        won = None if record.ranking is None else record.ranking.won
        if won is not None and won.trial is not None:
            trial = next(trial for trial in trials if trial.number == won.trial)
            return cls(trial, won.runs[0].weights_artifact, won.runs)
        best = best_trial(trials)
        return None if best is None else cls(best, best.weights_artifact, ())
