"""What a person sees while a study runs: one live panel, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.report.results import LECTURE_DEV
from harness.search.finalists import count_runs
from harness.search.records import TrialRecord, best_trial
from harness.search.reference import stored_reference
from harness.search.session import Session
from harness.search.standing import FINISHED
from harness.search.workers import Event

_PLAIN_EVERY = 30.0


class StudyProgress:
    """Takes the events of a running study and shows where it stands."""

    def __init__(self, console: Console, session: Session) -> None:
        self.console, self.session = console, session
        records = session.storage.trials(session.record.key)
        self.finished = sum(record.status in FINISHED for record in records)
        self.best = best_trial(records)
        self.reference = stored_reference(session.storage, session.record.reference)
        self.verdicts: Counter[str] = Counter(record.verdict for record in records if record.verdict)
        self.workers = dict.fromkeys(range(session.workers), "starting")
        self.fresh: tuple[int, int] | None = None
        """Runs of finalists done and wanted, once the search is over."""
        self.last = ""
        self._said_at = time.time()
        self._live = Live(get_renderable=self._panel, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        name = {"reference": "lecture's recipe", "finalist": f"trial {event.trial} again"}.get(
            event.what, f"trial {event.trial}"
        )
        match event.kind:
            case "round":
                self.fresh = count_runs(self.session.storage, self.session.record)
                self.workers = dict.fromkeys(self.workers, "starting")
                self._say(f"the search is over; its best trials train again: {self._counts()}")
            case "started":
                self.workers[event.worker] = f"{name}: {event.text}"
            case "progress":
                start = self.workers[event.worker].split("  ")[0]
                self.workers[event.worker] = f"{start}  {event.share:.0%}, dev {event.dev_nats:.3f}"
            case "finished" if event.record is not None:
                self._finished(name, event.record, event)
            case "idle":
                self.workers[event.worker] = "waiting for the others"
            case "error" | "died" | "hopeless":
                self.workers[event.worker] = "starting again" if event.kind == "died" else "ended"
                self._say(event.text)
        if not self.console.is_terminal and time.time() - self._said_at > _PLAIN_EVERY:
            self._say(f"{self._counts()}; {'; '.join(self.workers.values())}")

    def _finished(self, name: str, record: TrialRecord, event: Event) -> None:
        if event.what == "reference":
            self.reference = record if record.status == "complete" else self.reference
        elif event.what == "finalist":
            self.fresh = count_runs(self.session.storage, self.session.record)
        elif record.status in FINISHED:
            self.finished += 1
            self.verdicts[record.verdict or record.status] += 1
            self.best = best_trial([r for r in (self.best, record) if r is not None])
        self._say(f"{_outcome(name, record)}; {self._counts()}")

    def _say(self, text: str) -> None:
        self.last = text
        self._said_at = time.time()
        if not self.console.is_terminal:
            self.console.print(text)

    def _counts(self) -> str:
        best = "" if self.best is None else f", best dev {self.best.dev_nats:.4f} (trial {self.best.number})"
        fresh = "" if self.fresh is None else f", {self.fresh[0]} of {self.fresh[1]} runs of finalists"
        return f"{self.finished} of {self.session.record.trials} trials{best}{fresh}, {self._seconds_left()} s left"

    def _seconds_left(self) -> int:
        return max(0, round(self.session.ends_at - time.time()))

    def _panel(self) -> RenderableType:
        record = self.session.record
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=record.trials, completed=self.finished, width=max(10, self.console.width // 3))
        grid.add_row("trials", bar)
        grid.add_row("", f"{self.finished} of {record.trials} finished, {self._seconds_left()} s left at most")
        if self.fresh is not None:
            done, wanted = self.fresh
            grid.add_row("finalists", ProgressBar(total=wanted, completed=done, width=max(10, self.console.width // 3)))
            grid.add_row("", f"{done} of {wanted} runs with fresh seeds")
        grid.add_row("best", Text(self._best_line(), style="bold"))
        grid.add_row("so far", ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.most_common()) or "-")
        for worker, doing in self.workers.items():
            grid.add_row(f"worker {worker}", Text(doing, style="dim"))
        title = Text(f"{record.key} · {record.corpus.label} {record.corpus.fingerprint} · dev nats per symbol")
        return Group(title, grid, Text(self.last, style="dim", no_wrap=True, overflow="ellipsis"))

    def _best_line(self) -> str:
        record = self.session.record
        if self.best is None:
            return "none yet"
        line = f"dev {self.best.dev_nats:.4f} (trial {self.best.number}, {self.best.verdict})"
        if self.reference is not None:
            line += f", lecture's recipe here {self.reference.dev_nats:.4f}"
        if record.corpus.is_the_lectures:
            line += f", the lecture's own figure {LECTURE_DEV}"
        return line


def _outcome(name: str, record: TrialRecord) -> str:
    if record.status == "complete":
        seeds = f" ({record.dev_spread})" if record.seeds else ""
        return f"{name} complete: dev {record.dev_nats:.4f}{seeds}, train {record.train_nats:.4f}, {record.verdict}"
    if record.status in ("failed", "interrupted"):
        return f"{name} {record.status}: {record.failure}"
    at = "" if record.dev_nats is None else f" at dev {record.dev_nats:.4f}"
    return f"{name} {record.status}{at}"
