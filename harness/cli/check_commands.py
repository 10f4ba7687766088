"""Commands that hold a search against something else: counted n-grams, other pruners."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.console import console, show_table
from harness.cli.run_commands import Corpus
from harness.cli.study_commands import Corpus as StudyCorpus
from harness.cli.study_commands import StorageUrl, StudyName
from harness.corpus import load
from harness.search.find import find_study
from harness.search.prune_check import ORDERS, safest, seed_noise
from harness.search.prune_check import prune_check as replay_pruners
from harness.search.storage import open_storage
from harness.train import baselines as count_baselines


def baselines(
    corpus: Corpus = "names",
    context: Annotated[int, typer.Option(help="Context length.", min=1, max=64)] = 8,
) -> None:
    """What counting alone reaches on a corpus, and below what no model of a context length can train."""
    data = load(corpus)
    found = count_baselines(data, context)
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


def prune_check(name: StudyName, corpus: StudyCorpus = None, storage: StorageUrl = None) -> None:
    """Replay pruners over an unpruned study's curves: training seconds saved, and what that would have cost."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    trials = opened.trials(record.key)
    checked = replay_pruners(trials)
    complete = sum(trial.status == "complete" for trial in trials)
    console.print(
        f"{record.key}: {record.corpus.short}; {complete} complete trials in the recorded order, and {ORDERS} shuffled "
        "ones; saved: share of training seconds; regret: dev nats per symbol"
    )
    rows = [
        (
            each.pruner,
            str(each.recorded.stopped),
            f"{each.recorded.saved:.0%}",
            f"{each.recorded.regret:.4f}",
            f"{each.saved:.0%}",
            f"{each.worst_regret:.4f}",
        )
        for each in checked
    ]
    show_table(("pruner", "stopped", "saved", "regret", "saved, shuffled", "worst regret"), rows)
    noise = seed_noise(record.standing)
    if noise is None:
        console.print("what the seeds' noise is, only finalists can tell: let make study train them (FINALISTS=)")
        return
    chosen = safest(checked, noise)
    console.print(f"two runs of one config differ by up to {noise:.4f} (95 %, from the finalists' fresh seeds)")
    console.print(f"saves most at a worst regret below that: {chosen.pruner if chosen else 'none of these'}")
