"""`harness holdout`: open the test split, once, and prove afterwards that it was once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.cli import complete
from harness.cli.console import beside, console, show_json, show_table
from harness.cli.facts import about
from harness.cli.options import AsJson, StorageUrl, StoredCorpus
from harness.cli.study_commands import write
from harness.errors import ConfigError
from harness.holdout.open import open_holdout
from harness.report.tables.holdout import FROZEN_HEAD, SCORED_HEAD, frozen_rows, paper_line, remarks, scored_rows
from harness.store import ledger
from harness.store.find import find_study
from harness.store.opening import Opening
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord


def holdout(
    name: Annotated[
        str | None,
        typer.Argument(help="A study's key, or its name.", show_default=False, autocompletion=complete.stored_studies),
    ] = None,
    corpus: StoredCorpus = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an opening that crashed before its scores.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Open nothing: check the ledger of all openings.")] = False,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Open the test split, once, for the study's winner; exit code 3 if it was opened before."""
    opened = open_storage(storage)
    if verify:
        _verify(opened, as_json)
        return
    if name is None:
        raise ConfigError("a holdout needs a study; got none. Give its key or name, or --verify to check the ledger.")
    record = find_study(opened, name, corpus)
    to = beside(as_json)
    opening, now = open_holdout(opened, record, resume=resume, on_claim=lambda claimed: _show_list(claimed, record, to))
    if as_json:
        show_json(_opening_facts(opening, record, now=now))
    else:
        _show_scores(opening, record, now=now)
    if not now:
        raise typer.Exit(3)
    folder = write(opened, record).folder
    to.print(f"written to {folder}/holdout.md and {ledger.exported(opened)}")


def _opening_facts(opening: Opening, record: StudyRecord, *, now: bool) -> dict[str, Any]:
    """The whole opening; losses on test are of `scores.test_examples` examples."""
    facts = asdict(opening) | {"state": opening.state, "opened_now": now, "remarks": remarks(opening)}
    models = {name: facts[name] and facts[name].model_dump(mode="json") for name in ("claim", "owner", "scores")}
    return {"study": record.key, **about(record.corpus), **facts, **models, "for_a_paper": paper_line(opening)}


def _show_list(claimed: Opening, record: StudyRecord, to: Console) -> None:
    to.print(
        f"claimed {claimed.claimed}: {record.corpus.short}; nats per symbol, exact means over whole splits. "
        "This list is on record now, and only it will be scored:"
    )
    show_table(FROZEN_HEAD, frozen_rows(claimed), to)


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


def _verify(storage: Storage, as_json: bool) -> None:
    problems = ledger.verify(storage)
    facts: dict[str, Any] = {"holds": not problems, "problems": problems, "file": str(ledger.exported(storage))}
    if not problems:
        facts |= {"entries": len(storage.openings()), "head": ledger.head(storage)}
    if as_json:
        show_json(facts)
    elif problems:
        console.print("\n".join([*problems, "the ledger does NOT hold"]))
    else:
        console.print(
            f"{facts['entries']} entries, head {facts['head']}: chain whole, {facts['file']} and the database agree"
        )
    if problems:
        raise typer.Exit(1)
