"""The display of a running study: one live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from harness.cli.progress import Progress, WorkerState
from harness.cli.sparkline import sparkline
from harness.lecture import LECTURE_DEV
from harness.search.events import Event
from harness.search.session import Session
from harness.words import plural

_PLAIN_EVERY_S = 30.0
_LABEL_WIDTH = 10
_WIDEST_BAR = 40


class StudyDisplay:
    """Shows a running study on a console, from its events."""

    def __init__(self, console: Console, session: Session) -> None:
        self.console, self.progress = console, Progress(session)
        self._printed_at = time.time()
        # With FORCE_COLOR rich takes a pipe for a terminal, and a panel would fill it with cursor movements.
        live = console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
        self._live = _live(console, self.progress) if live else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        line = self.progress.on_event(event)
        if self._live is not None:
            return
        if not line and time.time() - self._printed_at > _PLAIN_EVERY_S:
            line = "; ".join(map(str, self.progress.workers.values()))
        if line:
            self._printed_at = time.time()
            self.console.print(f"{line}; {self.progress.counts()}")


def _live(console: Console, progress: Progress) -> Live:
    return Live(Panel(progress), console=console, refresh_per_second=4, transient=True, vertical_overflow="crop")


class Panel:
    """The panel as a rich renderable: never wider than the terminal, and always at least a line shorter."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = panel_lines(self.progress, options.max_width, options.size.height - 1, plain=options.ascii_only)
        for line in lines:
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def panel_lines(progress: Progress, width: int, height: int, *, plain: bool = False) -> list[Text]:
    """The panel's lines, the most important first. A short terminal loses events, then workers, then the rest.

    Args:
        plain: draw with ASCII characters only.
    """
    text_width = max(1, width - _LABEL_WIDTH)
    head = [*_title(progress, width), *_bars(progress, text_width, plain), *_losses(progress, text_width, plain)]
    workers = _workers(progress.workers, max(1, height - len(head) - 1))
    left = max(0, height - len(head) - len(workers))
    events = [Text(_printable(text), style="dim") for text in list(progress.recent)[-left:]] if left else []
    lines = [*head, *workers, *events][: max(1, height)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return lines


def _title(progress: Progress, width: int) -> list[Text]:
    corpus = progress.record.corpus
    n = f"n={corpus.examples['dev']:,}"
    line = f"{progress.record.key} · {corpus.short} · dev nats per symbol, {n}"
    if len(line) <= width:
        return [Text(line)]
    return [Text(progress.record.key), Text(f"{corpus.label} {corpus.fingerprint} · dev nats, {n}")]


def _bars(progress: Progress, text_width: int, plain: bool) -> list[Text]:
    wanted = progress.record.trials
    text = f"{progress.finished} of {wanted}, {progress.seconds_left()} s left"
    lines = [_labelled("trials", _bar(progress.finished, wanted, text, text_width, plain))]
    if (finalists := progress.round) is not None:
        text = f"{finalists.done} of {plural(finalists.wanted, 'run')}"
        lines.append(_labelled("finalists", _bar(finalists.done, finalists.wanted, text, text_width, plain)))
        means = [f"trial {trial} {nats:.4f} ({seeds})" for nats, seeds, trial in finalists.means]
        lines += _packed("means", means, text_width)
    return lines


def _bar(done: int, wanted: int, text: str, text_width: int, plain: bool) -> Text:
    width = max(4, min(_WIDEST_BAR, text_width - len(text) - 2))
    full = min(width, width * done // max(1, wanted))
    line, rest = "#-" if plain else "━─"
    return Text.assemble((line * full, "green"), (rest * (width - full), "dim"), f"  {text}")


def _losses(progress: Progress, text_width: int, plain: bool) -> list[Text]:
    best, history = progress.best, progress.best_so_far
    if best is None or best.dev_nats is None:
        best_text = Text("none yet")
    else:
        one_seed = "" if progress.round is None else ", one seed"
        mixed = "" if best.mixed_nats is None else f", mixed {best.mixed_nats:.4f}"
        text = f"{best.dev_nats:.4f}{mixed}  trial {best.number}, {best.verdict}{one_seed}"
        best_text = Text(text, style="bold")
    ends = f"  {history[0]:.4f} to {history[-1]:.4f}" if history else "none yet"
    return [
        _labelled("best", best_text),
        *(_packed("lecture", _comparisons(progress), text_width) if _has_comparison(progress) else []),
        _labelled("history", Text(sparkline(history, text_width - len(ends), plain=plain) + ends)),
        *_packed("verdicts", [f"{count} {verdict}" for verdict, count in progress.verdicts.most_common()], text_width),
    ]


def _has_comparison(progress: Progress) -> bool:
    """Whether the study has a reference, or its losses are comparable with the lecture's published one."""
    return progress.record.reference is not None or progress.record.corpus.is_the_lectures


def _comparisons(progress: Progress) -> list[str]:
    """The lecture's recipe and its published loss, each with the best trial's difference from it."""
    rows = []
    if progress.reference is not None and progress.reference.dev_nats is not None:
        rows.append(("recipe here", progress.reference.dev_nats, f"{progress.reference.dev_nats:.4f}"))
    if progress.record.corpus.is_the_lectures:
        rows.append(("published", LECTURE_DEV, f"{LECTURE_DEV}"))
    best = None if progress.best is None else progress.best.dev_nats
    return [f"{what} {text}" + ("" if best is None else f" ({best - nats:+.4f})") for what, nats, text in rows]


def _workers(workers: dict[int, WorkerState], most: int) -> list[Text]:
    widest = max(len(state.run) for state in workers.values())
    rows = [
        _labelled(f"worker {worker}", Text(_worker_text(state, widest), style="dim"))
        for worker, state in workers.items()
    ]
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], Text(f"and {plural(len(rows) - most + 1, 'more worker')}", style="dim")]


def _worker_text(worker: WorkerState, widest: int) -> str:
    """What changes comes first, aligned between workers, so that a narrow terminal truncates the config."""
    if not worker.run:
        return worker.state
    dev = "" if worker.dev_nats is None else f"{worker.dev_nats:.4f}"
    return f"{worker.run:<{widest}} {worker.share:>4.0%} {dev:6}  {worker.config}"


def _packed(label: str, pieces: Sequence[str], text_width: int, most: int = 2) -> list[Text]:
    """The pieces separated by commas, on as many lines as they need, but at most `most`."""
    lines = [""]
    for piece in pieces or ["none yet"]:
        longer = f"{lines[-1]}, {piece}" if lines[-1] else piece
        if len(longer) <= text_width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece)
    return [_labelled("" if index else label, Text(line)) for index, line in enumerate(lines[:most])]


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((f"{label:<{_LABEL_WIDTH}}", "cyan"), text)


def _printable(text: str) -> str:
    """The text on one line, with a space for every control character."""
    return "".join(c if c.isprintable() else " " for c in text)
