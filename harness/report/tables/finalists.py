"""The finalists' round as frames and as a table: means over fresh seeds, intervals, and the winner."""

from __future__ import annotations

from statistics import fmean

import pandas as pd

from harness.report.frames import mixed_columns
from harness.report.results import Results
from harness.report.tables.table import markdown, nats_if_known
from harness.store.finalist_record import Finalist, Ranking
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.weights import unpack_arrays
from harness.study.definition import OBJECTIVES
from harness.words import plural


def runs_frame(results: Results) -> pd.DataFrame:
    """One row per contender and fresh seed. Losses are exact means over whole splits, in nats per symbol."""
    columns = ["contender", "trial", "seed", "status", "train_nats", "dev_nats", *mixed_columns(None)]
    rows = [
        {"contender": finalist.name, "trial": finalist.trial}
        | run.model_dump(exclude={"weights_artifact", "mixed"})
        | mixed_columns(run.mixed)
        for finalist in _finalists(results)
        for run in finalist.runs
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"trial": "Int64", "mixed_order": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


_OF_RANKING = ("objective", "tie_margin", "resolution", "selection_bias", "bias_repetitions")


def finalists_frame(results: Results) -> pd.DataFrame:
    """One row per contender, lowest mean dev first: mean, spread, 95 % intervals, optimism, ties, the winner.

    `optimism` is the fresh mean minus the loss in the search. `corrected_nats` is the winner's mean plus its
    `selection_bias`, if that is positive. What belongs to the ranking as a whole is the same in every row. Order,
    differences, ties, `p_better` and the correction are those of the loss named by `objective`.
    """
    ranking = results.study.ranking
    names = (
        "name", "trial", "parameters", "train_nats", "dev_nats", "deviation", "low", "high", "search_nats", "optimism",
        "mixed_nats", "mixed_deviation", "mixed_low", "mixed_high", "search_mixed_nats", "mixed_optimism",
        "behind", "behind_low", "behind_high", "tied", "out",
    )  # fmt: skip
    whole = {name: getattr(ranking, name, None) for name in _OF_RANKING}
    rows = [
        {name: getattr(finalist, name) for name in names}
        | {"winner": ranking is not None and finalist.name == ranking.winner, "seeds": len(finalist.runs)}
        | {"corrected_nats": None if ranking is None or finalist != ranking.won else ranking.corrected_nats}
        | whole
        | {f"p_better_than_{other}": p for other, p in finalist.p_better.items()}
        for finalist in _finalists(results)
    ]
    columns = [*names, "winner", "seeds", "corrected_nats", *_OF_RANKING]
    frame = pd.DataFrame(rows, columns=None if rows else columns).astype({"trial": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def distances_frame(results: Results) -> pd.DataFrame:
    """One row per model that the outcome is compared with: `nats` is the outcome's dev loss minus the other's."""
    found = results.study.distances
    columns = ["outcome", "seeds", "other", "other_nats", "nats", "low", "high"]
    rows = [] if found is None else [each.model_dump() for each in found.distances]
    frame = pd.DataFrame(rows, columns=columns)
    if found is not None:
        frame = frame.assign(outcome=found.outcome, seeds=found.seeds)
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def distances_items_frame(results: Results, storage: Storage) -> pd.DataFrame:
    """One row per dev item: its number of symbols, and its nats under every run of the outcome and of the others.

    `distances_frame` can be recomputed from it.

    Raises:
        StorageError: the stored losses are missing.
    """
    found = results.study.distances
    if found is None:
        return pd.DataFrame(columns=["item", "symbols"])
    kept = unpack_arrays(storage.kept_file(found.items_artifact))
    symbols, names = kept["symbols"], ["outcome", *(distance.other for distance in found.distances)]
    columns = {f"{name}, run {run}": nats for name in names for run, nats in enumerate(kept[name], start=1)}
    return pd.DataFrame({"item": range(len(symbols)), "symbols": symbols} | columns)


def items_frame(results: Results, storage: Storage) -> pd.DataFrame:
    """One row per dev item: its number of symbols, and its nats for each run (`trial 12, seed 123`), then for each
    run's mixture (`trial 12, seed 123, mixed`).

    `finalists_frame` can be recomputed from these columns. Empty without a ranking.

    Raises:
        StorageError: the stored losses are missing.
    """
    ranking = results.study.ranking
    if ranking is None or ranking.items_artifact is None:
        return pd.DataFrame(columns=["item", "symbols"])
    kept = unpack_arrays(storage.kept_file(ranking.items_artifact))
    columns = {
        f"{finalist.name}, seed {run.seed}{mixed}": kept[name][place, seed]
        for name, mixed in (("nats", ""), ("mixed", ", mixed"))
        if name in kept  # a ranking of before 0.5.0 has no mixtures
        for place, finalist in enumerate(f for f in ranking.finalists if not f.out)
        for seed, run in enumerate(finalist.runs)
    }
    return pd.DataFrame({"item": range(len(kept["symbols"])), "symbols": kept["symbols"]} | columns)


HEAD = (
    "contender", "mean dev (nats)", "95 %", "mean mixed (nats)", "95 % mixed", "corrected for selection", "spread",
    "search", "optimism (fresh mean minus search)", "parameters", "P(beats winner)", "",
)  # fmt: skip


def table_rows(ranking: Ranking) -> list[tuple[str, ...]]:
    """The rows of the table as text, under HEAD."""
    return [_row(finalist, ranking) for finalist in ranking.finalists]


def _row(finalist: Finalist, ranking: Ranking) -> tuple[str, ...]:
    won = finalist.name == ranking.winner
    beats = finalist.p_better.get(ranking.winner or "")
    mixed = ranking.objective == "mixed"
    search, optimism = (
        (finalist.search_mixed_nats, finalist.mixed_optimism) if mixed else (finalist.search_nats, finalist.optimism)
    )
    return (
        finalist.name,
        nats_if_known(finalist.dev_nats),
        _range(finalist.low, finalist.high),
        nats_if_known(finalist.mixed_nats),
        _range(finalist.mixed_low, finalist.mixed_high),
        nats_if_known(ranking.corrected_nats) if won else "",
        nats_if_known(ranking.deviation_of(finalist)),
        nats_if_known(search),
        "" if optimism is None else f"{optimism:+.4f}",
        f"{finalist.parameters:,}",
        "" if beats is None else f"{beats:.2f}",
        f"out: {finalist.out}" if finalist.out else "winner" if won else "tied with the best" if finalist.tied else "",
    )


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


FEW_ITEMS = 30
"""Dev items below which the coverage of a 95 % interval depends on how skewed the items' losses are."""


def remarks(study: StudyRecord) -> list[str]:
    """What a reader should know about the ranking as a whole, one sentence each; none for what was not recorded."""
    ranking, items = study.ranking, study.corpus.items["dev"]
    if ranking is None:
        return []
    n, seeds = f"n={items:,} items", len(ranking.seeds)
    of_seeds = plural(seeds, "fresh seed")
    lines = []
    if ranking.resolution is not None:
        lines.append(
            f"differences below {ranking.resolution:.4f} nats cannot be told apart on this dev split with "
            f"{of_seeds} ({n}; median half-width of the paired 95 % intervals)"
        )
    if ranking.tie_margin is not None:
        lines.append(
            f"a tie is at most {ranking.tie_margin:.4f} nats above the lowest mean: 2 standard errors of the noise "
            f"between seeds ({of_seeds})"
        )
    if ranking.selection_bias is not None:
        lines.append(
            f"selection bias: the winner's mean is expected to be {ranking.selection_bias:+.4f} nats higher on new "
            f"items, because it was chosen on these ({ranking.bias_repetitions} random halves of the {n}: chosen on "
            "one, judged on the other); no interval is corrected for it, and a negative estimate corrects nothing"
        )
    lines += _mixing(ranking)
    if ranking.finalists and ranking.tie_margin is not None and seeds == 1:
        lines.append("with one fresh seed, the noise between seeds is not measured but taken as 0.0024 nats")
    if ranking.finalists and seeds == 2 and not ranking.resamples:
        lines.append(
            "with two fresh seeds, a 95 % interval covers in 88 to 97 of 100 cases: 88 where the noise between seeds "
            "exceeds that between items"
        )
    if ranking.finalists and items < FEW_ITEMS:
        lines.append(
            f"{n} are few: a 95 % interval covers in 84 to 97 of 100 cases, fewer the more skewed their losses are"
        )
    return lines


def _mixing(ranking: Ranking) -> list[str]:
    """How the winner's runs are mixed with the counted n-gram, and what fitting their weights costs."""
    runs = () if ranking.won is None else ranking.won.runs
    found = [run.mixed for run in runs if run.mixed is not None]
    if not found:
        return []
    weights, costs = [mixed.weight for mixed in found], [mixed.fitting_cost for mixed in found]
    known = [cost for cost in costs if cost is not None]
    cost = f" at a cost of {fmean(known):.5f} nats (each half of the items scored with the weight of the other)"
    return [
        f"mixed with the counted {found[0].order}-gram: in the winner's {plural(len(found), 'run')}, the network has a "
        f"weight of {min(weights):.2f} to {max(weights):.2f}, fitted on dev{cost if known else ''}; with the paper's "
        f"fixed weight of 0.5, their mean is {fmean(mixed.even_nats for mixed in found):.4f} instead of "
        f"{fmean(mixed.dev_nats for mixed in found):.4f}"
    ]


def caption(results: Results) -> str:
    """What the numbers of the table are, and how the winner is chosen."""
    ranking = results.study.ranking
    if ranking is None:
        return f"The finalists of {results.study.key} have not been trained yet."
    if ranking.resamples:
        how = (
            f"The 95 % intervals are from {ranking.resamples:,} resamples of seeds and items, paired across "
            "contenders, and too narrow for few seeds."
        )
    else:
        how = (
            "The 95 % intervals are Student's t over seeds and items, paired across contenders; P is the confidence "
            "from the same distribution."
        )
    margin = ""
    if ranking.tie_margin is not None:
        margin = f", it is at most {ranking.tie_margin:.4f} nats above it, and P(the lowest is better) is below 0.9"
    return (
        f"Finalists of {results.study.key}, each trained with the same {plural(len(ranking.seeds), 'fresh seed')}. "
        f"Losses are in nats per symbol, exact means over the whole split ({results.label}). {how} Spread is the "
        f"standard deviation between seeds. Optimism is the fresh mean minus the loss in the search. {_by(ranking)}A "
        f"contender is tied with the lowest mean if the paired interval of their difference contains 0{margin}. The "
        "winner is the tied contender with the fewest parameters, then the one with the lower mean. The lecture's "
        "recipe never wins by a tie. A contender with a diverged seed is out."
    )


def _by(ranking: Ranking) -> str:
    """Which loss the ranking is by; empty if only one was recorded."""
    if all(finalist.mixed_nats is None for finalist in ranking.finalists):
        return ""
    return (
        "Mixed is the dev loss of each run mixed with the counted n-gram, its weight fitted on dev. Order, correction, "
        f"spread, search, optimism, P and ties are by {OBJECTIVES[ranking.objective]}. "
    )


def to_markdown(results: Results) -> str:
    """`finalists.md`: the caption and the table."""
    ranking = results.study.ranking
    if ranking is None:
        return f"{caption(results)}\n"
    lines = "".join(f"- {line}\n" for line in remarks(results.study))
    return f"{caption(results)}\n\n{markdown(HEAD, table_rows(ranking))}\n" + (f"\n{lines}" if lines else "")


def _finalists(results: Results) -> tuple[Finalist, ...]:
    ranking = results.study.ranking
    return () if ranking is None else ranking.finalists
