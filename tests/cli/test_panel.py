"""The live panel of `make study`: its text, its fit into every terminal, and plain lines without a terminal."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.cli.panel import Panel, StudyDisplay, panel_lines
from harness.cli.progress import Progress
from harness.cli.sparkline import sparkline
from harness.search.events import Event
from harness.search.session import Session
from tests.record_factory import SHORT, confirming, made_session, record_of, searching

PHASES = {"search": searching, "finalists": confirming}
MOVES = re.compile(r"\x1b\[[?\d;]*[A-Za-ln-z]")
COLOURS = re.compile(r"\x1b\[[\d;]*\b(3\d|4\d|9\d|10\d)[\d;]*m")


class Screen(io.StringIO):
    """An output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(progress: Progress, width: int, rows: int = 24) -> list[str]:
    file = io.StringIO()
    console = Console(width=width, height=rows, file=file, force_terminal=True, color_system=None, _environ={})
    console.print(Panel(progress))
    return re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("made-up")))
        yield made_session()


@pytest.mark.parametrize("workers", [1, 64])
@pytest.mark.parametrize("phase", PHASES)
def test_the_panel_is_never_wider_or_taller_than_the_terminal(session: Session, phase: str, workers: int):
    progress = PHASES[phase](replace(session, workers=workers))
    for width, rows in itertools.product((40, 60, 80, 160), (24, 10, 4, 1)):
        lines = drawn(progress, width, rows)
        assert max(map(cell_len, lines)) <= width
        assert 1 <= len(lines) <= max(1, rows - 1)


def test_the_search_shows_counts_best_lecture_history_verdicts_workers_and_events(session: Session):
    assert [re.sub(r"21[12] s", "N s", line).rstrip() for line in drawn(searching(session), 80)] == [
        "beat_lecture-names",
        "names 14f825ec2506 · dev nats, n=22,655",
        "trials    ━━━━━━━━━───────────────────────────────  14 of 60, N s left",
        "best      2.0101  trial 12, well fitted",
        "lecture   published 2.17 (-0.1599)",
        "history   █▇▇▅▅▄▃▂▁▁  2.5000 to 2.0101",
        "verdicts  10 well fitted, 4 pruned",
        "worker 0  taking the next trial",
        "worker 1  trial 13  45% 2.0312  E51 H611 T6 B1024 adamw 4.2e-03 cosine",
        "trial 12 complete: dev 2.0101, train 1.9101, well fitted",
        "trial 13 pruned at dev 2.3000",
        "trial 14 failed: RuntimeError:  [31mno [such] luck and a second line that goes …",
    ]


def test_the_finalists_round_has_its_own_bar_and_means(session: Session):
    lines = [line.rstrip() for line in drawn(confirming(session), 60)]
    assert lines[3:6] == [
        "finalists ━━━━━━━━━━━━━━━━━━───────────────────  3 of 6 runs",
        "means     trial 10 2.0400 (2), trial 9 2.0500 (1)",
        "best      2.0200  trial 10, well fitted, one seed",
    ]
    assert lines[-1] == "trial 10 again complete: dev 2.0500, train 1.9500, well fitt…"[:59] + "…"


def test_the_recipe_is_compared_with_the_best_trial_once_it_is_trained(session: Session):
    progress = searching(replace(session, record=session.record.model_copy(update={"reference": "none-yet"})))
    recipe = record_of(0, 2.1611)
    progress.on_event(Event(0, "started", 0, what="reference", text=SHORT))
    progress.on_event(Event(0, "finished", 0, what="reference", record=recipe))
    assert "lecture   recipe here 2.1611 (-0.1510), published 2.17 (-0.1599)" in [
        line.rstrip() for line in drawn(progress, 80)
    ]
    assert progress.finished == 14  # it is not a trial of the search


def test_a_low_terminal_keeps_the_best_trial_and_counts_the_workers_it_hides(session: Session):
    lines = drawn(searching(replace(session, workers=64)), 80, 24)
    assert "and 50 more workers" in [line.rstrip() for line in lines]
    assert drawn(searching(replace(session, workers=64)), 80, 5)[3].startswith("best      2.0101")


def test_a_resumed_study_starts_with_its_earlier_history(session: Session):
    progress = Progress(session)
    assert progress.finished == 12
    assert (progress.best_so_far[0], progress.best_so_far[-1]) == (2.5, 2.02)
    assert len(progress.best_so_far) == 9


def live_output(session: Session, color: dict[str, str]) -> str:
    file = Screen()
    console = Console(width=80, height=24, file=file, _environ={"TERM": "xterm-256color", **color})
    with StudyDisplay(console, session) as display:
        for share in (0.25, 0.5):
            display.on_event(Event(0, "started", 12, text=SHORT))
            display.on_event(Event(0, "progress", 12, share=share, dev_nats=2.5, text=SHORT))
            assert display._live is not None
            display._live.refresh()
    return file.getvalue()


def test_on_a_terminal_the_panel_is_redrawn_in_place_and_removed_at_the_end(session: Session):
    shown = live_output(session, {})
    assert "\x1b[?1049h" not in shown
    assert COLOURS.search(shown)
    assert shown.count("trial 12  50%") >= 1
    assert shown.endswith("\x1b[1A\x1b[2K")
    frames = shown.split("\x1b[1A")
    assert max(cell_len(re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line)) for f in frames for line in f.splitlines()) <= 80


def test_no_color_leaves_the_panel_without_colour(session: Session):
    shown = live_output(session, {"NO_COLOR": "1"})
    assert "trial 12  50%" in shown
    assert not COLOURS.search(shown)


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}])
def test_a_pipe_gets_plain_lines_and_no_cursor_moves(session: Session, environment: dict[str, str]):
    file = io.StringIO()
    console = Console(width=160, file=file, soft_wrap=True, highlight=False, _environ={"TERM": "xterm", **environment})
    with StudyDisplay(console, session) as display:
        display.on_event(Event(0, "started", 12, text=SHORT))
        display.on_event(Event(0, "finished", 12, record=record_of(12, 2.0101)))
    (line,) = file.getvalue().splitlines()
    assert re.fullmatch(
        r"trial 12 complete: dev 2\.0101, train 1\.9101, well fitted; "
        r"13 of 60 trials, best dev 2\.0101 \(trial 12\), 21\d s left",
        line,
    )


def test_after_a_long_silence_the_state_of_the_workers_is_printed(session: Session):
    file = io.StringIO()
    with StudyDisplay(Console(width=160, file=file, soft_wrap=True, highlight=False), session) as display:
        display.on_event(Event(0, "started", 12, text=SHORT))
        display._printed_at -= 31
        display.on_event(Event(0, "progress", 12, share=0.5, dev_nats=2.25, text=SHORT))
    assert file.getvalue().startswith("trial 12 50%, dev 2.2500; starting; 12 of 60 trials")


def test_an_ascii_terminal_gets_ascii_bars(session: Session):
    text = "\n".join(line.plain for line in panel_lines(searching(session), 80, 24, plain=True)[2:7])
    assert text.isascii()
    assert "#########---" in text


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 5, ""),
        ([1.0], 5, "▁"),
        ([2.0, 2.0], 5, "▁▁"),
        ([8.0, 7, 6, 5, 4, 3, 2, 1], 8, "█▇▆▅▄▃▂▁"),
        (list(range(100)), 4, "▁▃▆█"),
        ([1.0, 2.0], 0, ""),
    ],
)
def test_a_sparkline_spans_its_values_and_keeps_the_last(values: list[float], width: int, line: str):
    assert sparkline(values, width) == line
