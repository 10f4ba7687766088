"""The leaderboard: finalists, the best other trials, then the recipe and the counted n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import pandas as pd

from harness.config import ModelConfig
from harness.lecture import RECIPE
from harness.report.parameters import choices_of, columns_of_study, parameters_frame
from harness.report.results import Results
from harness.report.tables.studies import UNCONFIRMED
from harness.report.tables.table import Column, Format, chosen, nats, render, short, whole
from harness.store.finalist_record import Finalist
from harness.store.trial_record import SeedRun, TrialRecord
from harness.study.definition import OBJECTIVES
from harness.train.diagnose import SEED_SPAN
from harness.words import plural

SHOWN = 10

_MEASURED = (
    Column("place", show=whole),
    Column("run", number=False),
    Column("dev", "nats", nats, marked=True),
    Column("low", "nats", nats, words="95 % from"),
    Column("high", "nats", nats, words="95 % to"),
    Column("mixed", "nats", nats, marked=True),
    Column("mixed_low", "nats", nats, words="mixed, 95 % from"),
    Column("mixed_high", "nats", nats, words="mixed, 95 % to"),
    Column("mixed_weight", show=lambda value: f"{value:.2f}", words="network's weight"),
    Column("n", "seeds", whole),
    Column("spread", "nats", nats),
    Column("search", "nats", nats),
    Column("train", "nats", nats),
    Column("gap", "nats", nats),
    Column("gap_error", "nats", nats),
    Column("verdict", number=False),
    Column("parameters", show=whole),
    Column("seconds", "", lambda value: f"{value:.1f}"),
    Column("trial", show=whole),
    Column("weights", number=False),
    Column("segment", show=whole),
    Column("note", number=False),
)
_DESCRIBED = (
    Column("context", show=whole),
    Column("embedding", show=whole),
    Column("hidden", show=whole),
    Column("batch", show=whole),
    Column("optimizer", show=short, number=False),
    Column("rate", show=lambda value: f"{value:.1e}"),
    Column("schedule", show=short, number=False),
    Column("dropout", show=lambda value: f"{value:.2f}"),
)
_WHOLE = ("place", "n", "parameters", "trial", "segment", "context", "embedding", "hidden", "batch")
DEFAULT = (
    "place", "run", "dev", "low", "high", "mixed", "mixed_low", "mixed_high", "mixed_weight", "n", "spread", "train",
    "gap", "gap_error", "verdict", "parameters", "seconds", "weights", "note",
    *(column.name for column in _DESCRIBED),
)  # fmt: skip


def columns_of(results: Results) -> list[Column]:
    """All columns that a leaderboard can have: results, config, and the study's own parameters."""
    unmarked = "dev" if results.study.objective == "mixed" else "mixed"
    fixed = [replace(column, marked=False) if column.name == unmarked else column for column in _MEASURED]
    fixed += [*_DESCRIBED, *_own_columns(results)]
    taken = {column.name for column in fixed}
    numbers = {column: not choices_of(results.study, name) for name, column in columns_of_study(results.study).items()}
    drawn = [Column(name, "", short, number) for name, number in numbers.items() if name not in taken]
    return [*fixed, *drawn]


def _own_columns(results: Results) -> list[Column]:
    """What only the models of this study have: knobs that are on, and settings of a user's own model."""
    kinds: dict[str, set[type]] = {}
    for record in results.trials:
        for key, value in ({} if record.config is None else _own_settings(record.config.model)).items():
            kinds.setdefault(key, set()).add(type(value))
    return [Column(key, "", short, kinds[key] <= {int, float}, words=key.split(".")[-1]) for key in sorted(kinds)]


def _own_settings(model: ModelConfig) -> dict[str, Any]:
    """By their keys in the config."""
    knobs = {name: getattr(model, name) for name in ("second_width", "direct_connections")}
    on = {f"model.{name}": value for name, value in knobs.items() if value}
    return on | {f"model.extra.{name}": value for name, value in model.extra.items()}


