"""Several studies as one table: a row for each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from harness.corpus.overlap import in_percent
from harness.lecture import RECIPE
from harness.report.results import Results
from harness.report.tables.table import Column, nats, whole

UNCONFIRMED = "one run, not confirmed"
COLUMNS = (
    Column("study", number=False),
    Column("corpus", number=False),
    Column("fingerprint", number=False),
    Column("chosen", number=False),
    Column("dev", "nats", nats, marked=True),
    Column("mixed", "nats", nats, words="mixed with the counted n-gram"),
    Column("n", "seeds", whole),
    Column("confirmed", number=False, show=lambda confirmed: "on fresh seeds" if confirmed else UNCONFIRMED),
    Column("low", "nats", nats, words="95 % from"),
    Column("high", "nats", nats, words="95 % to"),
    Column("objective", number=False, words="searched by"),
    Column("corrected", "nats", nats, words="corrected for selection, of that loss"),
    Column("recipe", "nats", nats, words=f"{RECIPE}, mean of its seeds"),
    Column("counted", "nats", nats, words="best counted n-gram"),
    Column("in_train", show=in_percent, number=False, words="dev items in train"),
    Column("train", "nats", nats),
    Column("verdict", number=False, words="verdict of its run in the search"),
    Column("parameters", show=whole),
    Column("complete", show=whole),
    Column("trials", show=whole),
    Column("seconds", show=whole, words="seconds of training"),
    Column("ended_by", number=False),
    Column("test_split", number=False),
)


def studies_frame(several: list[Results]) -> pd.DataFrame:
    """One row per study; losses in nats per symbol.

    `best` marks the lowest mean over fresh seeds among the studies of one fingerprint, if at least two of them have a
    dev loss. A single run of a search is never the best: it is the luckiest of many.
    """
    frame = pd.DataFrame([_row(results) for results in several], columns=[column.name for column in COLUMNS])
    confirmed = frame["dev"].astype(float).where(frame["confirmed"].eq(True))
    lowest = confirmed.groupby(frame["fingerprint"]).transform("min")
    compared = frame.groupby("fingerprint")["dev"].transform("count") > 1
    return frame.assign(best=(confirmed == lowest) & compared)


def _row(results: Results) -> dict[str, Any]:
    study, chosen, won = results.study, results.chosen, results.won
    row = {
        "study": study.key,
        "corpus": study.corpus.label,
        "fingerprint": study.corpus.fingerprint,
        "dev": results.dev_nats,
        "mixed": results.mixed_nats,
        "objective": study.objective,
        "recipe": None if results.reference is None else results.reference.dev_nats,
        "counted": None if study.ngrams is None else study.ngrams.best.dev_nats,
        "in_train": None if study.overlap is None else study.overlap.share,
        "complete": Counter(record.status for record in results.trials)["complete"],
        "trials": len(results.trials),
        "seconds": sum(record.seconds or 0.0 for record in results.trials),
        "ended_by": study.ending or None,
        "test_split": results.test_split,
    }
    if chosen is not None:
        row |= {"verdict": chosen.trial.verdict, "confirmed": won is not None}
    if won is not None:
        row |= {"chosen": won.name, "n": len(won.runs), "low": won.low, "high": won.high, "train": won.train_nats}
        row["corrected"] = None if study.ranking is None else study.ranking.corrected_nats
        row["parameters"] = won.parameters
    elif chosen is not None:
        trial = chosen.trial
        row |= {"chosen": f"trial {trial.number}", "n": 1, "train": trial.train_nats, "parameters": trial.parameters}
    return row
