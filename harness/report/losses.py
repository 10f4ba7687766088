"""The chosen model's dev loss by position in the item, by symbol and by item, in nats per symbol.

It is computed from the stored weights of a single run, so none of these numbers is a mean over seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.report.results import Results
from harness.train import seen_in_train

END = "end"
"""The name of the end of an item among the symbols."""
SHOWN_ITEMS = 10


def examples_frame(results: Results) -> pd.DataFrame:
    """One row per dev example: its item, its position in the item (from 1), the target symbol and its nats.

    Empty if no weights are stored or if the corpus is not available.
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
    """Mean nats by position in the item, and their `share` of the whole loss; the end of an item is a position too."""
    return _grouped(examples_frame(results), "position").sort_values("position")


def symbols_frame(results: Results) -> pd.DataFrame:
    """Mean nats by target symbol, the largest `share` of the whole loss first."""
    return _grouped(examples_frame(results), "symbol").sort_values(["share", "symbol"], ascending=[False, True])


def _grouped(examples: pd.DataFrame, by: str) -> pd.DataFrame:
    """n, mean nats, their standard error (as if symbols were independent) and their share of the total."""
    groups = examples.groupby(by)["nats"]
    frame = groups.agg(n="count", nats="mean", standard_error="sem").reset_index()
    return frame.assign(share=groups.sum().to_numpy() / max(float(examples["nats"].sum()), 1e-300))


def items_frame(results: Results) -> pd.DataFrame:
    """One row per dev item, highest loss first: number of symbols (with its end), nats, and whether it is in train."""
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
    """Items drawn from the chosen model, the `network`, then from its `mixture` with the counted n-gram.

    `seen_in_train` says whether they are in train, None without the corpus.
    """
    drawn = [*results.samples, *results.mixed_samples]
    known = None if results.corpus is None else seen_in_train(drawn, results.corpus.items("train"))
    models = ["network"] * len(results.samples) + ["mixture"] * len(results.mixed_samples)
    return pd.DataFrame({"sample": drawn, "seen_in_train": known, "model": models})
