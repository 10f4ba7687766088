"""The engine that runs workers as local processes, each with a pipe to the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from harness.errors import HarnessError, StudyError, TrialsFailed, first_line
from harness.search.events import Event, Job, OnEvent
from harness.search.trial import Deadline
from harness.search.trial_queue import counts_of
from harness.search.workers import Worker, is_done, requeue_trials_of
from harness.store.quiet import quiet_optuna
from harness.store.storage import Storage
from harness.train.threads import one_thread

GRACE_S = 5.0
"""Time for workers to requeue their trials once the time is up or they are told to stop."""
_MOST_DEATHS = 10
"""Workers that may die in a row, with no trial finished in between, before no more are started."""


def worker_main(job: Job, index: int, pipe: Connection) -> None:
    """The main function of a worker process."""
    deadline = Deadline(job.ends_at)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which stops its workers
    signal.signal(signal.SIGTERM, lambda *_: setattr(deadline, "stop_requested", True))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with one_thread(), quiet_optuna():  # one thread, because other trials run at the same time
            Worker(job, index, pipe.send, deadline).work()
    except TrialsFailed as error:
        pipe.send(Event(index, "hopeless", text=str(error)))
    except HarnessError as error:
        pipe.send(Event(index, "refused", text=str(error)))
    except Exception as error:  # the parent shows it in one line and starts a new worker
        pipe.send(Event(index, "error", text=f"{type(error).__name__}: {first_line(error)[:200]}"))
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """End this worker if its parent is killed, so that it does not continue training."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run_workers(job: Job, count: int, storage: Storage, on_event: OnEvent) -> None:
    """Run a job on `count` processes until it is done or its time is up.

    If a worker dies, its trial is requeued and a new worker is started at once.

    Raises:
        TrialsFailed: trials failed from the start, and none finished.
        StudyError: a worker refused to work, or workers kept ending.
        KeyboardInterrupt: passed on after the workers have requeued their trials.
    """
    pool = _Pool(job, count, storage, on_event)
    try:
        pool.watch()
    finally:
        pool.stop()
    if pool.hopeless:
        raise TrialsFailed(pool.hopeless)
    if pool.refused:
        raise StudyError(pool.refused)
    if not (is_done(job, storage, counts_of(storage, job.key)) or pool.has_timed_out or time.time() >= job.ends_at):
        raise StudyError(
            f"workers must run until the search ends; they stopped early ({pool.last_error}). "
            "Fix the cause; make study then resumes."
        )


class _Pool:
    """The workers of a job, watched from the process that started them."""

    def __init__(self, job: Job, count: int, storage: Storage, on_event: OnEvent) -> None:
        self.job, self.storage, self.on_event = job, storage, on_event
        self.context = multiprocessing.get_context("spawn")
        self.hopeless = ""
        self.refused = ""
        self.last_error = ""
        self.has_timed_out = False
        """Whether a worker ended by itself without an error, because its time was up."""
        self.deaths = 0
        self.failed: set[int] = set()
        self.alive: dict[int, tuple[BaseProcess, Connection]] = {}
        for index in range(count):
            self._start(index)

    def _start(self, index: int) -> None:
        # One pipe each: killing a process can leave a shared queue locked for all others.
        ours, theirs = self.context.Pipe(duplex=False)
        job = replace(self.job, sent_at=time.time())
        process = self.context.Process(target=worker_main, args=(job, index, theirs), daemon=True)
        process.start()
        theirs.close()
        self.alive[index] = (process, ours)

    def watch(self) -> None:
        while self.alive and not (self.hopeless or self.refused) and time.time() < self.job.ends_at + GRACE_S:
            self._listen(timeout=0.2)

    def stop(self) -> None:
        """Stop the workers that are alive, kill those that do not stop, and requeue what was running."""
        for process, _ in self.alive.values():
            process.terminate()
        until = time.time() + GRACE_S
        while self.alive and time.time() < until:
            self._listen(timeout=0.1, restart=False)
        for process, _ in self.alive.values():
            process.kill()
            process.join()
        self._requeue()

    def _listen(self, timeout: float, restart: bool = True) -> None:
        """Pass on what the workers report, and handle those that have ended."""
        pipes = {pipe: index for index, (_, pipe) in self.alive.items()}
        for pipe in wait(list(pipes), timeout):
            assert isinstance(pipe, Connection)
            index = pipes[pipe]
            try:
                event: Event = pipe.recv()
            except (EOFError, OSError):
                self._ended(index, restart)
                continue
            if event.kind == "hopeless":
                self.hopeless = event.text
            elif event.kind == "refused":
                self.refused = event.text
            elif event.kind == "error":
                self.last_error = event.text
                self.failed.add(index)
            elif event.kind == "finished":
                self.deaths = 0
            self.on_event(event)

    def _ended(self, index: int, restart: bool) -> None:
        process, pipe = self.alive.pop(index)
        pipe.close()
        process.join()
        if process.exitcode == 0:
            self.has_timed_out = self.has_timed_out or index not in self.failed
            return
        self._requeue()
        self.deaths += 1
        text = f"worker {index} ended with exit code {process.exitcode}"
        self.last_error = self.last_error or text
        self.on_event(Event(index, "died", text=text))
        if restart and self.deaths < _MOST_DEATHS:
            self.job = self.job.reserving(self.storage.trials(self.job.key))
            self._start(index)

    def _requeue(self) -> None:
        requeue_trials_of(self.job, self.storage)
