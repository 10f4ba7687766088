"""Mixing with the counted n-gram in a study: recorded beside the network's own loss, and searched by if asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import Study, TrainConfig, split_nats
from harness.errors import ConfigError, ModelChanged, StudyError
from harness.lecture import RECIPE
from harness.search.finalists import best_trials
from harness.search.session import Session
from harness.store.checks import checked_items, checked_weights, stored_weights
from harness.store.finalist_record import Finalist
from harness.store.keys import finalists_key
from harness.store.trial_record import TrialRecord, best_trial
from harness.store.weights import restore, unpack_arrays
from harness.train import Mixed, best_counted, mix, mixture_of
from tests.tiny_study import brief_reference, home_at, search, write_items, write_study


def studied(folder: Path, objective: str) -> Session:
    with home_at(folder) as patched:
        patched.setattr("harness.search.workers.REFERENCE", brief_reference())
        write_study(trials=5, finalists=2, reference=True, objective=objective)
        return search(write_items(folder / "items.txt"))


@pytest.fixture(scope="module")
def by_dev(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return studied(tmp_path_factory.mktemp("dev"), "dev")


@pytest.fixture(scope="module")
def by_mixed(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return studied(tmp_path_factory.mktemp("mixed"), "mixed")


def trials_of(session: Session) -> list[TrialRecord]:
    return session.storage.trials(session.record.key)


@pytest.mark.parametrize("which", ["by_dev", "by_mixed"])
def test_every_complete_trial_and_run_has_its_mixture(which: str, request: pytest.FixtureRequest):
    session: Session = request.getfixturevalue(which)
    runs = [*trials_of(session), *session.storage.trials(finalists_key(session.record.key))]
    for run in runs:
        assert run.mixed is not None
        assert run.mixed.dev_nats <= min(run.dev_nats, best_counted(session.corpus, 2).dev_nats) + 1e-9
        assert run.mixed.even_nats >= run.mixed.dev_nats
    recipe = next(f for f in session.record.ranking.finalists if f.is_recipe)
    assert all(run.mixed is not None for run in recipe.runs)


def test_the_recorded_mixture_is_that_of_the_stored_weights(by_dev: Session):
    for kept in stored_weights(trials_of(by_dev), by_dev.study.build):
        content = by_dev.storage.kept_file(kept.artifact)
        model, facts = restore(content)
        assert kept.mixed == Mixed(**facts["mixed"])
        assert mix(model, by_dev.corpus, 2).dev_nats == pytest.approx(kept.mixed.dev_nats, abs=1e-6)
        nats = split_nats(mixture_of(model, by_dev.corpus, kept.mixed), by_dev.corpus.counts("dev", 2))
        assert nats == pytest.approx(kept.mixed.dev_nats, abs=1e-6)


def test_optuna_gets_the_mixed_loss_at_every_evaluation(by_mixed: Session):
    handles = by_mixed.storage.optuna_study(by_mixed.record.key).get_trials()
    for record, handle in zip(trials_of(by_mixed), handles, strict=True):
        assert handle.value == record.mixed_nats == record.objective_nats != record.dev_nats
        told = [
            min(nats, handle.intermediate_values[100 * p.step // 40]) for p in record.curve if (nats := p.mixed_nats)
        ]
        assert list(handle.intermediate_values.values()) == pytest.approx(told)
        assert record.curve[-1].mixed_nats == pytest.approx(record.mixed_nats, abs=1e-9)
        assert handle.user_attrs["dev_nats"] == pytest.approx(record.dev_nats, abs=1e-4)


def test_optuna_gets_the_networks_own_loss_unless_the_study_says_otherwise(by_dev: Session):
    handles = by_dev.storage.optuna_study(by_dev.record.key).get_trials()
    for record, handle in zip(trials_of(by_dev), handles, strict=True):
        assert handle.value == record.dev_nats == record.objective_nats
        assert all(point.mixed_nats is None for point in record.curve)


def made_trial(number: int, dev: float, mixed: float, objective: str) -> TrialRecord:
    facts = {"number": number, "seed": number, "status": "complete", "config": TrainConfig(batch_size=32 + number)}
    mixture = Mixed(order=2, weight=0.5, dev_nats=mixed, even_nats=mixed, fitting_cost=0.0)
    return TrialRecord.model_validate(facts | {"dev_nats": dev, "mixed": mixture, "objective": objective})


@pytest.mark.parametrize(("objective", "first"), [("dev", 0), ("mixed", 1)])
def test_the_best_trial_and_the_finalists_are_those_by_the_objective(objective: str, first: int):
    trials = [made_trial(0, 2.0, 1.9, objective), made_trial(1, 2.1, 1.8, objective)]
    assert best_trial(trials).number == first
    assert [trial.number for trial in best_trials(trials, 2)] == [first, 1 - first]


def means(finalists: tuple[Finalist, ...], name: str) -> list[float]:
    return [getattr(finalist, name) for finalist in finalists]


@pytest.mark.parametrize(("which", "name"), [("by_dev", "dev_nats"), ("by_mixed", "mixed_nats")])
def test_finalists_are_ranked_by_the_objective_and_have_both_means(
    which: str, name: str, request: pytest.FixtureRequest
):
    session: Session = request.getfixturevalue(which)
    ranking = session.record.ranking
    assert ranking.objective == session.record.objective
    assert means(ranking.finalists, name) == pytest.approx(sorted(means(ranking.finalists, name)))
    for finalist in ranking.finalists:
        assert finalist.low < finalist.dev_nats < finalist.high
        assert finalist.mixed_low < finalist.mixed_nats < finalist.mixed_high
        assert finalist.mixed_nats < finalist.dev_nats
        assert finalist.behind == pytest.approx(getattr(finalist, name) - means(ranking.finalists, name)[0], abs=1e-6)
    won = ranking.won
    assert ranking.corrected_nats == pytest.approx(getattr(won, name) + max(0.0, ranking.selection_bias))


def test_the_stored_losses_by_item_are_those_of_networks_and_mixtures(by_mixed: Session):
    ranking = by_mixed.record.ranking
    kept = unpack_arrays(by_mixed.storage.kept_file(ranking.items_artifact))
    for name, array in (("dev_nats", "nats"), ("mixed_nats", "mixed")):
        found = kept[array].sum(-1).mean(-1) / kept["symbols"].sum()
        assert found == pytest.approx(np.array(means(ranking.finalists, name)), abs=1e-6)


def test_distances_are_by_the_objective(by_mixed: Session, by_dev: Session):
    for session, name in ((by_mixed, "mixed_nats"), (by_dev, "dev_nats")):
        distances, won = session.record.distances, session.record.ranking.won
        counted = distances.to(f"counted {session.record.ngrams.best.order}-gram")
        assert distances.objective == session.record.objective
        assert counted.nats == pytest.approx(getattr(won, name) - session.record.ngrams.best.dev_nats, abs=1e-6)


def test_a_recipe_stored_without_mixtures_gets_them_in_the_ranking(tmp_path: Path):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.search.workers.REFERENCE", brief_reference())
        write_study(trials=2, finalists=0, reference=True)
        items = write_items(tmp_path / "items.txt")
        first = search(items)
        (reference,) = first.storage.trials(first.record.reference)
        seeds = tuple(run.model_copy(update={"mixed": None}) for run in reference.seeds)
        first.storage.write_trial(first.record.reference, reference.model_copy(update={"seeds": seeds}))
        session = search(items, finalists=1, seeds=2)
    recipe = next(f for f in session.record.ranking.finalists if f.name == RECIPE)
    assert recipe.mixed_nats < recipe.dev_nats


def test_a_stored_mixture_whose_loss_has_changed_is_refused(by_dev: Session):
    kept = stored_weights(trials_of(by_dev), by_dev.study.build)[0]
    wrong = kept._replace(mixed=Mixed(**{**vars(kept.mixed), "dev_nats": kept.mixed.dev_nats - 0.01}))
    with pytest.raises(ModelChanged, match=r"when mixed with the counted \d-gram; those of trial \d+ had a mixed dev"):
        checked_items(by_dev.storage, wrong, by_dev.corpus)


def test_weights_count_as_checked_if_both_losses_were_reproduced(by_dev: Session):
    trials = trials_of(by_dev)
    artifact = best_trial(trials).weights_artifact
    assert artifact in checked_weights(by_dev.storage, by_dev.record, trials)
    other = [
        trial.model_copy(update={"mixed": Mixed(**{**vars(trial.mixed), "dev_nats": 0.5})})
        if trial.weights_artifact == artifact
        else trial
        for trial in trials
    ]
    assert artifact not in checked_weights(by_dev.storage, by_dev.record, other)


def test_a_study_keeps_its_objective(tmp_path: Path):
    write_study(trials=1)
    items = write_items(tmp_path / "items.txt")
    search(items)
    write_study(trials=2, objective="mixed")
    with pytest.raises(StudyError, match=r"keeps its objective; .* with objective='dev', got 'mixed'"):
        search(items)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ConfigError, match="objective must be dev or mixed; got 'train'"):
        Study("some", lambda _: TrainConfig(), objective="train")  # type: ignore[arg-type]
