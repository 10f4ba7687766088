"""How trials start, end, fail, are requeued and run again, in one process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import TrialState
from torch import nn

from harness import Autograd, Corpus, TrainConfig, load
from harness.errors import TrialsFailed
from harness.search.trial import Deadline, run_trial
from harness.search.trial_queue import queue_lock, requeue_orphans, start_trial
from harness.store.provenance import Owner, this_process
from harness.store.storage import Storage, open_storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import TrialRecord, best_trial, finite, thinned
from harness.store.weights import restore
from harness.study.definition import Study
from harness.study.load import load_study
from harness.study.settings import Settings
from harness.train import best_counted, split_nats, train
from tests.tiny_study import write_items, write_study

DEAD = Owner(host=this_process().host, pid=2**22 + 1, started=0.0)
FAR = 2.0e12


class Bench:
    """A study started in a new project; its trials run on request."""

    def __init__(self, folder: Path, **study: object) -> None:
        write_study(**study)
        self.study: Study = load_study("tiny")[0]
        self.corpus: Corpus = load(str(write_items(folder / "items.txt")))
        self.storage: Storage = open_storage(create=True)
        self.key = "tiny-items"
        facts = CorpusFacts(
            spec="items", label="items", variant="canonical", fingerprint="f", items={}, examples={}, by_default=False
        )
        self.storage.create_study(
            StudyRecord(
                key=self.key, name="tiny", file="", corpus=facts, settings=Settings(trials=9, seed=7), space={},
                sampler="", pruner="", created="", commit=None,
            )
        )  # fmt: skip

    def start(self, target: int = 9):
        return start_trial(self.storage, self.study, self.key, 7, target)

    def one(self, deadline: float = FAR) -> TrialRecord:
        started = self.start()
        assert started is not None
        study, ends = self.study, Deadline(deadline)
        return run_trial(self.storage, started, self.corpus, study.build, deadline=ends, on_progress=lambda *_: None)

    def optuna(self) -> list[optuna.trial.FrozenTrial]:
        return self.storage.optuna_study(self.key).get_trials()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_complete_trial_is_recorded_with_curve_losses_and_verdict(bench: Bench):
    record = bench.one()
    assert record.status == "complete"
    assert [point.step for point in record.curve] == [10, 20, 30, 40]
    assert record.dev_nats == record.curve[-1].dev_nats
    assert record.gap == pytest.approx(record.dev_nats - record.train_nats)
    assert record.verdict is not None
    assert record.evidence["gap_error"] == record.gap_error > 0
    assert record.evidence["ngram_nats"] == best_counted(bench.corpus, 2).dev_nats
    assert record == bench.storage.trial(bench.key, 0)


def test_optuna_gets_the_dev_loss_and_shows_only_short_scalars(bench: Bench):
    record = bench.one()
    (trial,) = bench.optuna()
    assert trial.value == record.dev_nats
    assert trial.intermediate_values.keys() == {25, 50, 75, 100}
    shown = {"seed", "status", "verdict", "train_nats", "gap", "mixed_nats", "parameters", "seconds", "steps_per_s"}
    assert set(trial.user_attrs) == shown
    assert all(len(str(value)) < 30 for value in trial.user_attrs.values())


def test_the_stored_weights_of_the_best_trial_score_what_the_record_says(bench: Bench):
    record = bench.one()
    model, facts = restore(bench.storage.kept_file(record.weights_artifact))
    assert split_nats(model, bench.corpus.counts("dev", 2)) == record.dev_nats == facts["dev_nats"]
    assert facts["vocabulary"] == list(bench.corpus.vocabulary)


def test_only_a_trial_better_than_all_before_keeps_its_weights(bench: Bench):
    records = [bench.one() for _ in range(6)]
    so_far = [min(r.dev_nats for r in records[: i + 1]) for i in range(6)]
    assert [r.weights_artifact is not None for r in records] == [
        r.dev_nats == s for r, s in zip(records, so_far, strict=True)
    ]


def test_each_trial_has_its_own_training_seed_derived_from_the_studys(bench: Bench):
    seeds = [bench.one().seed for _ in range(3)]
    assert len(set(seeds)) == 3
    assert all(record.config.seed == record.seed for record in bench.storage.trials(bench.key))


def test_no_trial_starts_beyond_the_target(bench: Bench):
    assert bench.start(target=2) is not None
    assert bench.start(target=2) is not None
    assert bench.start(target=2) is None


def test_a_trial_whose_worker_died_is_requeued_with_its_parameters_and_seed(bench: Bench):
    started = bench.start()
    bench.storage.write_trial(bench.key, started.record.model_copy(update={"owner": DEAD}))
    again = bench.start()
    assert again.record.params == started.record.params
    assert again.record.seed == started.record.seed
    assert (again.record.number, again.record.root, again.record.attempt) == (1, 0, 0)
    assert bench.storage.trial(bench.key, 0).status == "interrupted"
    assert bench.optuna()[0].state == TrialState.FAIL
    assert bench.optuna()[0].user_attrs["status"] == "interrupted"


def test_a_trial_killed_before_it_had_an_owner_does_not_fill_the_quota(bench: Bench):
    bench.storage.optuna_study(bench.key).ask()
    assert bench.start(target=1) is not None
    assert bench.optuna()[0].state == TrialState.FAIL


def test_a_running_trial_of_a_living_worker_is_left_alone(bench: Bench):
    bench.start()
    with queue_lock(bench.key):
        assert requeue_orphans(bench.storage, bench.storage.optuna_study(bench.key)) == []


def test_a_trial_that_ran_out_of_time_is_requeued_and_reproduces_its_twin(bench: Bench):
    cut = bench.one(deadline=0.0)
    assert cut.status == "interrupted"
    assert len(cut.curve) == 1
    full = bench.one()
    assert (full.root, full.seed, full.params) == (0, cut.seed, cut.params)
    assert full.curve[0].dev_nats == cut.curve[0].dev_nats


def _fails(*_: object) -> Autograd:
    raise RuntimeError("no such luck")


def test_a_failing_trial_keeps_its_reason_and_is_tried_three_times_in_all(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.study = dataclasses.replace(bench.study, build=_fails)
    records = [bench.one() for _ in range(4)]
    assert {record.failure for record in records} == {"RuntimeError: no such luck"}
    assert [record.status for record in records] == ["failed"] * 4
    assert [record.attempt for record in records] == [0, 1, 2, 0]
    assert [record.root for record in records] == [None, 0, 0, None]
    assert len({record.seed for record in records[:3]}) == 1


def test_trials_that_all_fail_for_the_same_reason_end_the_study(tmp_path: Path):
    bench = Bench(tmp_path, first="raise RuntimeError('no such luck')")
    for _ in range(3):  # suggest() fails alike if it is asked again, so none is repeated
        bench.one()
    with pytest.raises(TrialsFailed, match="first 3 trials failed, the last with 'RuntimeError: no such luck'"):
        bench.one()
    assert TrialsFailed.exit_code == 1


def test_failures_that_differ_only_in_numbers_count_as_the_same(tmp_path: Path):
    bench = Bench(tmp_path, first="raise RuntimeError(f'shapes do not fit: [{trial.number}, 3]')")
    for _ in range(3):
        bench.one()
    with pytest.raises(TrialsFailed, match=r"shapes do not fit: \[2, 3\]"):
        bench.one()


def test_a_trial_owned_under_another_host_name_is_requeued_once_nobody_else_can_run_it(bench: Bench):
    started = bench.start()
    elsewhere = DEAD.model_copy(update={"host": "renamed-since"})
    bench.storage.write_trial(bench.key, started.record.model_copy(update={"owner": elsewhere}))
    study = bench.storage.optuna_study(bench.key)
    with queue_lock(bench.key):
        assert requeue_orphans(bench.storage, study) == []
        assert requeue_orphans(bench.storage, study, all_running=True) == [0]


def test_a_module_that_draws_from_torchs_global_generator_is_rerun_to_the_same_bits(tmp_path: Path):
    def build(config: TrainConfig, vocabulary_size: int, _: torch.Generator) -> Autograd:
        embedding = nn.Embedding(vocabulary_size, 4)
        return Autograd(
            nn.Sequential(embedding, nn.Flatten(), nn.Linear(4 * config.model.context_length, vocabulary_size))
        )

    bench = Bench(tmp_path)
    bench.study = dataclasses.replace(bench.study, build=build)
    records = [bench.one() for _ in range(3)]
    for record in records:
        again = train(record.config, bench.corpus, build=build)
        assert again.dev_nats == record.dev_nats


def test_of_equal_losses_the_trial_whose_weights_were_kept_is_best():
    trials = [
        TrialRecord(number=0, seed=0, status="complete", dev_nats=2.0),
        TrialRecord(number=1, seed=0, status="complete", dev_nats=2.0, weights_artifact="kept"),
        TrialRecord(number=2, seed=0, status="pruned", dev_nats=1.0, weights_artifact="kept"),
    ]
    assert best_trial(trials) == trials[1]
    assert best_trial([]) is None


def test_a_diverged_trial_is_reported_to_optuna_as_pruned(tmp_path: Path):
    bench = Bench(tmp_path)
    config = bench.study.suggest(optuna.create_study().ask())
    hot = config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"learning_rate": 1e4})})
    bench.study = dataclasses.replace(bench.study, suggest=lambda _: hot)
    record = bench.one()
    assert (record.status, record.verdict) == ("diverged", "diverged")
    assert record.curve
    assert bench.optuna()[0].state == TrialState.PRUNED
    assert bench.optuna()[0].user_attrs["status"] == "diverged"


def test_a_pruned_trial_keeps_its_curve_and_has_no_verdict(tmp_path: Path):
    bench = Bench(tmp_path)
    pruner = optuna.pruners.ThresholdPruner(upper=0.0)
    bench.study = dataclasses.replace(bench.study, pruner=lambda _: pruner)
    record = bench.one()
    assert (record.status, record.verdict, len(record.curve)) == ("pruned", None, 1)
    assert record.gap_error is None
    assert "ngram_nats" not in record.evidence
    assert bench.optuna()[0].state == TrialState.PRUNED


def test_a_number_that_is_not_finite_is_stored_as_null():
    assert [finite(value) for value in (1.5, float("nan"), float("inf"), "text", 3)] == [1.5, None, None, "text", 3]


def test_a_long_curve_is_thinned_to_fifty_points_that_end_with_the_last():
    thin = thinned(list(range(1, 1001)))
    assert len(thin) == 50
    assert thin[-1] == 1000
    assert thinned([1, 2, 3]) == [1, 2, 3]
