"""`harness holdout`: open the test split, once, and prove afterwards that it was once."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.console import console, show_table
from harness.cli.study_commands import Corpus, StorageUrl, write
from harness.errors import ConfigError
from harness.report.holdout import FROZEN_HEAD, SCORED_HEAD, frozen_rows, paper_line, remarks, scored_rows
from harness.search import ledger
from harness.search.find import find_study
from harness.search.holdout import Opening, open_holdout
from harness.search.records import StudyRecord
from harness.search.storage import Storage, open_storage


def holdout(
    name: Annotated[str | None, typer.Argument(help="A study's key, or its name.", show_default=False)] = None,
    corpus: Corpus = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an opening that crashed before its scores.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Open nothing: check the ledger of all openings.")] = False,
    storage: StorageUrl = None,
) -> None:
    """Open the test split, once, for the study's winner; exit code 3 if it was opened before."""
    opened = open_storage(storage)
    if verify:
        _verify(opened)
        return
    if name is None:
        raise ConfigError("a holdout needs a study; got none. Give its key or name, or --verify to check the ledger.")
    record = find_study(opened, name, corpus)
    opening, now = open_holdout(opened, record, resume=resume, on_claim=lambda claimed: _show_list(claimed, record))
    _show_scores(opening, record, now=now)
    if not now:
        raise typer.Exit(3)
    folder = write(opened, record).folder
    console.print(f"written to {folder}/holdout.md and {ledger.exported(opened)}")


def _show_list(claimed: Opening, record: StudyRecord) -> None:
    console.print(
        f"claimed {claimed.claimed}: {record.corpus.short}; nats per symbol, exact means over whole splits. "
        "This list is on record now, and only it will be scored:"
    )
    show_table(FROZEN_HEAD, frozen_rows(claimed))


def _show_scores(opening: Opening, record: StudyRecord, *, now: bool) -> None:
    assert opening.scores is not None  # open_holdout returns only what is scored
    if now:
        console.print(f"test split of {record.key} opened {opening.scored}")
    else:
        console.print(
            f"the test split of {record.key} was opened {opening.scored} already; this is its record, nothing is scored"
        )
    scores = opening.scores
    console.print(
        f"{record.corpus.short}: {scores.test_items:,} test items, n={scores.test_examples:,}; nats per symbol, "
        "exact means over whole splits, 95 % intervals over seeds and items"
    )
    show_table(SCORED_HEAD, scored_rows(opening))
    for line in remarks(opening):
        console.print(f"  {line}")
    console.print(f"for a paper: {paper_line(opening)}")


def _verify(storage: Storage) -> None:
    problems = ledger.verify(storage)
    for problem in problems:
        console.print(problem)
    if problems:
        console.print("the ledger does NOT hold")
        raise typer.Exit(1)
    count, path = len(storage.openings()), ledger.exported(storage)
    console.print(f"{count} entries, head {ledger.head(storage)}: chain whole, {path} and the database agree")
