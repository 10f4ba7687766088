"""A worker: it takes trials until none are left, and reports what it does."""

from __future__ import annotations

import time
from dataclasses import replace

from harness.corpus import Corpus
from harness.search.events import Event, Job, OnEvent
from harness.search.finalists import round_study
from harness.search.reference import REFERENCE, REFERENCE_SEED, reference_is_settled, run_reference
from harness.search.request import with_settings
from harness.search.resume import check_dependencies, join_segment
from harness.search.trial import Deadline, run_trial
from harness.search.trial_queue import Counts, counts_of, queue_lock, requeue_orphans, start_trial
from harness.store.provenance import Owner, now
from harness.store.storage import Storage, open_storage
from harness.store.trial_record import TrialRecord
from harness.study.definition import Study
from harness.study.load import load_study, sources_of
from harness.study.space import space_of

_IDLE_S = 0.25


class Worker:
    """Runs the trials of a job, one after another.

    Args:
        report: called with everything the worker does.
        study: the study itself, if no file defines it.

    Raises:
        StudyError: corpus or study are not those of the job: a file was edited while the study ran.
    """

    def __init__(self, job: Job, index: int, report: OnEvent, deadline: Deadline, study: Study | None = None) -> None:
        self.job, self.index, self.report, self.deadline = job, index, report, deadline
        self.storage: Storage = open_storage(job.settings.storage)
        self.study = with_settings(study or load_study(job.study_file)[0], job.settings)
        self.corpus: Corpus = job.corpus.load()
        check_dependencies(job.dependencies, self.study, space_of(self.study), self.corpus, job.since)
        self.segment = self._segment()
        if job.finalists_of is not None:
            self.study = round_study(self.storage, job.finalists_of, self.study)
        if job.reserve is not None and job.sent_at is not None:
            # Twice what this worker needed to start: to end takes some seconds too.
            self.job = replace(job, reserve=job.reserve._replace(start_s=2 * (time.time() - job.sent_at)))
        self.deadline.at = job.ends_at - job.reserve_s
        self._has_tried_reference = False
        self._finished = 0
        """Trials that were finished when the reserve was last computed."""

    def _segment(self) -> int:
        """Number of the segment of this worker's trials: a new one if the study file was edited meanwhile."""
        sources = sources_of(self.study, self.job.study_file)
        if sources == self.job.sources:
            return self.job.segment
        key = self.job.finalists_of or self.job.key
        return join_segment(
            self.storage, key, lambda last: last.model_copy(update={"since": now(), "sources": sources})
        )

    def work(self) -> None:
        """The reference first, if this worker trains it; then trials; then wait for what runs elsewhere."""
        is_idle = False
        if self.index == 0 and self._run_reference():
            self._keep_reserve()
        while not self.deadline.passed():
            if self._run_next(self.study, self.job.key, self.job.settings.seed or 0, self.job.target):
                is_idle = False
                self._keep_reserve()
                continue
            if self._is_done():
                return
            # A trial that runs elsewhere may fail and come back.
            if not is_idle:
                self.report(Event(self.index, "idle"))
            is_idle = True
            time.sleep(_IDLE_S)
            self._run_reference()

    def _run_reference(self) -> bool:
        """Train the reference if nobody else does; False if there is nothing to train."""
        if self.job.reference is None:
            return False
        # A reference that failed too often would be drawn again. At the start the job says that it is not settled.
        if self._has_tried_reference and reference_is_settled(self.storage, self.job.reference):
            return False
        self._has_tried_reference = True
        return self._run_next(REFERENCE, self.job.reference, REFERENCE_SEED, 1)

    def _is_done(self) -> bool:
        counts = counts_of(self.storage, self.job.key)
        if counts.finished != self._finished:
            self._finished = counts.finished
            self._keep_reserve()
        return is_done(self.job, self.storage, counts)

    def _keep_reserve(self) -> None:
        """Move the deadline so that the finalists of the trials so far can still be trained."""
        if self.job.reserve is not None:
            self.deadline.at = self.job.ends_at - self.job.reserve.seconds(self.storage.trials(self.job.key))

    def _run_next(self, study: Study, key: str, seed: int, target: int | None) -> bool:
        """Take one trial of a study and run it; False if there is none to take."""
        started = start_trial(self.storage, study, key, seed, target, segment=self.segment)
        if started is None:
            return False
        event = Event(self.index, "started", started.record.number, text=_summary(started.record))
        if study is REFERENCE:
            event = replace(event, what="reference")
        elif self.job.finalists_of is not None:
            event = replace(event, what="finalist", trial=started.record.params.get("trial"))
        self.report(event)

        def on_progress(share: float, dev_nats: float) -> None:
            self.report(replace(event, kind="progress", share=share, dev_nats=dev_nats))

        if study is REFERENCE:
            record = run_reference(self.storage, started, self.corpus, deadline=self.deadline, on_progress=on_progress)
        else:
            record = run_trial(
                self.storage,
                started,
                self.corpus,
                study.build,
                deadline=self.deadline,
                on_progress=on_progress,
                objective=self.job.objective,
                keep_all=self.job.finalists_of is not None or bool(study.first),
            )
        self.report(replace(event, kind="finished", record=record, dev_nats=record.dev_nats))
        return True


def _summary(record: TrialRecord) -> str:
    if record.config is None:
        return ""
    c = record.config
    extra = "".join(f" {name}={value}" for name, value in c.model.extra.items())
    second = f"+{c.model.second_width}" if c.model.second_width else ""
    direct = " direct" if c.model.direct_connections else ""
    return (
        f"E{c.model.embedding_size} H{c.model.hidden_width}{second}{direct} T{c.model.context_length} "
        f"B{c.batch_size} {c.optimizer.kind} {c.optimizer.learning_rate:.1e} {c.schedule.kind}{extra}"
    )


def requeue_trials_of(job: Job, storage: Storage, owner: Owner | None = None) -> None:
    """Requeue the job's trials whose workers are dead, and those of this owner."""
    for key in filter(None, (job.key, job.reference)):
        with queue_lock(key):
            requeue_orphans(storage, storage.optuna_study(key), owner=owner)


def is_done(job: Job, storage: Storage, counts: Counts) -> bool:
    """Whether the job has reached its target and its reference is settled."""
    return counts.reach(job.target) and reference_is_settled(storage, job.reference)
