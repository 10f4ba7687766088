"""The finalists' round as frames and as a table: means over fresh seeds, intervals, and the winner."""

from __future__ import annotations

import pandas as pd

from harness.report.results import Results
from harness.report.tables.table import markdown, nats_if_known
from harness.store.finalist_record import Finalist, Ranking
from harness.store.storage import Storage
from harness.store.weights import unpack_arrays
from harness.words import plural


def runs_frame(results: Results) -> pd.DataFrame:
    """One row per contender and fresh seed. Losses are exact means over whole splits, in nats per symbol."""
    columns = ["contender", "trial", "seed", "status", "train_nats", "dev_nats"]
    rows = [
        {"contender": finalist.name, "trial": finalist.trial} | run.model_dump(exclude={"weights_artifact"})
        for finalist in _finalists(results)
        for run in finalist.runs
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"trial": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def finalists_frame(results: Results) -> pd.DataFrame:
    """One row per contender, lowest mean dev first: mean, spread, 95 % intervals, optimism, ties, the winner."""
    ranking = results.study.ranking
    names = (
        "name", "trial", "parameters", "train_nats", "dev_nats", "deviation", "low", "high", "search_nats", "optimism",
        "behind", "behind_low", "behind_high", "tied", "out",
    )  # fmt: skip
    rows = [
        {name: getattr(finalist, name) for name in names}
        | {"winner": ranking is not None and finalist.name == ranking.winner, "seeds": len(finalist.runs)}
        | {f"p_better_than_{other}": p for other, p in finalist.p_better.items()}
        for finalist in _finalists(results)
    ]
    frame = pd.DataFrame(rows, columns=None if rows else [*names, "winner", "seeds"]).astype({"trial": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def items_frame(results: Results, storage: Storage) -> pd.DataFrame:
    """One row per dev item: its number of symbols, and its nats for each run (`trial 12, seed 123`).

    `finalists_frame` can be recomputed from these columns. Empty without a ranking.

    Raises:
        StorageError: the stored losses are missing.
    """
    ranking = results.study.ranking
    if ranking is None or ranking.items_artifact is None:
        return pd.DataFrame(columns=["item", "symbols"])
    kept = unpack_arrays(storage.kept_file(ranking.items_artifact))
    columns = {
        f"{finalist.name}, seed {run.seed}": kept["nats"][place, seed]
        for place, finalist in enumerate(f for f in ranking.finalists if not f.out)
        for seed, run in enumerate(finalist.runs)
    }
    return pd.DataFrame({"item": range(len(kept["symbols"])), "symbols": kept["symbols"]} | columns)


HEAD = ("contender", "mean dev", "95 %", "spread", "search", "optimism", "parameters", "P(beats winner)", "")


def table_rows(ranking: Ranking) -> list[tuple[str, ...]]:
    """The rows of the table as text, under HEAD."""
    return [_row(finalist, ranking) for finalist in ranking.finalists]


def _row(finalist: Finalist, ranking: Ranking) -> tuple[str, ...]:
    won = finalist.name == ranking.winner
    beats = finalist.p_better.get(ranking.winner or "")
    return (
        finalist.name,
        nats_if_known(finalist.dev_nats),
        "" if finalist.low is None or finalist.high is None else f"{finalist.low:.4f} to {finalist.high:.4f}",
        nats_if_known(finalist.deviation),
        nats_if_known(finalist.search_nats),
        "" if finalist.optimism is None else f"{finalist.optimism:+.4f}",
        f"{finalist.parameters:,}",
        "" if beats is None else f"{beats:.2f}",
        f"out: {finalist.out}" if finalist.out else "winner" if won else "tied with the best" if finalist.tied else "",
    )


def caption(results: Results) -> str:
    """What the numbers of the table are, and how the winner is chosen."""
    ranking = results.study.ranking
    if ranking is None:
        return f"The finalists of {results.study.key} have not been trained yet."
    return (
        f"Finalists of {results.study.key}, each trained with the same "
        f"{plural(len(ranking.seeds), 'fresh seed')}. Losses are in "
        f"nats per symbol, exact means over the whole split ({results.label}). The 95 % intervals are from "
        f"{ranking.resamples:,} resamples of seeds and items, paired across contenders. With few seeds S, the part of "
        "the interval that is due to seeds is too narrow by a factor of sqrt((S - 1) / S). Spread is the standard "
        "deviation between seeds. Optimism is the loss in the search minus the fresh mean. A contender is tied with "
        "the lowest mean if the paired interval of their difference contains 0. The winner is the tied contender with "
        "the fewest parameters, then the one with the lower mean. The lecture's recipe never wins by a tie. A "
        "contender with a diverged seed is out."
    )


def to_markdown(results: Results) -> str:
    """`finalists.md`: the caption and the table."""
    ranking = results.study.ranking
    if ranking is None:
        return f"{caption(results)}\n"
    return f"{caption(results)}\n\n{markdown(HEAD, table_rows(ranking))}\n"


def _finalists(results: Results) -> tuple[Finalist, ...]:
    ranking = results.study.ranking
    return () if ranking is None else ranking.finalists
