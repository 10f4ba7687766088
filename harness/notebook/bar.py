"""Progress of a running study as tqdm bars: one for the search, one for the finalists' round."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

from harness.lecture import RECIPE
from harness.search.events import Event
from harness.search.finalists import count_runs
from harness.search.session import Session
from harness.store.trial_record import FINISHED, TrialRecord, best_trial


class Bars:
    """Shows a session and its events. A context manager that closes its bars."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._best: TrialRecord | None = None

    def begin(self, session: Session) -> None:
        """Open the search's bar, which starts at the number of trials already finished."""
        self._session = session
        records = session.trials
        self._best = best_trial(records)
        finished = sum(record.status in FINISHED for record in records)
        corpus = session.record.corpus
        if session.notice:
            tqdm.write(session.notice)
        tqdm.write(f"{corpus.short} · dev nats per symbol, n={corpus.examples['dev']:,}")
        self._open(session.record.key, session.record.trials, min(finished, session.record.trials))

    def on_event(self, event: Event) -> None:
        record = event.record
        if event.kind == "round":
            storage, study = self._session.storage, self._session.record
            done, wanted = count_runs(storage, study, storage.trials(study.key))
            self._open("finalists on fresh seeds", wanted, done)
        elif event.kind == "finished" and record is not None and event.what != "reference":
            if event.what == "trial":
                self._best = best_trial([record] if self._best is None else [self._best, record])
            self._bar.update(record.status in FINISHED)
        self._show(event)

    def _open(self, description: str, total: int, done: int) -> None:
        self.close()
        # Redrawn by time only (miniters=0), because a single trial can take longer than anyone wants to wait.
        self._bar = tqdm(desc=description, total=total, initial=done, unit="run", miniters=0, mininterval=0.5)

    def _show(self, event: Event) -> None:
        """Show the best trial and the current run after the bar."""
        best = self._best
        texts = [] if best is None else [f"best {best.losses} (trial {best.number}, one seed)"]
        if event.kind in ("started", "progress"):
            runs = {"reference": f"the {RECIPE}", "finalist": f"trial {event.trial}, fresh seed"}
            texts.append(f"{runs.get(event.what, f'trial {event.trial}')} at {event.share:.0%}")
        self._bar.set_postfix_str(", ".join(texts), refresh=False)
        self._bar.update(0)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
