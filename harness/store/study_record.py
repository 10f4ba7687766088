"""What is stored about a study: a plain validated document, with null where a number is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel

from harness.config import TrainConfig
from harness.corpus import Corpus, Overlap, load
from harness.errors import StudyError
from harness.lecture import LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT
from harness.store.finalist_record import Distances, Ranking
from harness.store.segment import Segment
from harness.store.trial_record import SeedRun, TrialRecord, best_trial, thinned
from harness.store.upgrade import SCHEMA
from harness.study.definition import Objective
from harness.study.dependencies import Dependencies
from harness.study.experiment import Experiment
from harness.study.settings import Settings
from harness.train import Baselines, LrRange, Mixed
from harness.words import plural

EndedBy = Literal["trials", "minutes", "sampler", "interrupted", "failed"]


class RangeTest(BaseModel, frozen=True):
    """A learning-rate range test of one trial's config, reduced to what plots need."""

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
    """A counted Kneser-Ney model of one order, with its exact losses."""

    order: int
    train_nats: float
    dev_nats: float


class Ngrams(BaseModel, frozen=True):
    """Losses of counted n-grams at one context length, and the lowest train loss that any model can reach there."""

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
    """The chosen trial's dev loss on items that are also in train, and on the others."""

    trial: int
    seeds: int = 1
    """Number of runs over which the losses are means."""
    seen_items: int
    unseen_items: int
    seen_nats: float | None
    """None if no dev item is in train."""
    unseen_nats: float | None


class Drawn(BaseModel, frozen=True):
    """New items drawn from the trial whose experiment shows samples, each with whether it is in train."""

    trial: int
    items: tuple[tuple[str, bool], ...]


class CorpusFacts(BaseModel, frozen=True):
    """The corpus that a study searches."""

    spec: str
    label: str
    variant: str
    fingerprint: str
    items: dict[str, int]
    examples: dict[str, int]
    by_default: bool
    """Whether it was used because the user named no corpus."""
    overlap: Overlap | None = None
    """Dev items that are in train too; None if it was not recorded then (up to 0.3.0)."""

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
            overlap=corpus.overlap,
        )

    def load(self) -> Corpus:
        """The corpus itself, from where it was found before.

        Raises:
            CorpusError: it is gone.
            StudyError: it has other items now.
        """
        corpus = load(self.spec)
        if not corpus.known_as(self.fingerprint):
            raise StudyError(
                f"a study keeps its corpus, here {self.label} with fingerprint {self.fingerprint}; {self.spec} now has "
                f"{corpus.fingerprint}. Restore the old file, or start another study with NAME=…."
            )
        return corpus

    @property
    def is_the_lectures(self) -> bool:
        """Whether losses are comparable with the lecture's own figures: all of its names, under either split."""
        return self.fingerprint in (LECTURE_FINGERPRINT, PUBLISHED_FINGERPRINT)

    @property
    def short(self) -> str:
        return f"{self.label} · fingerprint {self.fingerprint}"


class StudyRecord(BaseModel, frozen=True):
    """A study: what it was started with, what ended its last session, and what was measured once for it."""

    schema_number: int = SCHEMA
    key: str
    name: str
    file: str
    """Path of the study file; empty if a notebook defines the study."""
    corpus: CorpusFacts
    settings: Settings
    """The settings kept for the next session; trials, finalists, seeds and seed are always set."""
    own_model: bool = False
    """Whether the study's `build` makes a model other than CharMLP."""
    space: dict[str, list[str]]
    """The search space: each parameter's distributions as JSON, by parameter name."""
    constants: dict[str, Any] = {}
    """The values that suggest() fixed, by dotted key."""
    dependencies: Dependencies | None = None
    """What every process that works on the study must find again; None for one stored by version 0.3.0 or earlier."""
    segments: tuple[Segment, ...] = ()
    """What its trials ran with, oldest first; none for a study that is not resumed since version 0.3.0."""
    sampler: str
    """That of the last segment, name with arguments, as is `pruner`."""
    pruner: str
    first: tuple[Experiment, ...] = ()
    """Trials that run before the sampler draws any."""
    repeats: int = 1
    about: str = ""
    objective: Objective = "dev"
    """The loss that the study searches by."""
    created: str
    commit: str | None
    reference: str | None = None
    """Key of the lecture's recipe on this corpus; None if this study shows none."""
    ended_by: EndedBy | None = None
    """What ended the last session; None while one runs, or if it was killed."""
    exhausted: str = ""
    """How the sampler ended the search, as in `grid exhausted, 4 of 4 points`; empty if it did not."""
    range_test: RangeTest | None = None
    bigram: Baseline | None = None
    ngrams: Ngrams | None = None
    """Counted at the chosen trial's context length."""
    dev_parts: DevParts | None = None
    drawn: Drawn | None = None
    ranking: Ranking | None = None
    """Ranking of the finalists; None until they are trained."""
    distances: Distances | None = None
    """From the outcome to the recipe and the best counted n-gram; None if not recorded, or if no weights are stored."""

    @property
    def overlap(self) -> Overlap | None:
        """Dev items that are in train too; in a record of before 0.4.0 those that were measured for the best trial."""
        if self.corpus.overlap is not None or self.dev_parts is None:
            return self.corpus.overlap
        return Overlap(self.dev_parts.seen_items + self.dev_parts.unseen_items, same=self.dev_parts.seen_items)

    @property
    def trials(self) -> int:
        """Number of finished trials requested."""
        return self.settings.trials or 0

    @property
    def ending(self) -> str:
        """What ended the last session, in words; empty while one runs, or if it was killed."""
        return self.exhausted if self.ended_by == "sampler" and self.exhausted else self.ended_by or ""

    @property
    def finalists(self) -> int:
        """Number of best trials to train again after the search."""
        return self.settings.finalists or 0

    @property
    def seeds(self) -> int:
        """Number of fresh seeds for each finalist; for a reference, the number of seeds that it is trained from."""
        return self.settings.seeds or 0

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self.settings.seed or 0


class Chosen(NamedTuple):
    """The trial that represents a study: the winner once the finalists are ranked, before that the best one."""

    trial: TrialRecord
    weights_artifact: str | None
    """Artifact id of the weights: from the winner's first fresh seed if there is a winner, else the trial's own."""
    runs: tuple[SeedRun, ...]
    """The winner's runs from fresh seeds; empty before the finalists are ranked."""

    @property
    def mixed(self) -> Mixed | None:
        """The mixture of these weights with the counted n-gram; None if it was not recorded."""
        return self.runs[0].mixed if self.runs else self.trial.mixed

    @property
    def advice(self) -> str:
        """What to change next: the trial's own advice, unless it asks for fresh seeds that the winner already has."""
        seeds = plural(len(self.runs), "fresh seed")
        if self.runs and self.trial.verdict == "at the floor":
            return f"Confirmed on {seeds}; the loss is the entropy of the data."
        if self.runs and self.trial.verdict == "well fitted":
            return f"Confirmed on {seeds}; more trials or a wider space may find a better config."
        return self.trial.advice

    @classmethod
    def of(cls, record: StudyRecord, trials: Sequence[TrialRecord]) -> Chosen | None:
        """None while no trial is complete. If the recipe won, the best trial, because the recipe is not in `trials`."""
        won = None if record.ranking is None else record.ranking.won
        if won is not None and won.trial is not None:
            trial = next(trial for trial in trials if trial.number == won.trial)
            return cls(trial, won.runs[0].weights_artifact, won.runs)
        best = best_trial(trials)
        return None if best is None else cls(best, best.weights_artifact, ())
