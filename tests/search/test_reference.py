"""The lecture's recipe as a reference: trained once per corpus and shared by all its studies."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import optuna
import pytest

from harness import Budget, Corpus, Step, TrainConfig, lecture_recipe, load, split_nats
from harness.search.reference import REFERENCE, REFERENCE_SEED, reference_is_settled, run_reference, start_reference
from harness.search.trial import Deadline
from harness.search.trial_queue import start_trial
from harness.store.find import stored_reference
from harness.store.keys import REFERENCE_RUNS, is_reference, reference_keys
from harness.store.storage import Storage, open_storage
from harness.store.study_record import CorpusFacts
from harness.store.weights import restore
from harness.train import best_counted
from tests.tiny_study import write_items


def short_recipe() -> TrainConfig:
    """The recipe in 60 steps; the initialisation is scaled, as the plain one needs far more to get below log V."""
    recipe = lecture_recipe()
    model = recipe.model.model_copy(update={"init": "scaled"})
    return recipe.model_copy(update={"model": model, "budget": Budget(steps=60), "evaluations": 3})


def begun(tmp_path: Path) -> tuple[Storage, Corpus, str]:
    corpus, storage = load(str(write_items(tmp_path / "items.txt"))), open_storage(create=True)
    facts = CorpusFacts(
        spec="", label="items", variant="canonical", fingerprint="f", items={}, examples={}, by_default=False
    )
    key, is_settled = start_reference(storage, corpus, facts)
    assert not is_settled
    assert start_reference(storage, corpus, facts) == (key, False)  # a second study finds it there
    return storage, corpus, key


def run_once(storage: Storage, corpus: Corpus, key: str, recipe: TrainConfig, ends_at: float = 2e12) -> bool:
    study = dataclasses.replace(REFERENCE, suggest=lambda _: recipe)
    started = start_trial(storage, study, key, REFERENCE_SEED, 1)
    if started is not None:
        run_reference(storage, started, corpus, deadline=Deadline(ends_at), on_progress=lambda *_: None)
    return started is not None


def test_the_reference_is_the_lectures_recipe():
    recipe = REFERENCE.suggest(None)
    assert (recipe.model.context_length, recipe.model.embedding_size, recipe.model.hidden_width) == (3, 10, 200)
    assert recipe.model.init == "normal"
    assert (recipe.batch_size, recipe.optimizer.kind, recipe.optimizer.learning_rate) == (32, "sgd", 0.1)
    assert recipe.schedule == Step(at=0.5, factor=0.1)
    assert recipe.budget == Budget(steps=200_000)


def test_a_reference_is_trained_once_and_kept_with_its_weights(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    assert is_reference(key)
    assert corpus.fingerprint[:8] in key
    assert not reference_is_settled(storage, key)
    assert run_once(storage, corpus, key, short_recipe())
    assert not run_once(storage, corpus, key, short_recipe())
    record = stored_reference(storage, key)
    assert record is not None
    assert record.weights_artifact is not None
    assert reference_is_settled(storage, key)


def test_a_reference_is_the_mean_of_its_seeds_each_kept_with_its_weights(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    run_once(storage, corpus, key, short_recipe())
    record = stored_reference(storage, key)
    assert record is not None
    assert len({run.seed for run in record.seeds}) == REFERENCE_RUNS == 5
    assert record.dev_nats == pytest.approx(statistics.fmean(run.dev_nats for run in record.seeds))
    assert record.curve[-1].dev_nats == record.dev_nats
    assert record.gap == pytest.approx(record.dev_nats - record.train_nats)
    for run in record.seeds:
        model, facts = restore(storage.kept_file(run.weights_artifact))
        assert facts["config"]["seed"] == run.seed
        assert split_nats(model, corpus.counts("dev", 3)) == run.dev_nats
    assert record.gap_error is None  # the error is of one set of weights
    assert record.evidence["ngram_nats"] == best_counted(corpus, 3).dev_nats
    lowest, highest = (f"{end(run.dev_nats for run in record.seeds):.4f}" for end in (min, max))
    assert record.dev_spread == f"mean of 5 seeds from {lowest} to {highest}"


def test_a_reference_that_was_stopped_is_requeued_and_trained_later(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    assert run_once(storage, corpus, key, short_recipe(), ends_at=0)
    assert [record.status for record in storage.trials(key)] == ["interrupted"]
    assert not reference_is_settled(storage, key)
    assert run_once(storage, corpus, key, short_recipe())
    assert reference_is_settled(storage, key)


def test_a_reference_that_diverged_is_settled_and_none_is_shown(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    hot = short_recipe()
    hot = hot.model_copy(update={"optimizer": hot.optimizer.model_copy(update={"learning_rate": 1e6})})
    assert run_once(storage, corpus, key, hot)
    assert reference_is_settled(storage, key)
    assert stored_reference(storage, key) is None


def test_without_a_reference_there_is_nothing_to_wait_for(tmp_path: Path):
    storage, _, _ = begun(tmp_path)
    assert reference_is_settled(storage, None)
    assert stored_reference(storage, None) is None


def test_a_reference_deleted_in_the_dashboard_is_trained_again(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    run_once(storage, corpus, key, short_recipe())
    optuna.delete_study(study_name=key, storage=storage.backend)
    facts = CorpusFacts.of(corpus, by_default=False)
    assert start_reference(storage, corpus, facts) == (key, False)
    assert run_once(storage, corpus, key, short_recipe())
    assert start_reference(storage, corpus, facts) == (key, True)


def test_a_reference_of_version_0_3_0_is_found_under_the_fingerprint_of_the_files_bytes(tmp_path: Path):
    items = write_items(tmp_path / "items.txt")
    items.write_bytes(items.read_bytes() + b"\n")
    corpus, storage = load(str(items)), open_storage(create=True)
    today, over_bytes = reference_keys(corpus)
    assert corpus.fingerprint[:8] in today
    facts = CorpusFacts.of(corpus, by_default=False)
    key, _ = start_reference(storage, corpus, facts)
    record = storage.study(key)
    assert record is not None
    optuna.delete_study(study_name=key, storage=storage.backend)
    storage.create_study(record.model_copy(update={"key": over_bytes}))
    assert start_reference(storage, corpus, facts) == (over_bytes, False)
