"""A search in the present process: what a notebook defines, no other process can load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
import torch

from harness.search.events import Job, OnEvent
from harness.search.request import Request
from harness.search.session import Session, search
from harness.search.trial import Deadline
from harness.search.workers import Worker, put_back
from harness.store.provenance import this_process
from harness.store.storage import Storage
from harness.study.definition import Study


def work_here(study: Study, job: Job, storage: Storage, on_event: OnEvent) -> None:
    """Run a job in this process, with a study that needs no file.

    Raises:
        TrialsFailed: the trials failed all alike from the start.
        KeyboardInterrupt: passed on, after the trial in flight was put back.
    """
    try:
        Worker(job, 0, on_event, Deadline(job.ends_at), study).work()
    except BaseException:
        put_back(job, storage, this_process())
        raise


def run_here(study: Study, request: Request, on_ready: Callable[[Session], None], on_event: OnEvent) -> Session:
    """`run_study` with a study at hand and no worker processes.

    Raises:
        HarnessError: one line that says the rule, the value and the way out.
        KeyboardInterrupt: passed on, after the trial in flight was put back.
    """

    def run(job: Job, _workers: int, storage: Storage, on_event: OnEvent) -> None:
        work_here(study, job, storage, on_event)

    with _one_thread(), quiet():
        return search(study, "", request, on_ready, on_event, run)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As workers have: the bits of a run depend on their number. Afterwards as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says nothing of what it does; afterwards as much as before."""
    words = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(words)
