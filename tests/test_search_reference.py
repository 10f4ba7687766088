"""The lecture's recipe beside the searches: once per corpus, shared, and nothing to wait for once it has run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness import Budget, Corpus, Step, TrainConfig, lecture_recipe, load
from harness.search.gate import start_trial
from harness.search.records import CorpusFacts
from harness.search.reference import (
    REFERENCE,
    REFERENCE_SEED,
    begin_reference,
    is_reference,
    is_settled,
    stored_reference,
)
from harness.search.storage import Storage, open_storage
from harness.search.trial import Deadline, run_trial
from tests.support import write_items


def short_recipe() -> TrainConfig:
    """A minute's run in milliseconds: the plain initialisation would need its 200,000 steps to come below log V."""
    recipe = lecture_recipe()
    model = recipe.model.model_copy(update={"init": "scaled"})
    return recipe.model_copy(update={"model": model, "budget": Budget(steps=60), "evaluations": 3})


def begun(tmp_path: Path) -> tuple[Storage, Corpus, str]:
    corpus, storage = load(str(write_items(tmp_path / "items.txt"))), open_storage(create=True)
    facts = CorpusFacts(
        spec="", label="items", variant="canonical", fingerprint="f", items={}, examples={}, by_default=False
    )
    key = begin_reference(storage, corpus, facts)
    assert begin_reference(storage, corpus, facts) == key  # a second study finds it there
    return storage, corpus, key


def run_once(storage: Storage, corpus: Corpus, key: str, recipe: TrainConfig) -> bool:
    study = dataclasses.replace(REFERENCE, suggest=lambda _: recipe)
    started = start_trial(storage, study, key, REFERENCE_SEED, 1)
    if started is not None:
        run_trial(storage, started, corpus, study.build, Deadline(2e12), lambda *_: None)
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
    assert not is_settled(storage, key)
    assert run_once(storage, corpus, key, short_recipe())
    assert not run_once(storage, corpus, key, short_recipe())
    record = stored_reference(storage, key)
    assert record is not None
    assert record.weights is not None
    assert is_settled(storage, key)


def test_a_reference_that_diverged_is_settled_and_none_is_shown(tmp_path: Path):
    storage, corpus, key = begun(tmp_path)
    hot = short_recipe()
    hot = hot.model_copy(update={"optimizer": hot.optimizer.model_copy(update={"learning_rate": 1e6})})
    assert run_once(storage, corpus, key, hot)
    assert is_settled(storage, key)
    assert stored_reference(storage, key) is None


def test_without_a_reference_there_is_nothing_to_wait_for(tmp_path: Path):
    storage, _, _ = begun(tmp_path)
    assert is_settled(storage, None)
    assert stored_reference(storage, None) is None
