"""A study's first trials run in their order, as often as requested, and exactly once despite interruptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

import harness
from harness import Budget, Experiment, ModelConfig, RateRange, Reported, TrainConfig, lecture_recipe
from harness.errors import ConfigError, StudyError
from harness.search.session import Session
from harness.search.trial_queue import queue_lock, requeue_orphans
from harness.store.storage import open_storage
from harness.store.trial_record import runs_of
from harness.study.definition import Study
from harness.study.experiment import check_first, params_of
from harness.study.load import load_study
from tests.tiny_study import EXPERIMENTS, home_at, search, write_items, write_reported_study

Run = Callable[..., Session]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Search the study file `reported`, or resume it."""
    write_reported_study()
    items = write_items(tmp_path / "items.txt")
    return lambda **asked: search(items, "reported", **asked)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """That study, searched to its end; only read by the tests."""
    folder = tmp_path_factory.mktemp("reported")
    with home_at(folder):
        write_reported_study()
        return search(write_items(folder / "items.txt"), "reported")


def test_fixed_trials_run_in_their_order_repeat_after_repeat(finished: Session):
    trials = finished.storage.trials("reported-items")
    assert [record.params["width"] for record in trials] == [4, 16, 4, 16]
    assert len({record.seed for record in trials}) == 4
    assert finished.record.ended_by == "trials"
    assert [experiment.title for experiment in finished.record.first] == ["counted", "narrow", "wide"]


def test_every_fixed_trial_keeps_its_weights(finished: Session):
    trials = finished.storage.trials("reported-items")
    assert all(record.weights_artifact is not None for record in trials)


def test_resuming_continues_with_the_next_experiment_and_a_finished_study_does_nothing(run: Run):
    run(trials=1)
    session = run(trials=4)
    assert [record.params["width"] for record in session.storage.trials("reported-items")] == [4, 16, 4, 16]
    again = run()
    assert again.nothing_left
    assert len(again.storage.trials("reported-items")) == 4


def test_more_trials_than_fixed_ones_are_drawn(run: Run):
    trials = run(trials=6).storage.trials("reported-items")
    assert [record.params["width"] for record in trials[:4]] == [4, 16, 4, 16]
    assert len(trials) == 6


def test_a_fixed_trial_killed_before_it_drew_is_requeued_with_its_given_parameters(run: Run):
    session = run(trials=1)
    storage, study = session.storage, session.study
    optuna_study = storage.optuna_study("reported-items")
    optuna_study.ask()  # what a kill -9 at the worst moment leaves: running, with nothing drawn
    with queue_lock("reported-items"):
        assert requeue_orphans(storage, optuna_study) == [1]
    assert storage.trial("reported-items", 1).params == {"width": 16}
    run(trials=4)
    complete = [record for record in storage.trials("reported-items") if record.status == "complete"]
    assert sorted(record.params["width"] for record in complete) == [4, 4, 16, 16]
    assert study.first == EXPERIMENTS


def test_a_study_killed_while_it_was_created_is_created_again_in_full(run: Run):
    session = run(trials=1)
    record = session.record.model_copy(update={"key": "other"})
    half = optuna.create_study(storage=session.storage.backend, study_name="other")
    half.enqueue_trial({"width": 4})
    session.storage.create_study(record)
    waiting = session.storage.optuna_study("other").get_trials()
    assert [trial.system_attrs["fixed_params"] for trial in waiting] == [{"width": 4}, {"width": 16}] * 2


def test_changed_experiments_are_another_study(run: Run):
    run(trials=1)
    write_reported_study(repeats=3)
    with pytest.raises(StudyError, match="keeps the trials it starts with"):
        run()


def test_an_experiments_runs_are_its_complete_trials_whatever_else_was_drawn(run: Run):
    trials = run(trials=3).storage.trials("reported-items")
    narrow = Experiment(title="narrow", params={"width": 4})
    assert [record.number for record in runs_of(narrow, trials)] == [0, 2]
    assert runs_of(Experiment(title="all", params={}), trials) == trials
    assert runs_of(Experiment(title="counted", params=None), trials) == []


