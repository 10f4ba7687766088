"""`harness report` and `harness compare`: pages, tables and plots of what is stored."""

from __future__ import annotations

from harness.cli.console import console, progress_console, show_json
from harness.dashboard.board import show_all
from harness.errors import StudyError
from harness.report.conclusion import headline, overlap_warning
from harness.report.pages.comparison import write_comparison
from harness.report.results import gather
from harness.report.summary import summary
from harness.report.write import write_report
from harness.store.find import find_study, searched_studies
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage
from harness.train.threads import one_thread


@quiet_optuna()
@one_thread()
def rewrite_reports(name: str | None, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Write the report and the dashboard's notes of one study or of all."""
    opened = open_storage(storage)
    records = searched_studies(opened) if name is None else [find_study(opened, name, corpus)]
    if not records:
        raise StudyError("a report needs a study; the storage has none. Start one with make study.")
    documents = []
    for record in records:
        folder, results, findings, notice = write_report(opened, record)
        show_all(opened, record.key, findings)
        for line in filter(None, (overlap_warning(results), f"{folder}: {headline(results)}")):
            progress_console(as_json).print(line)
        if notice:
            progress_console(as_json).print(notice)
        documents.append({"folder": str(folder), "headline": headline(results), "summary": summary(results)})
    if as_json:
        show_json({"reports": documents})


@quiet_optuna()
@one_thread()
def compare_studies(names: list[str], storage: str | None, *, as_json: bool) -> None:
    """Write the comparison page of at least two studies."""
    opened = open_storage(storage)
    records = {record.key: record for record in (find_study(opened, name) for name in names)}
    if len(records) < 2:
        raise StudyError(f"a comparison needs two studies; got {', '.join(records)}. Name another (harness studies).")
    page = write_comparison([gather(opened, record) for record in records.values()])
    if as_json:
        show_json({"studies": list(records), "page": str(page)})
    else:
        console.print(str(page))
