"""Pruners replayed over made-up curves for which the answer is known."""

from __future__ import annotations

import pytest
from optuna.pruners import MedianPruner, NopPruner

from harness.errors import StudyError
from harness.search.prune_check import LEAST_TRIALS, PRUNERS, prune_check, replay
from harness.store.trial_record import Point, TrialRecord


def record(number: int, dev: list[float], status: str = "complete") -> TrialRecord:
    """A trial of ten seconds, its dev losses evenly spaced."""
    curve = tuple(
        Point(
            step=100 * at,
            examples=3200 * at,
            seconds=10 * at / len(dev),
            learning_rate=0.01,
            train_nats=nats - 0.1,
            dev_nats=nats,
        )
        for at, nats in enumerate(dev, start=1)
    )
    return TrialRecord(number=number, seed=0, status=status, curve=curve, dev_nats=dev[-1])


GOOD, BAD = [2.5, 2.3, 2.1, 2.0], [2.9, 2.8, 2.7, 2.6]
LATE = [2.9, 2.8, 2.5, 1.9]
"""The worst until its last point, where it is the best."""


def test_without_a_pruner_nothing_is_saved_and_nothing_lost():
    found = replay([record(0, GOOD), record(1, BAD)], NopPruner())
    assert (found.stopped, found.saved, found.regret) == (0, 0, 0)


def test_a_trial_worse_than_the_median_is_stopped_at_its_first_point_and_its_seconds_are_saved():
    found = replay([record(0, GOOD), record(1, GOOD), record(2, BAD)], MedianPruner(n_startup_trials=2))
    assert found.stopped == 1
    assert found.saved == pytest.approx(7.5 / 30)
    assert found.regret == 0


def test_stopping_what_would_have_become_the_best_is_the_regret():
    found = replay([record(0, GOOD), record(1, GOOD), record(2, LATE)], MedianPruner(n_startup_trials=2))
    assert found.regret == pytest.approx(2.0 - 1.9)


def test_with_a_warm_up_a_late_improvement_is_not_stopped():
    pruner = MedianPruner(n_startup_trials=2, n_warmup_steps=90)
    assert replay([record(0, GOOD), record(1, GOOD), record(2, LATE)], pruner).regret == 0


def test_the_last_point_of_a_curve_is_not_offered_to_the_pruner():
    flat = record(2, [2.0, 2.0, 2.0, 9.0])  # worst at its end alone
    assert replay([record(0, GOOD), record(1, GOOD), flat], MedianPruner(n_startup_trials=2)).stopped == 0


def mixed(count: int) -> list[TrialRecord]:
    return [record(number, [nats + number / 1000 for nats in (BAD if number % 3 else GOOD)]) for number in range(count)]


@pytest.mark.slow
def test_every_pruner_is_checked_over_the_recorded_and_over_shuffled_orders():
    checked = prune_check(mixed(LEAST_TRIALS))
    assert [each.pruner for each in checked] == list(PRUNERS)
    for each in checked:
        assert 0 <= each.recorded.saved < 1
        assert 0 <= each.saved < 1
        assert each.worst_regret >= each.recorded.regret >= 0
    assert checked[0].saved > 0.1
    assert checked == prune_check(mixed(LEAST_TRIALS))


@pytest.mark.parametrize("records", [mixed(LEAST_TRIALS - 1), [*mixed(LEAST_TRIALS), record(99, BAD, "pruned")]])
def test_too_few_or_already_pruned_trials_are_refused(records: list[TrialRecord]):
    with pytest.raises(StudyError, match=f"at least {LEAST_TRIALS} complete trials and none pruned"):
        prune_check(records)
