"""The engine that runs a study in this process, because no other process can load what a notebook defines."""

from __future__ import annotations

from collections.abc import Callable

from harness.search.events import Job, OnEvent
from harness.search.request import Request
from harness.search.session import Session, search
from harness.search.trial import Deadline
from harness.search.workers import Worker, requeue_trials_of
from harness.store.provenance import this_process
from harness.store.quiet import quiet_optuna
from harness.store.storage import Storage
from harness.study.definition import Study
from harness.train.threads import one_thread


def run_in_process(study: Study, request: Request, on_ready: Callable[[Session], None], on_event: OnEvent) -> Session:
    """`run_study` for a study object, without worker processes.

    Raises:
        HarnessError: one line that states the rule, the value and the fix.
        KeyboardInterrupt: passed on after the running trial was requeued.
    """

    def run(job: Job, _workers: int, storage: Storage, on_event: OnEvent) -> None:
        work(study, job, storage, on_event)

    with one_thread(), quiet_optuna():
        return search(study, request, file="", on_ready=on_ready, on_event=on_event, run=run)


def work(study: Study | None, job: Job, storage: Storage, on_event: OnEvent) -> None:
    """Run a job in this process.

    Args:
        study: None to load it from its file.

    Raises:
        TrialsFailed: trials failed from the start, and none finished.
        KeyboardInterrupt: passed on after the running trial was requeued.
    """
    try:
        Worker(job, 0, on_event, Deadline(job.ends_at), study).work()
    except BaseException:
        requeue_trials_of(job, storage, this_process())
        raise
