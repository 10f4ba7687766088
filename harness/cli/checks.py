"""Commands that hold something against something else: a trial against itself, counted n-grams, other pruners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from harness.cli import complete
from harness.cli.console import beside, console, show_json, show_table
from harness.cli.facts import about
from harness.cli.options import AsJson, Corpus, StorageUrl, StoredCorpus, StudyName
from harness.corpus import load
from harness.report.results import split_sizes
from harness.search.prune_check import LEAST_LEFT, ORDERS, Checked, safest, seed_noise
from harness.search.prune_check import prune_check as replay_pruners
from harness.search.rerun import Rerun
from harness.search.rerun import rerun as run_again
from harness.store.find import find_study
from harness.store.storage import open_storage
from harness.store.study_record import StudyRecord
from harness.train import baselines as count_baselines


def rerun(
    name: StudyName,
    trial: Annotated[int, typer.Argument(help="The trial's number.", autocompletion=complete.trial_numbers)],
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Train a stored trial again and compare its losses bit for bit; exit code 1 if they differ."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    with beside(as_json).status(f"running trial {trial} again"):
        again = run_again(opened, record, trial)
    if as_json:
        show_json(_rerun_facts(record, again))
    else:
        _show_rerun(record, again)
    if not again.identical:
        raise typer.Exit(1)


def _rerun_facts(record: StudyRecord, again: Rerun) -> dict[str, Any]:
    last = again.record.curve[-1]
    return {"study": record.key, "trial": again.record.number, **about(record.corpus)} | {
        "recorded": {"train_nats": last.train_nats, "dev_nats": last.dev_nats},
        "again": {"train_nats": again.train_nats, "dev_nats": again.dev_nats},
        "identical": again.identical,
        "changed": {what: {"then": then, "now": now} for what, (then, now) in again.changed.items()},
    }


def _show_rerun(record: StudyRecord, again: Rerun) -> None:
    last = again.record.curve[-1]
    console.print(f"trial {again.record.number} of {record.key} ({record.corpus.short}, {split_sizes(record)})")
    show_table(
        ("loss (nats per symbol)", "recorded", "again"),
        [
            ("train", f"{last.train_nats!r}", f"{again.train_nats!r}"),
            ("dev", f"{last.dev_nats!r}", f"{again.dev_nats!r}"),
        ],
    )
    for what, (then, now) in again.changed.items():
        console.print(f"{what} differs: then {then}, now {now}")
    if again.identical:
        console.print("identical to the last bit" + (", although versions differ" if again.changed else ""))
    else:
        reason = "another machine or other versions" if again.changed else "with the same versions"
        console.print(f"NOT identical: {reason}")


def baselines(
    corpus: Corpus = "names",
    context: Annotated[int, typer.Option(help="Context length.", min=1, max=64)] = 8,
    as_json: AsJson = False,
) -> None:
    """What counting alone reaches on a corpus, and below what no model of a context length can train."""
    data = load(corpus)
    found = count_baselines(data, context)
    if as_json:
        show_json({**about(data), **asdict(found), "best": asdict(found.best)})
        return
    n = {split: data.number_of_examples(split) for split in ("train", "dev")}
    console.print(
        f"{data.label} · fingerprint {data.fingerprint} · nats per symbol, exact means over whole splits: "
        f"train n={n['train']:,}, dev n={n['dev']:,}"
    )
    rows = [
        (row.name, f"{row.train_nats:.4f}", f"{row.dev_nats:.4f}", "lowest dev" if row is found.best else "")
        for row in (found.bigram, *found.kneser_ney)
    ]
    floor = (f"floor at context {context}", f"{found.floor:.4f}", "", "no model of this context trains below it")
    show_table(("counted", "train", "dev", ""), [*rows, floor])


def prune_check(
    name: StudyName, corpus: StoredCorpus = None, storage: StorageUrl = None, as_json: AsJson = False
) -> None:
    """Replay pruners over an unpruned study's curves: training seconds saved, and what that would have cost."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    trials = opened.trials(record.key)
    checked = replay_pruners(trials)
    noise = seed_noise(record.ranking)
    chosen = None if noise is None else safest(checked, noise)
    count = sum(trial.status == "complete" for trial in trials)
    if as_json:
        facts = {"study": record.key, **about(record.corpus), "complete": count, "shuffled_orders": ORDERS}
        found = {"pruners": [asdict(each) for each in checked], "seed_noise_nats": noise}
        show_json(facts | found | {"safest": None if chosen is None else chosen.pruner})
        return
    console.print(
        f"{record.key}: {record.corpus.short}; {count} complete trials in the recorded order, and {ORDERS} shuffled "
        "ones; saved: share of training seconds; regret: dev nats per symbol"
    )
    _show_checked(checked)
    if noise is None:
        console.print("what the seeds' noise is, only finalists can tell: let make study train them (FINALISTS=)")
        return
    console.print(f"the seeds' noise: a standard deviation of {noise:.4f} between the finalists' fresh seeds")
    console.print(
        f"saves most at a mean regret below that, with {LEAST_LEFT} trials or more left in every order: "
        f"{chosen.pruner if chosen else 'none of these'}"
    )


def _show_checked(checked: Sequence[Checked]) -> None:
    rows = [
        (
            each.pruner,
            str(each.recorded.stopped),
            f"{each.recorded.saved:.0%}",
            f"{each.recorded.regret:.4f}",
            f"{each.saved:.0%}",
            f"{each.regret:.4f}",
            f"{each.worst_regret:.4f}",
            str(each.fewest),
        )
        for each in checked
    ]
    show_table(("pruner", "stopped", "saved", "regret", "saved, shuffled", "mean regret", "worst", "fewest left"), rows)
