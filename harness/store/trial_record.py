"""What is stored about a trial: a plain validated document, with null where a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel

from harness.config import TrainConfig
from harness.store.provenance import Owner
from harness.store.upgrade import SCHEMA
from harness.study.definition import Objective
from harness.study.experiment import Experiment
from harness.train import Evaluation, Mixed, TrainResult, Verdict
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
    mixed: Mixed | None = None
    """The loss when mixed with the counted n-gram; None for a run that is not complete, or stored before 0.5.0."""


class Point(BaseModel, frozen=True):
    """One evaluation of a curve."""

    step: int
    examples: int
    seconds: float
    learning_rate: float
    train_nats: float | None
    dev_nats: float | None
    mixed_nats: float | None = None
    """Dev loss of the mixture, with the weight fitted at this point; only in a study whose objective is `mixed`."""

    @property
    def objective_nats(self) -> float | None:
        """The dev loss that Optuna was told."""
        return self.dev_nats if self.mixed_nats is None else self.mixed_nats

    @classmethod
    def of(cls, evaluation: Evaluation, mixed: Mixed | None = None) -> Self:
        facts = vars(evaluation) | {"mixed_nats": None if mixed is None else mixed.dev_nats}
        return cls(**{name: finite(value) for name, value in facts.items()})


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
    objective: Objective = "dev"
    """The loss by which its study compares it with others."""
    mixed: Mixed | None = None
    """The loss when mixed with the counted n-gram. None unless the trial is complete, for several seeds (each of them
    has its own), and if it was stored before 0.5.0."""
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
    def mixed_nats(self) -> float | None:
        """Dev loss of the mixture; the mean over the seeds if there are several. None if it was not recorded."""
        return mean_mixed(self.seeds) if self.seeds else None if self.mixed is None else self.mixed.dev_nats

    @property
    def objective_nats(self) -> float | None:
        """The loss that trials are compared by, lower is better; for a run that was stopped, that of its last point."""
        if self.objective == "dev":
            return self.dev_nats
        last = self.curve[-1].mixed_nats if self.curve else None
        return last if self.mixed_nats is None else self.mixed_nats

    @property
    def losses(self) -> str:
        """`dev 1.9534, mixed 1.9221`: the network's own loss first; empty without one."""
        own = "" if self.dev_nats is None else f"dev {self.dev_nats:.4f}"
        return own if self.mixed_nats is None else f"{own}, mixed {self.mixed_nats:.4f}"

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

    def with_result(self, result: TrainResult, mixed: Mapping[int, Mixed] | None = None) -> Self:
        """The record with a run's curve and losses filled in.

        Args:
            mixed: the mixture at steps of the curve.
        """
        known = mixed or {}
        points = [Point.of(evaluation, known.get(evaluation.step)) for evaluation in thinned(list(result.curve))]
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
    """The complete trial with the lowest loss by the study's objective; among equals, one whose weights were kept.

    Mixtures that leave everything to the n-gram are equal, so the network's own loss comes next.
    """
    complete = [record for record in records if record.status == "complete" and record.objective_nats is not None]
    return min(
        complete,
        key=lambda record: (
            record.objective_nats,
            record.dev_nats,
            record.weights_artifact is None,
            record.number,
        ),
        default=None,
    )


def mean_mixed(runs: Sequence[SeedRun]) -> float | None:
    """Mean dev loss of the mixtures of the complete runs; None if one was not recorded."""
    found = [run.mixed for run in runs if run.status == "complete"]
    known = [mixed.dev_nats for mixed in found if mixed is not None]
    return fmean(known) if known and len(known) == len(found) else None


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
