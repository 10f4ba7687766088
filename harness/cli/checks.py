"""`harness rerun`, `harness baselines` and `harness prune-check`: checks on trials, corpora and pruners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import typer

from harness.cli.console import console, progress_console, show_json, show_table
from harness.cli.json_header import json_header
from harness.corpus import load
from harness.report.results import split_sizes
from harness.search.prune_check import LEAST_LEFT, ORDERS, Checked, prune_check, safest, seed_noise
from harness.search.rerun import Rerun, rerun
from harness.store.find import find_study
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage
from harness.store.study_record import StudyRecord
from harness.train import baselines
from harness.train.threads import one_thread


@quiet_optuna()
@one_thread()
def rerun_trial(name: str, trial: int, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Train a stored trial again and compare; exit code 1 if the losses differ in any bit."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    with progress_console(as_json).status(f"training trial {trial} again"):
        result = rerun(opened, record, trial)
    if as_json:
        show_json(_rerun_facts(record, result))
    else:
        _show_rerun(record, result)
    if not result.identical:
        raise typer.Exit(1)


def _rerun_facts(record: StudyRecord, result: Rerun) -> dict[str, Any]:
    last = result.record.curve[-1]
    return {"study": record.key, "trial": result.record.number, **json_header(record.corpus)} | {
        "recorded": {"train_nats": last.train_nats, "dev_nats": last.dev_nats},
        "again": {"train_nats": result.train_nats, "dev_nats": result.dev_nats},
        "identical": result.identical,
        "changed": {what: {"then": then, "now": now} for what, (then, now) in result.changed.items()},
    }


def _show_rerun(record: StudyRecord, result: Rerun) -> None:
    last = result.record.curve[-1]
    console.print(f"trial {result.record.number} of {record.key} ({record.corpus.short}, {split_sizes(record)})")
    show_table(
        ("loss (nats per symbol)", "recorded", "again"),
        [
            ("train", f"{last.train_nats!r}", f"{result.train_nats!r}"),
            ("dev", f"{last.dev_nats!r}", f"{result.dev_nats!r}"),
        ],
    )
    for what, (then, now) in result.changed.items():
        console.print(f"{what} differs: then {then}, now {now}")
    if result.identical:
        console.print("identical to the last bit" + (", although versions differ" if result.changed else ""))
    else:
        reason = "another machine or other versions" if result.changed else "with the same versions"
        console.print(f"NOT identical: {reason}")


@one_thread()
def count_ngrams(corpus_name: str, context_length: int, *, as_json: bool) -> None:
    """The losses of counted n-grams, and the floor of a context length."""
    corpus = load(corpus_name)
    counted = baselines(corpus, context_length)
    if as_json:
        show_json({**json_header(corpus), **asdict(counted), "best": asdict(counted.best)})
        return
    n = {split: corpus.number_of_examples(split) for split in ("train", "dev")}
    console.print(
        f"{corpus.label} · fingerprint {corpus.fingerprint} · nats per symbol, exact means over whole splits: "
        f"train n={n['train']:,}, dev n={n['dev']:,}"
    )
    rows = [
        (row.name, f"{row.train_nats:.4f}", f"{row.dev_nats:.4f}", "lowest dev" if row is counted.best else "")
        for row in (counted.bigram, *counted.kneser_ney)
    ]
    remark = "no model with this context has a lower train loss"
    floor = (f"floor at context {context_length}", f"{counted.floor:.4f}", "", remark)
    show_table(("counted", "train", "dev", ""), [*rows, floor])


@quiet_optuna()
def check_pruners(name: str, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Replay pruners on an unpruned study, and name the one that saves most at a regret below the noise of seeds."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    trials = opened.trials(record.key)
    checked = prune_check(trials)
    noise = seed_noise(record.ranking)
    chosen = None if noise is None else safest(checked, noise)
    count = sum(trial.status == "complete" for trial in trials)
    if as_json:
        facts = {"study": record.key, **json_header(record.corpus), "complete": count, "shuffled_orders": ORDERS}
        pruners = {"pruners": [asdict(each) for each in checked], "seed_noise_nats": noise}
        show_json(facts | pruners | {"safest": None if chosen is None else chosen.pruner})
        return
    console.print(
        f"{record.key}: {record.corpus.short}; {count} complete trials in the recorded order and in {ORDERS} shuffled "
        "orders; saved: share of training seconds; regret: dev nats per symbol"
    )
    _show_checked(checked)
    if noise is None:
        console.print("the noise between seeds is unknown without finalists; train some with make study (FINALISTS=)")
        return
    console.print(f"noise between seeds: a standard deviation of {noise:.4f} over the finalists' fresh seeds")
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
