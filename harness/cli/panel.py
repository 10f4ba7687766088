"""What a person sees while a study runs: one live panel, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from harness.cli.progress import Doing, Progress
from harness.cli.sparkline import sparkline
from harness.lecture import LECTURE_DEV
from harness.search.events import Event
from harness.search.session import Session

_PLAIN_EVERY = 30.0
_LABEL = 10
_WIDEST_BAR = 40


class StudyDisplay:
    """Shows a running study on a console, from its events."""

    def __init__(self, console: Console, session: Session) -> None:
        self.console, self.progress = console, Progress(session)
        self._said_at = time.time()
        # A forced colour makes a pipe look like a terminal to rich; a panel would fill it with cursor moves.
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
        if not line and time.time() - self._said_at > _PLAIN_EVERY:
            line = "; ".join(map(str, self.progress.workers.values()))
        if line:
            self._said_at = time.time()
            self.console.print(f"{line}; {self.progress.counts()}")


def _live(console: Console, progress: Progress) -> Live:
    return Live(Panel(progress), console=console, refresh_per_second=4, transient=True, vertical_overflow="crop")


class Panel:
    """The panel as rich draws it: never wider than the terminal, never as tall."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = panel_lines(self.progress, options.max_width, options.size.height - 1, plain=options.ascii_only)
        for line in lines:
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def panel_lines(progress: Progress, width: int, height: int, *, plain: bool = False) -> list[Text]:
    """The panel from top to bottom, what matters most first: a low terminal cuts events, then workers, then the rest.

    Args:
        plain: draw with ASCII alone.
    """
    room = max(1, width - _LABEL)
    head = [*_title(progress, width), *_bars(progress, room, plain), *_losses(progress, room, plain)]
    workers = _workers(progress.workers, max(1, height - len(head) - 1))
    left = max(0, height - len(head) - len(workers))
    events = [Text(_clean(text), style="dim") for text in list(progress.recent)[-left:]] if left else []
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


def _bars(progress: Progress, room: int, plain: bool) -> list[Text]:
    asked = progress.record.trials
    text = f"{progress.finished} of {asked}, {progress.seconds_left()} s left"
    lines = [_labelled("trials", _bar(progress.finished, asked, text, room, plain))]
    if (fresh := progress.round) is not None:
        text = f"{fresh.done} of {fresh.wanted} runs"
        lines.append(_labelled("finalists", _bar(fresh.done, fresh.wanted, text, room, plain)))
        means = [f"trial {trial} {nats:.4f} ({seeds})" for nats, seeds, trial in fresh.means]
        lines += _packed("means", means, room)
    return lines


def _bar(done: int, wanted: int, text: str, room: int, plain: bool) -> Text:
    width = max(4, min(_WIDEST_BAR, room - len(text) - 2))
    full = min(width, width * done // max(1, wanted))
    line, rest = "#-" if plain else "━─"
    return Text.assemble((line * full, "green"), (rest * (width - full), "dim"), f"  {text}")


def _losses(progress: Progress, room: int, plain: bool) -> list[Text]:
    best, drawn = progress.best, progress.best_so_far
    if best is None or best.dev_nats is None:
        shown = Text("none yet")
    else:
        one_seed = "" if progress.round is None else ", one seed"
        shown = Text(f"{best.dev_nats:.4f}  trial {best.number}, {best.verdict}{one_seed}", style="bold")
    ends = f"  {drawn[0]:.4f} to {drawn[-1]:.4f}" if drawn else "none yet"
    return [
        _labelled("best", shown),
        *(_packed("lecture", _against(progress), room) if _stands_beside_the_lecture(progress) else []),
        _labelled("history", Text(sparkline(drawn, room - len(ends), plain=plain) + ends)),
        *_packed("verdicts", [f"{count} {verdict}" for verdict, count in progress.verdicts.most_common()], room),
    ]


def _stands_beside_the_lecture(progress: Progress) -> bool:
    return progress.record.reference is not None or progress.record.corpus.is_the_lectures


def _against(progress: Progress) -> list[str]:
    """The lecture's recipe and its published figure, each with how far the best is from it."""
    rows = []
    if progress.reference is not None and progress.reference.dev_nats is not None:
        rows.append(("recipe here", progress.reference.dev_nats, f"{progress.reference.dev_nats:.4f}"))
    if progress.record.corpus.is_the_lectures:
        rows.append(("own figure", LECTURE_DEV, f"{LECTURE_DEV}"))
    best = None if progress.best is None else progress.best.dev_nats
    return [f"{what} {shown}" + ("" if best is None else f" ({best - nats:+.4f})") for what, nats, shown in rows]


def _workers(workers: dict[int, Doing], most: int) -> list[Text]:
    widest = max(len(doing.run) for doing in workers.values())
    rows = [
        _labelled(f"worker {worker}", Text(_at_work(doing, widest), style="dim")) for worker, doing in workers.items()
    ]
    if len(rows) <= most:
        return rows
    return [*rows[: most - 1], Text(f"and {len(rows) - most + 1} workers more", style="dim")]


def _at_work(doing: Doing, widest: int) -> str:
    """What changes stands first, at the same place in every row, so that a narrow terminal cuts the config."""
    if not doing.run:
        return doing.state
    dev = "" if doing.dev_nats is None else f"{doing.dev_nats:.4f}"
    return f"{doing.run:<{widest}} {doing.share:>4.0%} {dev:6}  {doing.config}"


def _packed(label: str, pieces: Sequence[str], room: int, most: int = 2) -> list[Text]:
    """Pieces with commas between, on as many lines as they need, two at most."""
    lines = [""]
    for piece in pieces or ["none yet"]:
        longer = f"{lines[-1]}, {piece}" if lines[-1] else piece
        if len(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece)
    return [_labelled("" if place else label, Text(line)) for place, line in enumerate(lines[:most])]


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "cyan"), text)


def _clean(text: str) -> str:
    """One line, whatever a failure's reason holds."""
    return "".join(c if c.isprintable() else " " for c in text)
