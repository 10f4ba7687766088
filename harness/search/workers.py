"""Workers, a process each or the present one: each takes trials until there are no more, and says what it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

import optuna
import torch

from harness.corpus import Corpus, load
from harness.errors import HarnessError, StudyError, TrialsFailed, first_line
from harness.search.environment import Owner, this_process
from harness.search.finalists import Reserve, round_study
from harness.search.gate import gate, search_is_complete, start_trial, take_back_orphans
from harness.search.records import TrialRecord
from harness.search.reference import REFERENCE, REFERENCE_SEED, is_settled, run_reference
from harness.search.request import with_named
from harness.search.storage import Storage, open_storage
from harness.search.study import Study, load_study
from harness.search.trial import Deadline, run_trial

GRACE = 5.0
"""Seconds that workers get to put their trials back once the time is up or they are told to stop."""
_MOST_DEATHS = 10
"""So many workers may end unasked, one after another, without a trial finished in between."""
_IDLE = 0.25


@dataclass(frozen=True)
class Job:
    """What a worker has to know; plain data, since a new process reads the study from its file."""

    study_file: str
    key: str
    corpus: str
    storage: str
    seed: int
    sampler: str | None
    pruner: str | None
    target: int | None
    """Finished trials to reach; None to run what is queued."""
    ends_at: float
    """Wall time, seconds since the epoch."""
    reference: str | None
    """Key of the reference to train beside the search; None to leave it."""
    kept_back: Reserve | None = None
    """Time for the finalists that come after a search."""
    finalists_of: str | None = None
    """Key of the search whose finalists are to be trained; None for the search itself."""


@dataclass(frozen=True)
class Event:
    """Something a worker did, or a new part of the work (`round`). `worker` counts from 0."""

    worker: int
    kind: Literal["started", "progress", "finished", "idle", "error", "hopeless", "died", "round"]
    trial: int | None = None
    what: Literal["trial", "reference", "finalist"] = "trial"
    share: float = 0.0
    dev_nats: float | None = None
    text: str = ""
    record: TrialRecord | None = None


OnEvent = Callable[[Event], None]


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
        _Worker(job, index, pipe.send, deadline).work()
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


class _Worker:
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


def work_here(study: Study, job: Job, storage: Storage, on_event: OnEvent) -> None:
    """Run a job in this process, with a study that needs no file.

    Raises:
        TrialsFailed: the trials failed all alike from the start.
        KeyboardInterrupt: passed on, after the trial in flight was put back.
    """
    try:
        _Worker(job, 0, on_event, Deadline(job.ends_at), study).work()
    except BaseException:
        put_back(job, storage, this_process())
        raise


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


def put_back(job: Job, storage: Storage, owner: Owner | None = None) -> None:
    """Queue again what dead workers had in flight, and what this owner has."""
    for key in filter(None, (job.key, job.reference)):
        with gate(key):
            take_back_orphans(storage, storage.optuna_study(key), owner=owner)
