"""A study of four trials, one for each way a trial can end; training takes a moment."""

from __future__ import annotations

import shutil
from tempfile import TemporaryDirectory

import optuna
from optuna.pruners import BasePruner

from harness import SGD, Budget, Constant, Corpus, ModelConfig, Study, TrainConfig, paths
from harness.search.trial import Deadline, run_trial
from harness.search.trial_queue import start_trial
from harness.store.storage import Storage, open_storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.settings import Settings

KEY = "four-ways-small"
COMPLETE, PRUNED, DIVERGED, FAILED = range(4)
"""Numbers of the trials, by how they end."""


class _PruneOne(BasePruner):
    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
        return trial.number == PRUNED and len(trial.intermediate_values) == 2


def _suggest(trial: optuna.Trial) -> TrainConfig:
    low, high = (900, 1000) if trial.number == DIVERGED else (0.1, 0.2)
    if trial.number == FAILED:
        raise ValueError("no config | for this one")
    return TrainConfig(
        model=ModelConfig(embedding_size=4, hidden_width=16, context_length=3),
        optimizer=SGD(learning_rate=trial.suggest_float("learning_rate", low, high)),
        schedule=Constant(),
        batch_size=32,
        budget=Budget(steps=200),
        evaluations=5,
    )


STUDY = Study(name="four-ways", suggest=_suggest, pruner=lambda _: _PruneOne(), trials=4)


_searched: dict[str, TemporaryDirectory[str]] = {}
"""Results folders with the finished study, by corpus; each is made once and removed at exit."""


def search_four_ways(corpus: Corpus) -> Storage:
    """Put the finished study into this test's project; returns the storage it is in."""
    results = paths.results_folder()
    if corpus.fingerprint not in _searched:
        _search(corpus)
        kept = _searched[corpus.fingerprint] = TemporaryDirectory()
        shutil.copytree(results, kept.name, dirs_exist_ok=True)
    shutil.copytree(_searched[corpus.fingerprint].name, results, dirs_exist_ok=True)
    return open_storage()


def _search(corpus: Corpus) -> None:
    storage = open_storage(create=True)
    record = StudyRecord(
        key=KEY, name=STUDY.name, file="", corpus=CorpusFacts.of(corpus, by_default=False),
        settings=Settings(trials=4, seed=0), space={}, sampler="TPESampler", pruner="",
        created="2026-01-01 00:00:00", commit=None,
    )  # fmt: skip
    storage.create_study(record)
    for _ in range(4):
        started = start_trial(storage, STUDY, KEY, 0, 4)
        assert started is not None
        run_trial(storage, started, corpus, STUDY.build, deadline=Deadline(2.0e12), on_progress=lambda *_: None)


def trial_of(storage: Storage, number: int) -> TrialRecord:
    record = storage.trial(KEY, number)
    assert record is not None
    return record
