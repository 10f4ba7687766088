"""`harness holdout`: open the test split once, and check the ledger that proves it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from harness.cli.console import console, progress_console, show_json, show_table
from harness.cli.json_header import json_header
from harness.errors import StorageError
from harness.holdout.open import open_holdout
from harness.report.tables.holdout import FROZEN_HEAD, SCORED_HEAD, frozen_rows, paper_line, remarks, scored_rows
from harness.store import ledger
from harness.store.find import find_study
from harness.store.opening import Opening
from harness.store.quiet import quiet_optuna
from harness.store.seal import problems_of, taken_in
from harness.store.storage import open_storage
from harness.store.study_record import StudyRecord
from harness.train.threads import one_thread


@quiet_optuna()
@one_thread()
def open_test_split(name: str, corpus: str | None, storage: str | None, *, resume: bool, as_json: bool) -> None:
    """Open a study's test split, or show the earlier opening and exit with code 3."""
    opened = open_storage(storage)
    progress = progress_console(as_json)
    with suppress(StorageError):  # reported below, if it is in the way of this opening
        if taken := ledger.settle(opened):
            progress.print(taken_in(opened, taken))
    record = find_study(opened, name, corpus)

    def on_claim(claimed: Opening) -> None:
        _show_claim(claimed, record, progress)

    opening, opened_now = open_holdout(opened, record, resume=resume, on_claim=on_claim)
    if as_json:
        show_json(_opening_facts(opening, record, opened_now=opened_now))
    else:
        _show_scores(opening, record, opened_now=opened_now)
        console.print(
            "keep this line outside this folder, to prove later that the ledger still has this opening:\n"
            f"harness holdout --verify --head {opening.head}{'' if storage is None else ' --storage …'}",
            soft_wrap=True,
        )
    if not opened_now:
        raise typer.Exit(3)
    from harness.report.write import write_report  # after the scores, because importing the plots takes two seconds

    folder = write_report(opened, record).folder
    progress.print(f"written to {folder}/holdout.md and {ledger.exported(opened)}")


def _opening_facts(opening: Opening, record: StudyRecord, *, opened_now: bool) -> dict[str, Any]:
    """The whole opening. The n of its test losses is `scores.test_examples`."""
    facts = asdict(opening) | {"state": opening.state, "opened_now": opened_now, "remarks": remarks(opening)}
    models = {name: facts[name] and facts[name].model_dump(mode="json") for name in ("claim", "owner", "scores")}
    models["items"] = opening.items and opening.items.model_dump(mode="json", include={"distinct", "earlier"})
    return {"study": record.key, **json_header(record.corpus), **facts, **models, "for_a_paper": paper_line(opening)}


def _show_claim(claimed: Opening, record: StudyRecord, to: Console) -> None:
    to.print(
        f"claimed {claimed.claimed}: {record.corpus.short}; nats per symbol, exact means over whole splits. "
        "This list is now on record, and nothing else will be scored:"
    )
    show_table(FROZEN_HEAD, frozen_rows(claimed), to)
    for line in remarks(claimed):
        to.print(f"  {line}")


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
def verify_ledger(storage: str | None, head: str | None, *, as_json: bool) -> None:
    """Check the chain, its exported file, and what openings left behind; exit code 1 if one of them fails.

    Args:
        head: a hash, or its first digits, that the chain must contain.
    """
    opened = open_storage(storage)
    problems, notes = problems_of(opened), []
    with suppress(StorageError, SQLAlchemyError):  # a ledger that cannot be read is among the problems
        notes = ledger.dated_backwards(opened)
        after = None if head is None else ledger.entries_after(opened, head)
        if after is not None:
            notes.insert(0, f"it contains entry {head}, and {after} later ones")
        elif head is not None:
            problems.append(f"the chain has no entry {head}: an opening was removed or changed")
    facts: dict[str, Any] = {"holds": not problems, "problems": problems, "file": str(ledger.exported(opened))}
    if not problems:
        facts |= {"entries": len(opened.openings()), "head": ledger.head(opened), "notes": notes}
    if as_json:
        show_json(facts)
    elif problems:
        console.print("\n".join([*problems, "the ledger is NOT valid"]))
    else:
        console.print(
            f"{facts['entries']} entries, head {facts['head']}: the chain is complete, "
            f"and {facts['file']} agrees with the database"
        )
        for note in notes:
            console.print(f"  {note}")
    if problems:
        raise typer.Exit(1)
