"""A search in the present process: what a notebook defines, no other process can load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
import torch

from harness.search.request import Request
from harness.search.session import Session, search
from harness.search.storage import Storage
from harness.search.study import Study
from harness.search.workers import Job, OnEvent, work_here


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