def test_the_range_test_is_of_the_experiment_that_asks_for_it(finished: Session):
    probe = finished.record.range_test
    assert probe.trial == 0
    assert (probe.rates[-1] <= 1.0, len(probe.rates) <= 50) == (True, True)
    assert finished.record.drawn.trial == 1
    assert len(finished.record.drawn.items) == 20


def suggest(trial: optuna.Trial) -> TrainConfig:
    width = trial.suggest_int("width", 4, 16)
    if trial.suggest_categorical("kind", ["plain", "deep"]) == "deep":
        trial.suggest_float("depth", 0.0, 1.0)
    return TrainConfig(model=ModelConfig(hidden_width=width), budget=Budget(steps=1))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"width": 32}, r"'x' has width=32, outside IntDistribution\(high=16"),
        ({"widht": 8}, r"'x' has 'widht', which suggest\(\) does not ask for; it asks for width, kind"),
        ({"kind": "odd"}, r"'x' has \{'kind': 'odd'\}, on which suggest\(\) raises: 'odd' not in"),
        ({"kind": "plain", "depth": 0.5}, r"'depth', which suggest\(\) does not ask for"),
    ],
)
def test_a_first_trial_that_does_not_fit_the_space_is_refused(params: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        check_first([Experiment(title="x", params=params)], suggest)


def test_a_refused_first_trial_leaves_nothing_started(run: Run):
    write_reported_study(wide=64)
    with pytest.raises(ConfigError, match="'wide' has width=64"):
        run()
    assert open_storage(create=True).studies() == []


def test_a_first_trial_may_leave_parameters_to_the_sampler():
    check_first([Experiment(title="x", params={"width": 8}), Experiment(title="counted", params=None)], suggest)


def test_repeats_run_the_whole_list_again_and_must_be_at_least_one():
    first = [Experiment(title=title, params={"width": width}) for title, width in (("a", 4), ("b", 5))]
    assert params_of(first, 2) == [{"width": 4}, {"width": 5}, {"width": 4}, {"width": 5}]
    with pytest.raises(ConfigError, match="repeats must be at least 1; got 0"):
        Study(name="x", suggest=suggest, repeats=0)


def test_experiments_survive_json_unchanged():
    experiment = Experiment(
        title="x",
        params={"a": 1},
        reported=(Reported(step=3, dev="2.30", source="s"),),
        range_test=RateRange(1e-3, 1.0, 100),
        shows=("samples",),
    )
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment
    with pytest.raises(ConfigError, match="dev"):
        Reported(dev="about 2.3", source="s")


def test_the_lectures_experiments_fit_its_space_and_are_compared_at_evaluations():
    study, _ = load_study(str(Path(harness.__file__).parents[1] / "studies" / "lecture.py"))
    check_first(study.first, study.suggest)
    trained = [experiment for experiment in study.first if experiment.params is not None]
    assert study.trials == study.repeats * len(trained)
    for experiment in trained:
        config = study.suggest(optuna.trial.FixedTrial(experiment.params))
        every = config.budget.steps / config.evaluations
        assert all(told.step % every == 0 and told.step <= config.budget.steps for told in experiment.reported)
    assert config == lecture_recipe()
    assert study.corpus == "names-published"


@pytest.mark.parametrize("rates", [RateRange(0.0, 1.0, 10), RateRange(1.0, 1.0, 10), RateRange(1e-3, 1.0, 1)])
def test_an_invalid_range_test_is_refused_where_it_is_defined(rates: RateRange):
    with pytest.raises(ConfigError, match=r"0 < lowest < highest and at least 2 steps; 'x' has lowest"):
        Study(name="x", suggest=suggest, first=(Experiment(title="x", params={}, range_test=rates),))
