"""`report.html`: a study on one page that needs no other file, from its conclusion to its environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from harness.report.conclusion import commands, conclusion, config_rows
from harness.report.losses import SHOWN_ITEMS
from harness.report.pages.template import Shown, render_page, text_table
from harness.report.plots.curves import chosen_name
from harness.report.plots.plot import Drawn
from harness.report.results import Results
from harness.report.tables import holdout
from harness.report.tables.finalists import remarks
from harness.report.tables.leaderboard import caption, default_columns
from harness.report.tables.segments import COLUMNS, changes, segments_frame
from harness.report.tables.table import Column, cells, nats, whole

TITLES = {
    "winner": "The winner and how to run it again",
    "leaderboard": "Leaderboard",
    "next": "What to change next",
    "curves": "Train and dev curves",
    "gap": "Train against dev",
    "search": "The whole search",
    "range": "Learning-rate range",
    "embedding": "The embedding",
    "losses": "Loss by position, symbol and item",
    "samples": "Samples",
    "environment": "Environment",
}
_ITEMS = (
    Column("item", number=False),
    Column("nats_per_symbol", show=nats),
    Column("symbols", show=whole),
    Column("seen_in_train", show=lambda seen: "seen" if seen else "new", number=False, words="in train"),
)


class Pieces(NamedTuple):
    """What a page shows besides the records. Each frame is also written as csv."""

    drawn: Mapping[str, Drawn]
    leaderboard: pd.DataFrame
    items: pd.DataFrame
    samples: pd.DataFrame
    findings: list[str]
    checked: str
    """A sentence on the stored weights that were scored again."""


def report_page(results: Results, pieces: Pieces) -> str:
    """The page as HTML."""
    opening = results.opening
    board = default_columns(results, pieces.leaderboard)
    return render_page(
        "report.html.jinja",
        title=results.study.key,
        study=results.study,
        label=results.label,
        reported=any(experiment.reported for experiment in results.study.first),
        conclusion=conclusion(results),
        scored=None
        if opening is None or opening.scores is None
        else text_table(
            [Column(head, number=place > 0) for place, head in enumerate(holdout.SCORED_HEAD)],
            holdout.scored_rows(opening),
        ),
        remarks=[] if opening is None else holdout.remarks(opening),
        titles=TITLES,
        sections=list(TITLES.items()),
        config=config_rows(results),
        commands=commands(results),
        leaderboard=Shown(board, cells(pieces.leaderboard, board), caption(results), "leaderboard.csv"),
        next=_next(results, pieces.findings),
        plots=lambda names: [pieces.drawn[name] for name in names if name in pieces.drawn],
        best=_items(pieces.items[::-1]),
        worst=_items(pieces.items),
        items_caption=f"{chosen_name(results)}, a single run. An item's symbols include its end · {results.label}.",
        samples=_samples(results, pieces.samples),
        environment=_environment(results),
        checked=pieces.checked,
        changes=changes(results),
        segments=_segments(results),
        sources=[(number, part.sources) for number, part in enumerate(results.study.segments, start=1) if part.sources],
    )


def _next(results: Results, findings: list[str]) -> list[str]:
    lines = []
    if results.chosen is not None and results.chosen.trial.verdict is not None:
        trial = results.chosen.trial
        lines.append(
            f"trial {trial.number} is {trial.verdict} in its single run of the search: {results.chosen.advice}"
        )
    lines += remarks(results.study)
    return [*lines, *findings] or ["nothing to report yet"]


def _items(frame: pd.DataFrame) -> Shown:
    return Shown(_ITEMS, cells(frame.head(SHOWN_ITEMS), _ITEMS))


def _samples(results: Results, samples: pd.DataFrame) -> list[tuple[list[tuple[str, bool | None]], str]]:
    """The items drawn from the network, then those from its mixture, each with a caption."""
    return [
        (list(drawn[["sample", "seen_in_train"]].itertuples(index=False, name=None)), _caption(results, drawn, model))
        for model in ("network", "mixture")
        if not (drawn := samples[samples["model"] == model]).empty
    ]


def _caption(results: Results, samples: pd.DataFrame, model: str) -> str:
    known = samples["seen_in_train"]
    count = f"{int((~known.astype(bool)).sum())} of {len(samples)} are new; " if known.notna().all() else ""
    mixed = None if results.chosen is None else results.chosen.mixed
    alone = "" if len(results.mixed_samples) == 0 else " alone"
    how = alone if model == "network" or mixed is None else f" mixed with the counted {mixed.order}-gram"
    return f"{count}drawn from {chosen_name(results)}{how} with seed 0 · {results.study.corpus.short}."


def _segments(results: Results) -> Shown:
    return Shown(COLUMNS, cells(segments_frame(results), COLUMNS), file="segments.csv")


def _environment(results: Results) -> list[tuple[str, str]]:
    study, chosen = results.study, results.chosen
    corpus = study.corpus
    ended = ", ".join(f"{count} {status}" for status, count in Counter(r.status for r in results.trials).items())
    rows = [
        ("corpus", f"{corpus.label} ({corpus.variant})"),
        ("fingerprint", corpus.fingerprint),
        ("items", ", ".join(f"{split} {count:,}" for split, count in corpus.items.items())),
        ("examples", ", ".join(f"{split} {count:,}" for split, count in corpus.examples.items())),
        ("trials", f"{ended or 'none'}; {study.trials} requested; ended by {study.ending or 'nothing yet'}"),
        ("sampler", study.sampler),
        ("pruner", study.pruner),
        ("study seed", str(study.seed)),
        ("started", study.created),
        ("commit", study.commit or "unknown"),
    ]
    return rows + ([] if chosen is None else [(name, value) for name, value in chosen.trial.versions.items()])
