"""`harness report` and `harness compare`: pages, tables and plots of what is stored."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console

from harness.cli.console import complain, console, progress_console, show_json
from harness.dashboard.board import show_all
from harness.errors import HarnessError, StudyError, in_one_line
from harness.report.conclusion import headline, overlap_warning
from harness.report.pages.comparison import write_comparison
from harness.report.results import gather
from harness.report.summary import summary
from harness.report.write import Report, write_report
from harness.store.find import find_study, searched_studies
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage
from harness.train.threads import one_thread


@quiet_optuna()
@one_thread()
def rewrite_reports(name: str | None, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Write the report and the dashboard's notes of one study or of all.

    What fails for one study is said in one line, and the others are written all the same.
    """
    opened = open_storage(storage)
    records = searched_studies(opened) if name is None else [find_study(opened, name, corpus)]
    if not records:
        raise StudyError("a report needs a study; the storage has none. Start one with make study.")
    documents, code = [], 0
    for record in records:
        try:
            report = write_report(opened, record)
            show_all(opened, record.key, report.findings)
        except Exception as error:  # the other studies are still to be written
            complain(f"no report of {record.key}: {in_one_line(error)}")
            code = max(code, error.exit_code if isinstance(error, HarnessError) else 1)
            continue
        document = show_report(report, progress_console(as_json))
        code = max(code, 1 if report.failures else 0)
        documents.append(document)
    if as_json:
        show_json({"reports": documents})
    if code:
        raise typer.Exit(code)


def show_report(report: Report, to: Console) -> dict[str, Any]:
    """Print where a report is and what could not be drawn; returns the same for a JSON document."""
    line = headline(report.results)
    for text in filter(None, (overlap_warning(report.results), f"{report.folder}: {line}", report.notice)):
        to.print(text)
    for failure in report.failures:
        complain(f"{report.results.study.key}: {failure}")
    return {
        "folder": str(report.folder),
        "headline": line,
        "summary": summary(report.results),
        "failures": report.failures,
    }


@quiet_optuna()
@one_thread()
def compare_studies(names: list[str], storage: str | None, *, as_json: bool) -> None:
    """Write the comparison page of at least two studies."""
    opened = open_storage(storage)
    records = {record.key: record for record in (find_study(opened, name) for name in names)}
    if len(records) < 2:
        raise StudyError(f"a comparison needs two studies; got {', '.join(records)}. Name another (harness studies).")
    page, failures = write_comparison([gather(opened, record) for record in records.values()])
    if as_json:
        show_json({"studies": list(records), "page": str(page), "failures": failures})
    else:
        console.print(str(page))
    for failure in failures:
        complain(failure)
    if failures:
        raise typer.Exit(1)
