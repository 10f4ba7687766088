"""`harness study`: the search with its display, then the report and a summary of both."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from harness.cli.console import complain, console, progress_console, show_json
from harness.cli.panel import StudyDisplay
from harness.cli.show import print_finalists
from harness.dashboard.live import LiveBoard
from harness.errors import HarnessError, in_one_line
from harness.report.conclusion import headline, overlap_warning
from harness.report.results import Results, split_sizes
from harness.report.summary import summary
from harness.search.events import Event, OnEvent
from harness.search.finalists import count_runs
from harness.search.request import Request
from harness.search.session import Session, run_study
from harness.store.quiet import quiet_optuna
from harness.store.trial_record import FINISHED
from harness.train.threads import one_thread
from harness.words import number_of, plural

if TYPE_CHECKING:
    from harness.report.write import Report


@quiet_optuna()
@one_thread()
def run_search(request: Request, *, as_json: bool) -> None:
    """Search or resume, then write the report. Ctrl-C and SIGTERM end the search with exit code 130."""
    signal.signal(signal.SIGTERM, _raise_keyboard_interrupt)
    progress = progress_console(as_json)
    session = _searched(request, progress)
    report = _report_of(session)
    LiveBoard(session, progress.print).finish(report.findings)
    if as_json:
        show_json(summary(report.results))
    else:
        _show_outcome(session, report)
    for failure in report.failures:
        complain(failure)
    if report.failures:
        raise typer.Exit(1)


def _searched(request: Request, progress: Console) -> Session:
    """The session as it ended, shown while it runs."""
    with ExitStack() as display_stack:
        listeners: list[OnEvent] = []

        def on_ready(session: Session) -> None:
            _announce(session, progress)
            if not session.nothing_left:
                display = display_stack.enter_context(StudyDisplay(progress, session))
                listeners.extend((display.on_event, LiveBoard(session, progress.print).on_event))

        def on_event(event: Event) -> None:
            for listener in listeners:
                listener(event)

        try:
            return run_study(request, on_ready, on_event)
        except KeyboardInterrupt:
            display_stack.close()
            typer.echo("harness: stopped; the trials in flight were requeued.", err=True)
            typer.echo("Run make study again to continue with them, or make report for the results so far.", err=True)
            raise typer.Exit(130) from None


def _report_of(session: Session) -> Report:
    from harness.report.write import write_report  # after the search, because importing the plots takes two seconds

    try:
        return write_report(session.storage, session.record)
    except HarnessError:
        raise
    except Exception as error:  # the search is stored, so its report can be written later
        complain(
            f"no report of {session.record.key}: {in_one_line(error)}. Its trials are stored; make report tries again."
        )
        raise typer.Exit(1) from None


def _raise_keyboard_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _announce(session: Session, to: Console) -> None:
    record = session.record
    if session.notice:
        to.print(session.notice)
    to.print(f"{'resuming' if session.resumed else 'starting'} {record.key}")
    to.print(
        f"corpus {record.corpus.label}, fingerprint {record.corpus.fingerprint}, {split_sizes(record)}; "
        f"{plural(record.trials, 'trial')} or {number_of(session.study.minutes, 'minute')}, "
        f"{plural(session.workers, 'worker')}, "
        f"{record.sampler}, {record.pruner}, seed {record.seed}"
    )
    if record.objective == "mixed":
        to.print("searched by the loss of each network mixed with the counted n-gram; its own loss is shown first")
    if record.overlap is not None and record.overlap.line:
        to.print(record.overlap.line)


def _show_outcome(session: Session, report: Report) -> None:
    """The last lines of `make study`: how the search ended, its results, and what to do next."""
    folder, results, findings, notice, _ = report
    _show_ending(session, results)
    done, wanted = count_runs(session.storage, session.record, results.trials)
    print_finalists(session.record)
    if done < wanted:
        console.print(
            f"finalists: {done} of {plural(wanted, 'run')} with fresh seeds are done; make study runs the rest"
        )
    if warning := overlap_warning(results):
        console.print(warning)
    console.print(headline(results))
    if results.chosen is not None and results.chosen.trial.verdict is not None:
        trial = results.chosen.trial
        console.print(
            f"trial {trial.number} is {trial.verdict} in its single run of the search: {results.chosen.advice}"
        )
    for line in findings:
        console.print(f"  {line}")
    if notice:
        console.print(notice)
    key = session.record.key
    if (folder / "reported.html").is_file():
        console.print(f"see {folder}/reported.html (each reported figure and the one measured here)")
    console.print(f"see {folder}/report.html")
    console.print("next: make dashboard (all trials)")
    console.print(f"      .venv/bin/harness rerun {key} N (train a trial again and compare every bit)")
    if results.opening is None:
        console.print("      make study again (resume; TRIALS= for more trials, MINUTES= for more time)")
        if done == wanted and results.chosen is not None:
            console.print(f"      make holdout NAME={key} (open the sealed test split, once)")


def _show_ending(session: Session, results: Results) -> None:
    finished, wanted = sum(trial.status in FINISHED for trial in results.trials), session.record.trials
    if session.nothing_left:
        why, more = f"{finished} of {plural(wanted, 'trial')} finished", "TRIALS=… for more"
        if session.record.ended_by == "sampler":
            why, more = session.record.ending, "SAMPLER=… to search on"
        console.print(f"nothing is left to do: {why} ({more})")
    else:
        reasons = {"trials": "all requested trials are finished", "minutes": "the time limit was reached"}
        reason = reasons.get(session.record.ended_by or "", session.record.ending)
        console.print(f"ended: {reason}, {finished} of {plural(wanted, 'trial')}")
