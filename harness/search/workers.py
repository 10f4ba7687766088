"""Workers, a process each or the present one: each takes trials until there are no more, and says what it does."""

from __future__ import annotations

import time
from dataclasses import replace

from harness.corpus import Corpus, load
from harness.search.events import Event, Job, OnEvent
from harness.search.finalists import round_study
from harness.search.reference import REFERENCE, REFERENCE_SEED, is_settled, run_reference
from harness.search.request import with_named
from harness.search.trial import Deadline, run_trial
from harness.search.trial_queue import gate, search_is_complete, start_trial, take_back_orphans
from harness.store.provenance import Owner
from harness.store.storage import Storage, open_storage
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study
from harness.study.load import load_study

_IDLE = 0.25


class Worker:
    def __init__(self, job: Job, index: int, say: OnEvent, deadline: Deadline, study: Study | None = None) -> None:
        self.job, self.index, self.say, self.deadline = job, index, say, deadline
        self.storage: Storage = open_storage(job.storage)
        self.study = with_named(study or load_study(job.study_file)[0], job.sampler, job.pruner)
        if job.finalists_of is not None:
            self.study = round_study(self.storage, job.finalists_of, self.study)
        self.corpus: Corpus = load(job.corpus)

    def work(self) -> None:
        """The reference first, if it falls to this worker; then trials; then wait for what others have running."""
        job, idle = self.job, False
        if job.reference is not None and self.index == 0:
            self._one(REFERENCE, job.reference, REFERENCE_SEED, 1)
        while not self._time_is_up():
            if self._one(self.study, job.key, job.seed, job.target):
                idle = False
                continue
            if search_is_complete(self.storage, job.key, job.target) and is_settled(self.storage, job.reference):
                return
            # What is running elsewhere may yet fail and come back.
            if not idle:
                self.say(Event(self.index, "idle"))
            idle = True
            time.sleep(_IDLE)
            if job.reference is not None:
                self._one(REFERENCE, job.reference, REFERENCE_SEED, 1)

    def _time_is_up(self) -> bool:
        if self.job.kept_back is not None:
            self.deadline.at = self.job.ends_at - self.job.kept_back.seconds(self.storage.trials(self.job.key))
        return self.deadline.passed()

    def _one(self, study: Study, key: str, seed: int, target: int | None) -> bool:
        """Take one trial of a study and run it; False if none is to be had."""
        started = start_trial(self.storage, study, key, seed, target)
        if started is None:
            return False
        began = Event(self.index, "started", started.record.number, text=_in_short(started.record))
        if study is REFERENCE:
            began = replace(began, what="reference")
        elif self.job.finalists_of is not None:
            began = replace(began, what="finalist", trial=started.record.params.get("trial"))
        self.say(began)

        def on_progress(share: float, dev_nats: float) -> None:
            self.say(replace(began, kind="progress", share=share, dev_nats=dev_nats))

        if study is REFERENCE:
            record = run_reference(self.storage, started, self.corpus, self.deadline, on_progress)
        else:
            keep_all = self.job.finalists_of is not None or bool(study.first)
            record = run_trial(
                self.storage, started, self.corpus, study.build, self.deadline, on_progress, keep_all=keep_all
            )
        self.say(replace(began, kind="finished", record=record, dev_nats=record.dev_nats))
        return True


def _in_short(record: TrialRecord) -> str:
    if record.config is None:
        return ""
    c = record.config
    return (
        f"E{c.model.embedding_size} H{c.model.hidden_width} T{c.model.context_length} "
        f"B{c.batch_size} {c.optimizer.kind} {c.optimizer.learning_rate:.1e} {c.schedule.kind}"
    )


def put_back(job: Job, storage: Storage, owner: Owner | None = None) -> None:
    """Queue again what dead workers had in flight, and what this owner has."""
    for key in filter(None, (job.key, job.reference)):
        with gate(key):
            take_back_orphans(storage, storage.optuna_study(key), owner=owner)
