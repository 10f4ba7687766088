"""`harness holdout`: open the test split once, and check the ledger that proves it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console

from harness.cli.console import console, progress_console, show_json, show_table
from harness.cli.json_header import json_header
from harness.holdout.open import open_holdout
from harness.report.tables.holdout import FROZEN_HEAD, SCORED_HEAD, frozen_rows, paper_line, remarks, scored_rows
from harness.store import ledger
from harness.store.find import find_study
from harness.store.opening import Opening
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage
from harness.store.study_record import StudyRecord
from harness.train.threads import one_thread


@quiet_optuna()
@one_thread()
def open_test_split(name: str, corpus: str | None, storage: str | None, *, resume: bool, as_json: bool) -> None:
    """Open a study's test split, or show the earlier opening and exit with code 3."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    progress = progress_console(as_json)

    def on_claim(claimed: Opening) -> None:
        _show_claim(claimed, record, progress)

    opening, opened_now = open_holdout(opened, record, resume=resume, on_claim=on_claim)
    if as_json:
        show_json(_opening_facts(opening, record, opened_now=opened_now))
    else:
        _show_scores(opening, record, opened_now=opened_now)
    if not opened_now:
        raise typer.Exit(3)
    from harness.report.write import write_report  # after the scores, because importing the plots takes two seconds

    folder = write_report(opened, record).folder
    progress.print(f"written to {folder}/holdout.md and {ledger.exported(opened)}")


def _opening_facts(opening: Opening, record: StudyRecord, *, opened_now: bool) -> dict[str, Any]:
    """The whole opening. The n of its test losses is `scores.test_examples`."""
    facts = asdict(opening) | {"state": opening.state, "opened_now": opened_now, "remarks": remarks(opening)}
    models = {name: facts[name] and facts[name].model_dump(mode="json") for name in ("claim", "owner", "scores")}
    return {"study": record.key, **json_header(record.corpus), **facts, **models, "for_a_paper": paper_line(opening)}


def _show_claim(claimed: Opening, record: StudyRecord, to: Console) -> None:
    to.print(
        f"claimed {claimed.claimed}: {record.corpus.short}; nats per symbol, exact means over whole splits. "
        "This list is now on record, and nothing else will be scored:"
    )
    show_table(FROZEN_HEAD, frozen_rows(claimed), to)


def _show_scores(opening: Opening, record: StudyRecord, *, opened_now: bool) -> None:
    assert opening.scores is not None  # open_holdout returns scored openings only
    if opened_now:
        console.print(f"test split of {record.key} opened {opening.scored}")
    else:
        console.print(
            f"the test split of {record.key} was opened before, {opening.scored}; this is the record of that opening"
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


@quiet_optuna()
def verify_ledger(storage: str | None, *, as_json: bool) -> None:
    """Check the chain of openings, and the exported file against the database; exit code 1 if either fails."""
    opened = open_storage(storage)
    problems = ledger.verify(opened)
    facts: dict[str, Any] = {"holds": not problems, "problems": problems, "file": str(ledger.exported(opened))}
    if not problems:
        facts |= {"entries": len(opened.openings()), "head": ledger.head(opened)}
    if as_json:
        show_json(facts)
    elif problems:
        console.print("\n".join([*problems, "the ledger is NOT valid"]))
    else:
        console.print(
            f"{facts['entries']} entries, head {facts['head']}: the chain is complete, "
            f"and {facts['file']} agrees with the database"
        )
    if problems:
        raise typer.Exit(1)
