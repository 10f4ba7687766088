"""What is stored about a trial: a plain validated document, with null where a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel

from harness.config import TrainConfig
from harness.store.provenance import Owner
from harness.store.upgrade import SCHEMA
from harness.study.experiment import Experiment
from harness.train import Evaluation, TrainResult, Verdict
from harness.words import plural

_MOST_POINTS = 50
Item = TypeVar("Item")
Status = Literal["running", "complete", "pruned", "diverged", "failed", "interrupted"]
FINISHED: frozenset[Status] = frozenset({"complete", "pruned", "diverged"})
"""Trials with these statuses count towards the number requested."""


class SeedRun(BaseModel, frozen=True):
    """One run of a config that was trained from several seeds."""

    seed: int
    status: Status
    train_nats: float | None
    dev_nats: float | None
    weights_artifact: str | None = None


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
    """Everything stored about one trial. Losses are exact means over whole splits, in nats per symbol."""

    schema_number: int = SCHEMA
    number: int
    seed: int
    status: Status = "running"
    params: dict[str, Any] = {}
    config: TrainConfig | None = None
    """None if the trial failed before its suggest() returned one."""
    owner: Owner | None = None
    attempt: int = 0
    """0 for the first attempt; one more for each time it failed with an error."""
    root: int | None = None
    """Number of the trial that this one repeats, if it repeats one."""
    curve: tuple[Point, ...] = ()
    train_nats: float | None = None
    dev_nats: float | None = None
    gap: float | None = None
    gap_error: float | None = None
    """Standard error of the gap, computed over items; None unless the trial is complete."""
    seconds: float | None = None
    steps: int | None = None
    parameters: int | None = None
    """Number of trained parameters."""
    verdict: Verdict | None = None
    """None for a run that was stopped early."""
    evidence: dict[str, float | None] = {}
    advice: str = ""
    failure: str | None = None
    fails_always: bool = False
    """Whether suggest() raised the same error once more for the same parameters, so that trying again is useless."""
    pruned_because: str | None = None
    """Why the study's own code pruned the trial with `optuna.TrialPruned`; None if it did not."""
    versions: dict[str, str] = {}
    segment: int | None = None
    """Number of the study's segment that it began in, from 1; None if it was stored by version 0.3.0 or earlier."""
    weights_artifact: str | None = None
    """Artifact id, if the weights were kept."""
    seeds: tuple[SeedRun, ...] = ()
    """Set if one config was trained from several seeds. Curve, losses and gap are then means over those that did
    not diverge, and `weights_artifact` is that of the first of them."""

    @property
    def dev_spread(self) -> str:
        """`mean of 5 seeds from 2.15 to 2.16`; an empty string for a run of one seed."""
        found = [run.dev_nats for run in self.seeds if run.status == "complete" and run.dev_nats is not None]
        return f"mean of {plural(len(found), 'seed')} from {min(found):.4f} to {max(found):.4f}" if found else ""

    @property
    def original(self) -> int:
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


def best_trial(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the lowest dev loss; among equals, one whose weights were kept."""
    complete = [record for record in records if record.status == "complete" and record.dev_nats is not None]
    return min(
        complete, key=lambda record: (record.dev_nats, record.weights_artifact is None, record.number), default=None
    )


def runs_of(experiment: Experiment, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials of an experiment, oldest first. They differ in their seeds."""
    wanted = experiment.params
    if wanted is None:
        return []
    return [record for record in records if record.status == "complete" and wanted.items() <= record.params.items()]


def finite(value: Any) -> Any:
    """The value, or None if it is a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def thinned(items: list[Item], most: int = _MOST_POINTS) -> list[Item]:
    """At most `most` of the items, evenly spaced, always including the last."""
    if len(items) <= most:
        return items
    return [items[math.ceil((index + 1) * len(items) / most) - 1] for index in range(most)]