def leaderboard_frame(results: Results, shown: int = SHOWN) -> pd.DataFrame:
    """Finalists by their fresh means, the best other trials by their one run, then the recipe and counted n-grams.

    Losses are exact means over whole splits, in nats per symbol. `best` marks the winner; before the finalists' round
    nothing, because a single run is no match for means over seeds. `tied` marks those that are statistically tied with
    the lowest dev loss.
    """
    rows = [*_trial_rows(results, shown), *_recipe_row(results), *_counted_rows(results)]
    names = [*(column.name for column in columns_of(results)), "best", "tied"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.astype(dict.fromkeys(("best", "tied"), "boolean") | dict.fromkeys(_WHOLE, "Int64"))
    frame = frame.fillna({"best": False, "tied": False})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def _trial_rows(results: Results, shown: int) -> list[dict[str, Any]]:
    ranking = results.study.ranking
    records = {record.number: record for record in results.trials}
    drawn = _drawn(results)
    finalists = [] if ranking is None else [f for f in ranking.finalists if not f.is_recipe]
    won = None if ranking is None else ranking.winner
    rows = [
        _confirmed(finalist, records[finalist.trial or 0], finalist.name == won)
        | {"weights": results.weights_of(finalist.runs)}
        for finalist in finalists
    ]
    done = {finalist.trial for finalist in finalists}
    complete = [r for r in results.trials if r.status == "complete" and r.number not in done]
    known = [record for record in complete if record.objective_nats is not None]
    others = sorted(known, key=lambda record: record.objective_nats or 0.0)[: max(0, shown - len(rows))]
    for record in others:
        rows.append(_of_record(record, f"trial {record.number}") | {"weights": results.weights_of([record])})
    rows = [drawn[row["trial"]] | row for row in rows]
    if ranking is None and others:
        losses = [record.objective_nats or 0.0 for record in others]
        for row, loss in zip(rows, losses, strict=True):
            row |= {"tied": loss - losses[0] < SEED_SPAN, "note": UNCONFIRMED}
    return [row | {"place": place} for place, row in enumerate(rows, start=1)]


def _drawn(results: Results) -> dict[int, dict[str, Any]]:
    """The parameters of each trial, by its number and then by their columns."""
    frame = parameters_frame(results).astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    return {
        record.number: {str(k): v for k, v in row.items()} for record, row in zip(results.trials, rows, strict=True)
    }


def _of_record(record: TrialRecord, run: str) -> dict[str, Any]:
    row = {
        "run": run,
        "trial": record.number,
        "dev": record.dev_nats,
        "mixed": record.mixed_nats,
        "mixed_weight": _mean_weight(record.seeds) if record.mixed is None else record.mixed.weight,
        "n": max(1, len([seed for seed in record.seeds if seed.status == "complete"])),
        "train": record.train_nats,
        "gap": record.gap,
        "gap_error": record.gap_error,
        "verdict": record.verdict,
        "parameters": record.parameters,
        "seconds": record.seconds,
        "segment": record.segment,
    }
    config = record.config
    if config is None:
        return row
    return (
        row
        | {
            "context": config.model.context_length,
            "embedding": config.model.embedding_size,
            "hidden": config.model.hidden_width,
            "batch": config.batch_size,
            "optimizer": config.optimizer.kind,
            "rate": config.optimizer.learning_rate,
            "schedule": config.schedule.kind,
            "dropout": config.dropout,
        }
        | _own_settings(config.model)
    )


def _confirmed(finalist: Finalist, record: TrialRecord, won: bool) -> dict[str, Any]:
    """A finalist's row, with its means over fresh seeds in place of its run in the search."""
    gap = None if finalist.dev_nats is None or finalist.train_nats is None else finalist.dev_nats - finalist.train_nats
    note = f"out: {finalist.out}" if finalist.out else "winner" if won else "tied" if finalist.tied else ""
    return _of_record(record, finalist.name) | {
        "dev": finalist.dev_nats,
        "low": finalist.low,
        "high": finalist.high,
        **_mixed(finalist),
        "n": len(finalist.runs),
        "spread": finalist.deviation,
        "search": finalist.search_nats,
        "train": finalist.train_nats,
        "gap": gap,
        "gap_error": None,
        "note": note,
        "best": won,
        "tied": finalist.tied,
    }


def _mixed(finalist: Finalist) -> dict[str, Any]:
    """The mean of a finalist's mixtures over its fresh seeds, its interval, and the mean weight of the network."""
    return {
        "mixed": finalist.mixed_nats,
        "mixed_low": finalist.mixed_low,
        "mixed_high": finalist.mixed_high,
        "mixed_weight": _mean_weight(finalist.runs),
    }


def _mean_weight(runs: Sequence[SeedRun]) -> float | None:
    weights = [run.mixed.weight for run in runs if run.mixed is not None]
    return fmean(weights) if weights else None


def _recipe_row(results: Results) -> list[dict[str, Any]]:
    """The recipe's row: as it ranks in the finalists' round, or else as the mean of its own seeds."""
    if results.reference is None:
        return []
    row = _of_record(results.reference, RECIPE) | {"trial": None}
    ranking = results.study.ranking
    ranked = next((f for f in ranking.finalists if f.is_recipe), None) if ranking is not None else None
    if ranked is not None:
        fresh = ("dev_nats", "low", "high", "deviation", "train_nats")
        dev, low, high, spread, train = (getattr(ranked, name) for name in fresh)
        row |= {"dev": dev, "low": low, "high": high, "spread": spread, "train": train, "n": len(ranked.runs)}
        row |= _mixed(ranked)
        won = ranking is not None and ranking.winner == ranked.name
        row |= {"best": won, "tied": ranked.tied, "note": "winner" if won else ranked.out and f"out: {ranked.out}"}
        return [row | {"gap": None if dev is None or train is None else dev - train}]
    return [row | {"spread": _spread(results.reference.seeds)}]


def _spread(seeds: tuple[SeedRun, ...]) -> float | None:
    found = pd.Series([run.dev_nats for run in seeds if run.status == "complete"], dtype=float)
    return float(found.std()) if len(found) > 1 else None


def _counted_rows(results: Results) -> list[dict[str, Any]]:
    """The counted n-grams. They have no seeds, so `n` is empty."""
    study = results.study
    ngram = None if study.ngrams is None else study.ngrams.best
    counted: list[tuple[str, Any]] = [] if ngram is None else [(f"counted {ngram.order}-gram (Kneser-Ney)", ngram)]
    counted += [] if study.bigram is None else [("counted bigram", study.bigram)]
    return [
        {"run": run, "dev": found.dev_nats, "train": found.train_nats, "gap": found.dev_nats - found.train_nats}
        for run, found in counted
    ]


def caption(results: Results) -> str:
    """What the numbers of the leaderboard are, in a few sentences."""
    ranking = results.study.ranking
    if ranking is None:
        rows = (
            "Each trial is a single run, selected from many and not confirmed on fresh seeds, so none is bold. † marks "
            "trials within "
            f"{SEED_SPAN} of the lowest, a difference that seeds alone can make."
        )
    else:
        rows = (
            f"Finalists are means over {plural(len(ranking.seeds), 'fresh seed')}, with 95 % intervals over "
            f"seeds and items and "
            "the standard deviation between seeds. The trials below them are single runs of the search, so their "
            "losses are optimistic. The winner is bold; † marks trials that are statistically tied with the lowest "
            "mean. Verdict, seconds and parameters drawn are those of a trial's single run in the search."
        )
    return (
        f"Best trials of {results.study.key}. Losses are in nats per symbol, exact means over whole splits "
        f"({results.label}). {rows} Gap is dev minus train.{_mixing(results)}{_parts(results)}"
    )


def _mixing(results: Results) -> str:
    """What the mixed losses are; empty if none was recorded."""
    if results.mixed_nats is None:
        return ""
    return (
        " Mixed is the dev loss of w times the network plus 1 - w times the best counted n-gram of its context, with "
        f"the network's weight w fitted on dev for each run. The order is by {OBJECTIVES[results.study.objective]}."
    )


def _parts(results: Results) -> str:
    """The chosen trial's dev loss on items that are also in train, and on the others."""
    parts = results.study.dev_parts
    if parts is None or parts.seen_nats is None:
        return ""
    over = "" if parts.seeds == 1 else f" (mean of {plural(parts.seeds, 'fresh seed')})"
    scores = f"trial {parts.trial}{over} scores {parts.seen_nats:.4f} on them"
    if parts.unseen_nats is None:
        return f" All {parts.seen_items:,} dev items are also in train: {scores}, and nothing measures it on new items."
    return (
        f" {parts.seen_items:,} of {parts.seen_items + parts.unseen_items:,} dev items are also in train: "
        f"{scores} and {parts.unseen_nats:.4f} on the others."
    )


def default_columns(results: Results, frame: pd.DataFrame) -> list[Column]:
    """The columns in DEFAULT and a model's own settings, without those that are empty for this study."""
    own = _own_columns(results)
    columns = [column for column in columns_of(results) if column.name in DEFAULT or column in own]
    return [column for column in columns if frame[column.name].notna().any()]


def leaderboard(results: Results, form: Format, names: tuple[str, ...] = (), shown: int = SHOWN) -> str:
    """The leaderboard as text.

    Args:
        names: columns; none for the default ones, or for all columns as csv.
        shown: number of trials.

    Raises:
        ConfigError: there is no column of that name.
    """
    frame = leaderboard_frame(results, shown)
    known = columns_of(results)
    columns = chosen(known, names) if names else known if form == "csv" else default_columns(results, frame)
    return render(frame, columns, form, caption(results), results.study.key)
