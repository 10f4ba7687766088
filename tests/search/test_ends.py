"""How a search ends: with a sampler that has drawn all its points, or with trials that the study's own code prunes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, GridSampler, RandomSampler
from optuna.trial import TrialState

from harness import AdamW, Budget, Constant, ModelConfig, TrainConfig
from harness.errors import TrialsFailed
from harness.search.engines.in_process import run_in_process
from harness.search.request import Request
from harness.search.samplers import sampler_by_name
from harness.search.session import Session
from harness.search.trial_queue import start_trial
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study
from harness.study.settings import Settings
from harness.study.space import check_sampler, space_of
from tests.tiny_study import write_items

GRID = {"width": [4, 8], "rate": [0.01, 0.03]}
Suggest = Callable[[optuna.Trial], TrainConfig]


def config_of(width: int, rate: float = 0.01) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(embedding_size=2, hidden_width=width, context_length=2),
        optimizer=AdamW(learning_rate=rate),
        schedule=Constant(),
        batch_size=32,
        budget=Budget(steps=10),
        evaluations=2,
    )


def four_points(trial: optuna.Trial) -> TrainConfig:
    width = trial.suggest_categorical("width", [4, 8])
    return config_of(width, trial.suggest_categorical("rate", [0.01, 0.03]))


def any_width(trial: optuna.Trial) -> TrainConfig:
    return config_of(trial.suggest_int("width", 4, 40))


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "items.txt")


def searched(items: Path, suggest: Suggest, asked: int | None = None, **settled: Any) -> Session:
    """A study without reference, run in this process; `asked` is TRIALS on the command line."""
    settled = {"trials": 9, "finalists": 0, "reference": False} | settled
    study = Study(name="ends", suggest=suggest, **settled)
    request = Request(study="ends", settings=Settings(corpus=str(items), trials=asked))
    return run_in_process(study, request, lambda _: None, lambda _: None)


def records_of(session: Session) -> list[TrialRecord]:
    return session.storage.trials("ends-items")


def points_of(session: Session) -> Counter[str]:
    return Counter(str(sorted(record.params.items())) for record in records_of(session))


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (lambda seed: GridSampler(GRID, seed), "grid exhausted, 4 of 4 points"),
        (sampler_by_name("BruteForceSampler"), "space exhausted, 4 points"),
    ],
)
def test_a_sampler_that_has_drawn_all_points_ends_the_search_and_each_ran_once(
    items: Path, sampler: Callable[[int], BaseSampler], words: str
):
    session = searched(items, four_points, sampler=sampler, finalists=2, seeds=2)
    assert list(points_of(session).values()) == [1, 1, 1, 1]
    assert (session.record.ended_by, session.record.ending) == ("sampler", words)
    assert session.record.ranking is not None
    again = searched(items, four_points, sampler=sampler, finalists=2, seeds=2)
    assert (again.nothing_left, again.record.ending, len(records_of(again))) == (True, words, 4)


def test_fewer_trials_than_the_grid_has_points_end_as_trials(items: Path):
    session = searched(items, four_points, sampler=lambda seed: GridSampler(GRID, seed), trials=3)
    assert (session.record.ended_by, len(points_of(session))) == ("trials", 3)
    session = searched(items, four_points, sampler=lambda seed: GridSampler(GRID, seed), asked=9)
    assert (session.record.ended_by, list(points_of(session).values())) == ("sampler", [1, 1, 1, 1])


@pytest.mark.parametrize("sampler", [lambda seed: GridSampler(GRID, seed), sampler_by_name("BruteForceSampler")])
def test_points_that_still_run_elsewhere_are_not_drawn_again(items: Path, sampler: Callable[[int], BaseSampler]):
    session = searched(items, four_points, sampler=sampler, trials=1)
    study = Study(name="ends", suggest=four_points, sampler=sampler)
    started = [start_trial(session.storage, study, "ends-items", 0, 9) for _ in range(4)]
    assert [each is not None for each in started] == [True, True, True, False]
    assert len(points_of(session)) == 4


def test_a_grid_goes_on_when_it_grows(items: Path):
    def suggest(trial: optuna.Trial) -> TrainConfig:
        return config_of(trial.suggest_int("width", 4, 40))

    def grid(*widths: int) -> Callable[[int], BaseSampler]:
        return lambda seed: GridSampler({"width": widths}, seed)

    assert searched(items, suggest, sampler=grid(4, 8)).record.ending == "grid exhausted, 2 of 2 points"
    session = searched(items, suggest, sampler=grid(4, 8, 16))
    assert session.record.ending == "grid exhausted, 3 of 3 points"


def test_an_exhausted_search_goes_on_with_another_sampler(items: Path):
    searched(items, four_points, sampler=lambda seed: GridSampler(GRID, seed))
    session = searched(items, four_points, sampler=lambda seed: RandomSampler(seed), asked=6)
    assert (session.record.ended_by, session.record.exhausted, len(records_of(session))) == ("trials", "", 6)


class Patient(RandomSampler):
    """Ends the search after three trials."""

    def after_trial(self, study: optuna.Study, *_: Any) -> None:
        if len(study.get_trials(states=[TrialState.COMPLETE])) >= 2:
            study.stop()


def test_any_sampler_can_end_the_search(items: Path):
    session = searched(items, any_width, sampler=Patient)
    assert len(records_of(session)) == 3
    assert session.record.ending == "study.stop() was called, by Patient or by suggest()"
    assert searched(items, any_width, sampler=Patient).nothing_left
    assert len(records_of(searched(items, any_width, sampler=Patient, asked=12))) == 4


def test_suggest_can_end_the_search(items: Path):
    def suggest(trial: optuna.Trial) -> TrainConfig:
        if trial.number == 2:
            trial.study.stop()
        return any_width(trial)

    session = searched(items, suggest)
    assert (session.record.ended_by, len(records_of(session))) == ("sampler", 3)


@pytest.mark.parametrize("size", [1, 2])
def test_a_sampler_with_fewer_points_than_the_check_draws_passes_it(size: int):
    study = Study(name="small", suggest=any_width, sampler=lambda seed: GridSampler({"width": [4, 8][:size]}, seed))
    check_sampler(study, space_of(study))


def test_a_repeated_trial_keeps_its_point_of_the_grid(items: Path):
    fails = {"left": 1}

    def build(config: TrainConfig, vocabulary_size: int, generator: Any) -> Any:
        if fails["left"] and config.seed:  # the seed is 0 where build is only checked
            fails["left"] -= 1
            raise RuntimeError("no memory")
        return Study.build(config, vocabulary_size, generator)

    session = searched(items, four_points, sampler=lambda seed: GridSampler(GRID, seed), build=build)
    assert [record.status for record in records_of(session)].count("failed") == 1
    assert sorted(points_of(session).values()) == [1, 1, 1, 2]  # the failed trial and its repetition
    assert session.record.ending == "grid exhausted, 4 of 4 points"


def narrow(trial: optuna.Trial) -> TrainConfig:
    width = trial.suggest_int("width", 4, 40)
    if width > 22:
        raise optuna.TrialPruned("too wide")
    return config_of(width, trial.suggest_float("rate", 0.01, 0.1))


def test_a_trial_that_suggest_prunes_is_pruned_and_not_tried_again(items: Path):
    session = searched(items, narrow, sampler=RandomSampler)
    records = records_of(session)
    pruned = [record for record in records if record.status == "pruned"]
    assert (len(records), session.record.ended_by) == (9, "trials")
    assert 0 < len(pruned) < 9
    for record in pruned:
        assert record.params["width"] > 22
        assert (record.config, record.curve, record.dev_nats, record.failure) == (None, (), None, None)
        assert record.pruned_because == "suggest() raised TrialPruned: too wide"
        frozen = session.storage.optuna_study("ends-items").get_trials()[record.number]
        assert (frozen.state, frozen.user_attrs["status"]) == (TrialState.PRUNED, "pruned")


def test_a_model_that_prunes_its_trial_is_not_tried_again_either(items: Path):
    def build(config: TrainConfig, vocabulary_size: int, generator: Any) -> Any:
        if config.model.hidden_width > 22:
            raise optuna.TrialPruned
        return Study.build(config, vocabulary_size, generator)

    session = searched(items, any_width, build=build, sampler=RandomSampler)
    records = records_of(session)
    reasons = {record.pruned_because for record in records}
    assert (len(records), reasons) == (9, {None, "the model raised TrialPruned"})


def test_a_space_of_which_every_draw_is_pruned_is_refused():
    def suggest(trial: optuna.Trial) -> TrainConfig:
        any_width(trial)
        raise optuna.TrialPruned

    with pytest.raises(TrialsFailed, match="must accept some points; that of ends raises TrialPruned for each of 200"):
        space_of(Study(name="ends", suggest=suggest))


def test_a_suggest_that_fails_again_for_the_same_point_is_not_tried_again(items: Path):
    def suggest(trial: optuna.Trial) -> TrainConfig:
        width = trial.suggest_int("width", 4, 40)
        if width > 22:
            raise ValueError(f"width {width}")
        return config_of(width)

    session = searched(items, suggest, sampler=RandomSampler)
    failed = [record for record in records_of(session) if record.status == "failed"]
    assert failed
    assert all(record.fails_always and record.attempt == 0 for record in failed)
    assert all(record.root is None for record in records_of(session))


def test_a_suggest_that_fails_now_and_then_is_tried_again(items: Path):
    calls = {"count": 0}

    def suggest(trial: optuna.Trial) -> TrainConfig:
        calls["count"] += 1
        if calls["count"] == 424:  # after 200 draws, 20 again, the check of the sampler, and the worker's draws
            raise OSError("busy")
        return any_width(trial)

    session = searched(items, suggest, trials=3)
    assert [record.status for record in records_of(session)] == ["failed", "complete", "complete", "complete"]
    assert records_of(session)[1].root == 0
