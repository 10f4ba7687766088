"""Several studies as one table: a row for each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from harness.lecture import RECIPE
from harness.report.results import Results
from harness.report.tables.table import Column, nats, whole

COLUMNS = (
    Column("study", number=False),
    Column("corpus", number=False),
    Column("fingerprint", number=False),
    Column("chosen", number=False),
    Column("dev", "nats", nats, marked=True),
    Column("n", "seeds", whole),
    Column("low", "nats", nats, words="95 % from"),
    Column("high", "nats", nats, words="95 % to"),
    Column("recipe", "nats", nats, words=RECIPE),
    Column("counted", "nats", nats, words="best counted n-gram"),
    Column("train", "nats", nats),
    Column("verdict", number=False),
    Column("parameters", show=whole),
    Column("complete", show=whole),
    Column("trials", show=whole),
    Column("seconds", show=whole, words="seconds of training"),
    Column("ended_by", number=False),
    Column("test_split", number=False),
)


def studies_frame(several: list[Results]) -> pd.DataFrame:
    """One row per study; losses in nats per symbol.

    `best` marks the lowest dev loss among the studies of one fingerprint, if there are at least two of them.
    """
    frame = pd.DataFrame([_row(results) for results in several], columns=[column.name for column in COLUMNS])
    by_fingerprint = frame.groupby("fingerprint")["dev"]
    return frame.assign(
        best=(frame["dev"] == by_fingerprint.transform("min")) & (by_fingerprint.transform("count") > 1)
    )


def _row(results: Results) -> dict[str, Any]:
    study, chosen, won = results.study, results.chosen, results.won
    row = {
        "study": study.key,
        "corpus": study.corpus.label,
        "fingerprint": study.corpus.fingerprint,
        "dev": results.dev_nats,
        "recipe": None if results.reference is None else results.reference.dev_nats,
        "counted": None if study.ngrams is None else study.ngrams.best.dev_nats,
        "complete": Counter(record.status for record in results.trials)["complete"],
        "trials": len(results.trials),
        "seconds": sum(record.seconds or 0.0 for record in results.trials),
        "ended_by": study.ended_by,
        "test_split": results.test_split,
    }
    if chosen is not None:
        row["verdict"] = chosen.trial.verdict
    if won is not None:
        row |= {"chosen": won.name, "n": len(won.runs), "low": won.low, "high": won.high, "train": won.train_nats}
        row["parameters"] = won.parameters
    elif chosen is not None:
        trial = chosen.trial
        row |= {"chosen": f"trial {trial.number}", "n": 1, "train": trial.train_nats, "parameters": trial.parameters}
    return row
