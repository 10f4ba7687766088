"""Where the chosen model's dev loss sits: by position in the item, by symbol, by item.

Computed from its stored weights: the chosen model is one run, and so are all numbers here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.report.results import Results
from harness.train import seen_in_train

END = "end"
"""What stands for the end of an item among the symbols."""
SHOWN_ITEMS = 10


def examples_frame(results: Results) -> pd.DataFrame:
    """One row per dev example: its item, position in it (from 1), symbol to predict, nats.

    Empty where no weights are stored, or the corpus is not at hand.
    """
    nats, corpus = results.dev_examples, results.corpus
    if nats is None or corpus is None:
        return pd.DataFrame(columns=["item", "position", "symbol", "nats"])
    items = corpus.items("dev")
    lengths = [len(item) + 1 for item in items]
    return pd.DataFrame(
        {
            "item": np.repeat(np.arange(len(items)), lengths),
            "position": np.concatenate([np.arange(1, length + 1) for length in lengths]),
            "symbol": [symbol for item in items for symbol in (*item, END)],
            "nats": nats,
        }
    )


def positions_frame(results: Results) -> pd.DataFrame:
    """Mean nats by position in the item, the end of an item counted where it stands; `share` of the whole loss."""
    return _grouped(examples_frame(results), "position").sort_values("position")


def symbols_frame(results: Results) -> pd.DataFrame:
    """Mean nats by the symbol to predict, with the largest share of the whole loss first."""
    return _grouped(examples_frame(results), "symbol").sort_values(["share", "symbol"], ascending=[False, True])


def _grouped(examples: pd.DataFrame, by: str) -> pd.DataFrame:
    """n, mean nats, its standard error (symbols taken for independent) and share of the total, by one column."""
    groups = examples.groupby(by)["nats"]
    frame = groups.agg(n="count", nats="mean", standard_error="sem").reset_index()
    return frame.assign(share=groups.sum().to_numpy() / max(float(examples["nats"].sum()), 1e-300))


def items_frame(results: Results) -> pd.DataFrame:
    """One row per dev item, worst first: its symbols (its end included), nats per symbol and in all, seen in train."""
    corpus = results.corpus
    columns = ["item", "symbols", "nats_per_symbol", "nats", "seen_in_train"]
    examples = examples_frame(results)
    if corpus is None or examples.empty:
        return pd.DataFrame(columns=columns)
    items = corpus.items("dev")
    sums = examples.groupby("item")["nats"].agg(["count", "sum"])
    frame = pd.DataFrame(
        {
            "item": items,
            "symbols": sums["count"].to_numpy(),
            "nats_per_symbol": (sums["sum"] / sums["count"]).to_numpy(),
            "nats": sums["sum"].to_numpy(),
            "seen_in_train": seen_in_train(items, corpus.items("train")),
        }
    )
    return frame.sort_values(["nats_per_symbol", "item"], ascending=[False, True])


def samples_frame(results: Results) -> pd.DataFrame:
    """New items from the chosen model, and whether each stands in train; empty marks where that cannot be told."""
    known = None if results.corpus is None else seen_in_train(results.samples, results.corpus.items("train"))
    return pd.DataFrame({"sample": results.samples, "seen_in_train": known})
