"""The state of a running study, updated from its workers' events."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from statistics import fmean

from harness.lecture import RECIPE
from harness.search.events import Event
from harness.search.finalists import read_round
from harness.search.session import Session
from harness.store.find import stored_reference
from harness.store.trial_record import FINISHED, TrialRecord, best_trial
from harness.words import plural

_RECENT = 3


@dataclass
class WorkerState:
    """What a worker is doing: a state in words, or a run with its config in short."""

    state: str = "starting"
    run: str = ""
    config: str = ""
    share: float = 0.0
    dev_nats: float | None = None

    def __str__(self) -> str:
        if not self.run:
            return self.state
        return f"{self.run} {self.share:.0%}" + ("" if self.dev_nats is None else f", dev {self.dev_nats:.4f}")


@dataclass
class RoundProgress:
    """Progress of the finalists' round."""

    done: int
    wanted: int
    means: list[tuple[float, int, int]]
    """Mean dev nats so far, number of fresh seeds, and trial; lowest mean first."""


class Progress:
    """Both phases of a study: the search, then the finalists' round."""

    def __init__(self, session: Session) -> None:
        self.session, self.record = session, session.record
        records = list(session.trials)
        self.finished = sum(record.status in FINISHED for record in records)
        self.best = best_trial(records)
        settled = session.reference_is_settled
        self.reference = stored_reference(session.storage, session.record.reference) if settled else None
        self.verdicts = Counter(r.verdict or r.status for r in records if r.status in FINISHED)
        self.best_so_far: list[float] = []
        """Lowest dev nats after each complete trial."""
        for record in records:
            self._add_nats(record)
        self.workers = {worker: WorkerState() for worker in range(session.workers)}
        self._searched: list[TrialRecord] = []
        self.round: RoundProgress | None = None
        """None until the search has ended."""
        self.recent: deque[str] = deque(maxlen=_RECENT)

    def on_event(self, event: Event) -> str:
        """Take an event. Returns a line to show for it, or an empty string."""
        match event.kind:
            case "round":
                self._searched = self.session.storage.trials(self.record.key)  # no trial is added from here on
                self.round = self._round()
                self.workers = {worker: WorkerState() for worker in self.workers}
                return self._remember("the search has ended; its best trials are being trained again")
            case "started" | "progress":
                self._update_worker(event)
            case "finished" if event.record is not None:
                self.workers[event.worker] = WorkerState("taking the next trial")
                return self._remember(self._finish(event, event.record))
            case "idle":
                self.workers[event.worker] = WorkerState("waiting for the others")
            case "refused":  # said at the end
                self.workers[event.worker] = WorkerState("ended")
            case "error" | "died" | "hopeless":
                self.workers[event.worker] = WorkerState("restarting" if event.kind == "died" else "ended")
                return self._remember(event.text)
        return ""

    def counts(self) -> str:
        best = "" if self.best is None else f", best {self.best.losses} (trial {self.best.number})"
        runs = "" if self.round is None else plural(self.round.wanted, "run")
        finalists = "" if self.round is None else f", {self.round.done} of {runs} of finalists"
        return (
            f"{self.finished} of {plural(self.record.trials, 'trial')}{best}{finalists}, {self.seconds_left()} s left"
        )

    def seconds_left(self) -> int:
        return max(0, round(self.session.ends_at - time.time()))

    def _update_worker(self, event: Event) -> None:
        if event.kind == "started":
            self.workers[event.worker] = WorkerState(run=_name(event), config=event.text)
        else:
            worker = self.workers[event.worker]
            worker.share, worker.dev_nats = event.share, event.dev_nats

    def _finish(self, event: Event, record: TrialRecord) -> str:
        if event.what == "reference":
            self.reference = record if record.status == "complete" else self.reference
        elif event.what == "finalist":
            self.round = self._round()
        elif record.status in FINISHED:
            self.finished += 1
            self.verdicts[record.verdict or record.status] += 1
            self.best = best_trial([r for r in (self.best, record) if r is not None])
            self._add_nats(record)
        return _outcome(_name(event), record)

    def _add_nats(self, record: TrialRecord) -> None:
        if record.status == "complete" and record.objective_nats is not None:
            self.best_so_far.append(min([record.objective_nats, *self.best_so_far[-1:]]))

    def _round(self) -> RoundProgress:
        stored = read_round(self.session.storage, self.record, self._searched)
        nats_of_trial: dict[int, list[float]] = {}
        for trial, repeat in stored.wanted.keys() & stored.done.keys():
            run = stored.done[trial, repeat]
            if run.status == "complete" and run.objective_nats is not None:
                nats_of_trial.setdefault(trial, []).append(run.objective_nats)
        means = sorted((fmean(nats), len(nats), trial) for trial, nats in nats_of_trial.items())
        return RoundProgress(*stored.counts, means)

    def _remember(self, text: str) -> str:
        self.recent.append(text)
        return text


def _name(event: Event) -> str:
    if event.what == "reference":
        return RECIPE
    return f"trial {event.trial}" + (" again" if event.what == "finalist" else "")


def _outcome(name: str, record: TrialRecord) -> str:
    if record.status == "complete":
        seeds = f" ({record.dev_spread})" if record.seeds else ""
        return f"{name} complete: {record.losses}{seeds}, train {record.train_nats:.4f}, {record.verdict}"
    if record.status in ("failed", "interrupted"):
        return f"{name} {record.status}: {record.failure}"
    if record.pruned_because is not None:
        return f"{name} pruned: {record.pruned_because}"
    at = "" if record.dev_nats is None else f" at dev {record.dev_nats:.4f}"
    return f"{name} {record.status}{at}"
