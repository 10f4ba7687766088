"""Which pruner is safe: the recorded curves of an unpruned study, replayed under each.

A replay shows what a pruner would have stopped of these trials, one after another. It cannot
show that a sampler, reported_nats less, would have drawn others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from harness.errors import StudyError
from harness.search.trial import reported_nats
from harness.store.finalist_record import Ranking
from harness.store.trial_record import TrialRecord
from harness.study.definition import default_pruner

LEAST_TRIALS = 40
LEAST_LEFT = 10
"""Twice the finalists that a study trains again by default."""
ORDERS = 20
"""Shuffled orders beside the recorded one: in a search that gets better, the recorded order flatters late trials."""
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "default (median of 8 and more, from 20 %)": lambda: default_pruner(0),
    "successive halving from 10 %": lambda: SuccessiveHalvingPruner(min_resource=10, reduction_factor=3),
    "successive halving from 20 %": lambda: SuccessiveHalvingPruner(min_resource=20, reduction_factor=3),
    "successive halving from 10 %, best half": lambda: SuccessiveHalvingPruner(min_resource=10, reduction_factor=2),
    "median of 8 and more, from 50 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=50),
    "median of 8 and more, from 30 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=30),
    "median of 8 and more, from 70 %": lambda: MedianPruner(n_startup_trials=8, n_warmup_steps=70),
    "best quarter of 8 and more, from 50 %": lambda: PercentilePruner(25.0, n_startup_trials=8, n_warmup_steps=50),
    "best quarter of 8 and more, from 30 %": lambda: PercentilePruner(25.0, n_startup_trials=8, n_warmup_steps=30),
    "hyperband, 10 to 100 %": lambda: HyperbandPruner(min_resource=10, max_resource=100, reduction_factor=3),
}


@dataclass(frozen=True)
class Replay:
    """What one pruner would have done to the recorded trials, in one order."""

    stopped: int
    saved: float
    """Share of all training seconds."""
    regret: float
    """Best dev nats among trials left to finish, less the best of all."""


@dataclass(frozen=True)
class Checked:
    """A pruner over the recorded order and shuffled ones."""

    pruner: str
    recorded: Replay
    saved: float
    """Mean over the shuffled orders."""
    regret: float
    """Mean over all orders."""
    worst_regret: float
    """Over all orders."""
    fewest: int
    """Trials left to finish, in the order that left fewest."""


def prune_check(records: Sequence[TrialRecord]) -> list[Checked]:
    """Every pruner's savings and regret on a study's complete trials.

    Raises:
        StudyError: fewer than LEAST_TRIALS complete trials, or some were pruned.
    """
    pruned = sum(record.status == "pruned" for record in records)
    complete = [record for record in records if record.status == "complete" and record.curve]
    if pruned or len(complete) < LEAST_TRIALS:
        raise StudyError(
            f"a prune check needs at least {LEAST_TRIALS} complete trials and none pruned; got {len(complete)} and "
            f"{pruned}. Run one with make study NAME=unpruned PRUNER=NopPruner."
        )
    chance = random.Random(0)
    shuffled = [chance.sample(complete, len(complete)) for _ in range(ORDERS)]
    checked = []
    for name, make in PRUNERS.items():
        recorded, *others = (replay(order, make()) for order in (complete, *shuffled))
        saved = sum(each.saved for each in others) / len(others)
        regrets = [each.regret for each in (recorded, *others)]
        fewest = len(complete) - max(each.stopped for each in (recorded, *others))
        checked.append(Checked(name, recorded, saved, sum(regrets) / len(regrets), max(regrets), fewest))
    return checked


def seed_noise(ranking: Ranking | None) -> float | None:
    """Standard deviation of dev nats between fresh seeds of one config, pooled over the finalists; None without any."""
    deviations = [f.deviation for f in ranking.finalists if f.deviation and f.trial is not None] if ranking else []
    if not deviations:
        return None
    return math.sqrt(sum(deviation**2 for deviation in deviations) / len(deviations))


def safest(checked: Sequence[Checked], noise: float) -> Checked | None:
    """The rule that the default follows: of the pruners that are safe, the one that saves most.

    Safe is a mean regret below the seeds' noise, and LEAST_LEFT trials or more left in every order: a
    pruner that hands the finalists all it has left chooses nothing.
    """
    safe = [each for each in checked if each.regret < noise and each.fewest >= LEAST_LEFT]
    return max(safe, key=lambda each: each.saved, default=None)


def replay(records: Sequence[TrialRecord], pruner: BasePruner) -> Replay:
    """One trial after another, asked at the recorded places of its curve as `run_trial` asks."""
    # Hyperband draws a trial's bracket from the study's name.
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), pruner=pruner, study_name="replay")
    spent, left = 0.0, []
    for record in records:
        trial, end = study.ask(), record.curve[-1]
        chance = _loss(record.evidence.get("log_vocabulary"))
        for point in record.curve:
            trial.report(reported_nats(_loss(point.dev_nats), chance), round(100 * point.step / end.step))
            if point.step < end.step and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                spent += point.seconds
                break
        else:
            study.tell(trial, _loss(end.dev_nats))
            spent += end.seconds
            left.append(_loss(end.dev_nats))
    total = sum(record.curve[-1].seconds for record in records)
    best = min(_loss(record.curve[-1].dev_nats) for record in records)
    return Replay(len(records) - len(left), 1 - spent / total, min(left) - best)


def _loss(nats: float | None) -> float:
    return float("inf") if nats is None else nats
