"""Findings about a study as a whole: edges of ranges, outcomes, and importances with their uncertainty."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial

from harness.report.findings import Edge, edges, findings
from harness.report.frames import importance_frame
from harness.store.finalist_record import Finalist, Ranking
from harness.store.trial_record import TrialRecord

RATE, WIDTH = FloatDistribution(1e-3, 1e-1, log=True), IntDistribution(50, 400)
DROPOUT, UNITS = FloatDistribution(0.0, 0.5), IntDistribution(1, 10)


@pytest.mark.parametrize(
    ("distribution", "value", "next_range"),
    [
        (RATE, 0.09, (1e-3, 1.0)),  # half of two decades beyond the upper end
        (RATE, 1.1e-3, (1e-4, 1e-1)),
        (RATE, 1e-2, None),
        (WIDTH, 395, (50, 575)),
        (WIDTH, 60, (1, 400)),  # half of the range below would be -125 units
        (WIDTH, 200, None),
        (DROPOUT, 0.49, (0.0, 0.75)),
        (DROPOUT, 0.0, None),  # nothing lies below
        (UNITS, 10, (1, 15)),
        (IntDistribution(1, 2), 2, (1, 3)),
        (FloatDistribution(1.2, 1.22), 1.22, (1.2, 1.23)),
        (FloatDistribution(0.9, 0.98), 0.98, (0.9, 0.99)),  # a share stays below 1
        (FloatDistribution(-1.0, 1.0), -1.0, (-2.0, 1.0)),
        (UNITS, 1, None),
        (FloatDistribution(0.3, 0.3), 0.3, None),
        (CategoricalDistribution((1, 2)), 2, None),
    ],
)
def test_a_best_value_at_an_edge_gets_a_range_to_try_next(
    distribution: Any, value: float, next_range: tuple[float, float] | None
):
    found = edges({"x": value}, {"x": distribution})
    assert [(edge.next_low, edge.next_high) for edge in found] == ([] if next_range is None else [next_range])


def test_the_text_of_an_edge_has_its_value_its_range_and_the_next_range():
    assert Edge("rate", 0.095, 0.001, 0.1, 0.001, 1.0).words("trial 3 (the winner: 0.095)") == (
        "rate is at the upper edge of 0.001 to 0.1 in trial 3 (the winner: 0.095): try 0.001 to 1 next"
    )


def test_the_edges_of_every_tied_finalist_are_looked_at_and_named():
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    values = [{"rate": 0.01, "width": 200}, {"rate": 0.095, "width": 200}, {"rate": 0.099, "width": 398}]
    values.append({"rate": 0.001, "width": 50})
    spaces = {"rate": RATE, "width": WIDTH}
    study.add_trials([create_trial(params=each, distributions=spaces, value=2.0) for each in values])
    facts = {"parameters": 9, "runs": (), "search_nats": 2.0, "train_nats": 1.9, "dev_nats": 2.0}
    finalists = [Finalist(name=f"trial {n}", trial=n, tied=n != 3, **facts) for n in (1, 2, 0, 3)]
    recipe = Finalist(name="lecture's recipe", trial=None, is_recipe=True, tied=True, **facts)
    ranking = Ranking(
        seeds=(1, 2), finalists=(*finalists, recipe), winner="trial 0", resamples=10_000, items_artifact=None
    )  # as version 0.3.0 stored it
    results = SimpleNamespace(
        study=SimpleNamespace(ranking=ranking, overlap=None, space={}),
        optuna_study=study,
        trials=[SimpleNamespace(status="complete", verdict="well fitted", pruned_because=None)] * 4,
        chosen=SimpleNamespace(trial=SimpleNamespace(number=0)),
    )
    assert findings(results)[:2] == [
        "rate is at the upper edge of 0.001 to 0.1 in trial 1 (tied with the best: 0.095) and trial 2 (tied with the "
        "best: 0.099): try 0.001 to 1 next",
        "width is at the upper edge of 50 to 400 in trial 2 (tied with the best: 398): try 50 to 575 next",
    ]


def random_trial(chance: random.Random) -> FrozenTrial:
    """The loss depends on `rate` and on nothing else."""
    params = {"rate": 10 ** chance.uniform(-3, -1), "width": chance.randint(50, 400)}
    value = 2 + abs(params["rate"] - 0.01)
    return create_trial(params=params, distributions={"rate": RATE, "width": WIDTH}, value=value)


def results_of(trials: int, **outcomes: int) -> Any:
    chance = random.Random(0)
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    study.add_trials([random_trial(chance) for _ in range(trials)])
    statuses = ["complete"] * trials + [status for status, count in outcomes.items() for _ in range(count)]
    verdict = "well fitted" if "improving" not in outcomes else "still improving"
    records = [
        TrialRecord(number=number, seed=0, status=status, verdict=verdict)
        for number, status in enumerate(statuses)
        if status != "improving"
    ]
    unranked = SimpleNamespace(ranking=None, overlap=None, space={})
    chosen = chosen_of(study) if trials else None
    return SimpleNamespace(optuna_study=study, trials=records, chosen=chosen, study=unranked)


def chosen_of(study: optuna.Study) -> SimpleNamespace:
    return SimpleNamespace(trial=SimpleNamespace(number=study.best_trial.number))


def test_the_parameter_that_decides_the_loss_is_named_with_its_uncertainty():
    frame = importance_frame(results_of(60))
    assert list(frame["parameter"]) == ["rate", "width"]
    assert frame["importance"].sum() == pytest.approx(1)
    assert (frame["low"] <= frame["importance"]).all()
    assert (frame["importance"] <= frame["high"]).all()
    assert frame["low"].iloc[0] > 0.5
    assert set(frame["n"]) == {60}
    (line,) = (line for line in findings(results_of(60)) if "mattered most" in line)
    assert line.startswith("the parameter that mattered most near the optimum: rate, ")
    assert line.endswith("over resampled trials, n=60)")


def test_no_parameter_is_named_if_none_matters():
    chance = random.Random(1)
    results = results_of(40)
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    names = "abcdef"
    study.add_trials(
        [
            create_trial(
                params={name: 10 ** chance.uniform(-3, -1) for name in names},
                distributions=dict.fromkeys(names, RATE),
                value=chance.random(),
            )
            for _ in range(60)
        ]
    )
    results.optuna_study, results.chosen = study, chosen_of(study)
    assert findings(results)[-1] == "no parameter mattered clearly more than the others (n=60 complete trials)"


def test_importance_is_reproducible():
    assert importance_frame(results_of(20)).equals(importance_frame(results_of(20)))


def test_few_trials_are_reported_as_too_few():
    assert findings(results_of(12))[-1].startswith("12 complete trials are too few to tell which parameters mattered")


@pytest.mark.parametrize(("failed", "found"), [(2, False), (10, True)])
def test_many_failed_or_diverged_trials_are_a_finding(failed: int, found: bool):
    lines = findings(results_of(20, failed=failed))
    assert (f"{failed} of {20 + failed} trials failed: fix suggest()" in " ".join(lines)) == found


def test_failed_trials_are_reported_with_their_commonest_reason_and_apart_from_diverged_ones():
    results = results_of(10, failed=4, diverged=3)
    failures = ["ValueError: width 7 is odd", "ValueError: width 9 is odd", "KeyError: 'x'", None]
    for record, failure in zip(results.trials[10:14], failures, strict=True):
        results.trials[record.number] = record.model_copy(update={"failure": failure})
    lines = findings(results)
    assert "3 of 17 trials diverged: lower the learning rates" in lines
    assert (
        "4 of 17 trials failed, 2 of them with 'ValueError: width 7 is odd': fix suggest() or the model, "
        "or narrow the space to where they work" in lines
    )


@pytest.mark.parametrize(("working", "is_named"), [(0, True), (4, True), (9, False)])
def test_a_branch_is_named_if_all_trials_that_fail_are_in_it_and_most_others_are_not(working: int, is_named: bool):
    results = results_of(10, failed=4)
    for number, record in enumerate(results.trials):
        params = {"kind": "mlp" if number < 10 - working else "own", "width": number}
        failure = "RuntimeError: shapes" if record.status == "failed" else None
        results.trials[number] = record.model_copy(update={"params": params, "failure": failure})
    (line,) = (line for line in findings(results) if "failed" in line)
    assert line.startswith("4 of 14 trials failed, all with 'RuntimeError: shapes'")
    assert ("every time where kind is 'own': fix suggest() or the model there" in line) == is_named
    assert "learning rate" not in line


def test_runs_that_ended_too_early_are_a_finding():
    lines = findings(results_of(8, improving=1))
    assert "8 of 8 complete trials were still improving at their end: raise the budget" in lines


def test_a_study_without_a_complete_trial_has_no_findings():
    assert findings(results_of(0)) == []
