"""Workers as local processes, each with a pipe to the parent that watches them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import optuna
import torch

from harness.errors import HarnessError, StudyError, TrialsFailed, first_line
from harness.search.events import Event, Job, OnEvent
from harness.search.reference import is_settled
from harness.search.trial import Deadline
from harness.search.trial_queue import search_is_complete
from harness.search.workers import Worker, put_back
from harness.store.storage import Storage

GRACE = 5.0
"""Seconds that workers get to put their trials back once the time is up or they are told to stop."""
_MOST_DEATHS = 10
"""So many workers may end unasked, one after another, without a trial finished in between."""


def worker_main(job: Job, index: int, pipe: Connection) -> None:
    """The whole life of a worker process."""
    deadline = Deadline(job.ends_at)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which tells its workers
    signal.signal(signal.SIGTERM, lambda *_: setattr(deadline, "told", True))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # One thread each: trials run side by side, and the bits of a run depend on the thread count.
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        Worker(job, index, pipe.send, deadline).work()
    except TrialsFailed as error:
        pipe.send(Event(index, "hopeless", text=str(error)))
    except HarnessError as error:
        pipe.send(Event(index, "error", text=str(error)))
    except Exception as error:  # the parent prints it in one line; the next worker starts afresh
        pipe.send(Event(index, "error", text=f"{type(error).__name__}: {first_line(error)[:200]}"))
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """A worker whose parent was killed must not train on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run_workers(job: Job, count: int, storage: Storage, on_event: OnEvent) -> None:
    """Run a job on `count` processes until it is done or its time is up.

    A worker that dies is noticed at once: its trial is put back and a new worker started.

    Raises:
        TrialsFailed: the trials failed all alike from the start.
        KeyboardInterrupt: passed on, after the workers have put their trials back.
    """
    pool = _Pool(job, count, storage, on_event)
    try:
        pool.watch()
    finally:
        pool.stop()
    if pool.hopeless:
        raise TrialsFailed(pool.hopeless)
    done = search_is_complete(storage, job.key, job.target) and is_settled(storage, job.reference)
    if not (done or pool.let_go or time.time() >= job.ends_at):
        raise StudyError(
            f"workers must last until the search ends; they stopped before it ({pool.last_error}). "
            "See to the reason; make study carries on."
        )


class _Pool:
    def __init__(self, job: Job, count: int, storage: Storage, on_event: OnEvent) -> None:
        self.job, self.storage, self.on_event = job, storage, on_event
        self.context = multiprocessing.get_context("spawn")
        self.hopeless = ""
        self.last_error = ""
        self.let_go = False
        """Whether a worker ended of itself, without an error: its time was up."""
        self.deaths = 0
        self.failed: set[int] = set()
        self.alive: dict[int, tuple[BaseProcess, Connection]] = {}
        for index in range(count):
            self._start(index)

    def _start(self, index: int) -> None:
        # A pipe each: killing a process can leave a shared queue locked for all others.
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=worker_main, args=(self.job, index, theirs), daemon=True)
        process.start()
        theirs.close()
        self.alive[index] = (process, ours)

    def watch(self) -> None:
        while self.alive and not self.hopeless and time.time() < self.job.ends_at + GRACE:
            self._listen(timeout=0.2)

    def stop(self) -> None:
        """Tell the workers still there to stop, end those that do not, put back what was running."""
        for process, _ in self.alive.values():
            process.terminate()
        until = time.time() + GRACE
        while self.alive and time.time() < until:
            self._listen(timeout=0.1, restart=False)
        for process, _ in self.alive.values():
            process.kill()
            process.join()
        self._put_back()

    def _listen(self, timeout: float, restart: bool = True) -> None:
        """Pass on what the workers say, and deal with those that have ended."""
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
            self.let_go = self.let_go or index not in self.failed
            return
        self._put_back()
        self.deaths += 1
        text = f"worker {index} ended with exit code {process.exitcode}"
        self.last_error = self.last_error or text
        self.on_event(Event(index, "died", text=text))
        if restart and self.deaths < _MOST_DEATHS:
            self._start(index)

    def _put_back(self) -> None:
        put_back(self.job, self.storage)
