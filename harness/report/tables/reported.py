"""Experiments whose losses somebody else reported: each reported figure and the loss measured here, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor

from harness.report.results import Results
from harness.report.tables.table import Column
from harness.store.trial_record import TrialRecord, runs_of
from harness.study.experiment import Experiment, Reported

ONE_RUN = 0.03
"""Margin of a single run, in nats: five seeds of the lecture's last recipe span 0.022."""
_FEWEST = 3
"""With at least this many seeds, the margin is computed from their own spread."""

RULE = (
    "A reported figure is reproduced if it lies within the margin of the mean measured here, allowing for half a unit "
    "of its last digit. The margin is half of the 95 % prediction interval for one more seed, computed from the n "
    f"seeds that were run. With fewer than {_FEWEST} seeds it is {ONE_RUN} nats: five seeds of the lecture's last "
    "recipe span 0.022."
)


@dataclass(frozen=True)
class Measured:
    """A loss of several runs that differ by their seeds, in nats per symbol."""

    mean: float
    margin: float
    """Half of the 95 % prediction interval for one more run; ONE_RUN if there are too few seeds to compute it."""
    n: int

    @classmethod
    def of(cls, losses: Sequence[float]) -> Measured:
        n = len(losses)
        if n < _FEWEST:
            return cls(fmean(losses), ONE_RUN, n)
        return cls(fmean(losses), float(student.ppf(0.975, n - 1)) * stdev(losses) * math.sqrt(1 + 1 / n), n)

    def excess(self, figure: str) -> float:
        """How far a reported figure lies outside margin and rounding, in nats.

        0 if the figure is reproduced, positive if the loss measured here is higher, negative if it is lower.
        """
        difference = self.mean - float(figure)
        outside = max(0.0, abs(difference) - self.margin - rounding(figure))
        return math.copysign(outside, difference) if outside else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.margin:.3f}" if self.n >= _FEWEST else "")


def rounding(figure: str) -> float:
    """Half a unit of a figure's last digit: 2.3 stands for anything from 2.25 to 2.35."""
    return 0.5 * 10.0 ** -len(figure.partition(".")[2])


@dataclass(frozen=True)
class Row:
    """An experiment at one point of its runs."""

    experiment: str
    steps: int | None
    """None for the counted bigram, which takes no steps."""
    reported: Reported | None
    train: Measured | None
    """None while no run is complete."""
    dev: Measured | None

    @property
    def pairs(self) -> list[tuple[str, str, Measured]]:
        """Split, reported figure and measured loss, for each split that has both."""
        reported, splits = self.reported, (("train", self.train), ("dev", self.dev))
        return [
            (split, figure, measured)
            for split, measured in splits
            if measured is not None and reported is not None and (figure := getattr(reported, split)) is not None
        ]

    @property
    def is_reproduced(self) -> bool | None:
        """None if there is nothing to compare."""
        return all(measured.excess(figure) == 0 for _, figure, measured in self.pairs) if self.pairs else None

    @property
    def outcome(self) -> str:
        """`reproduced`, or which loss differs, by how much, and the known reason if there is one."""
        if self.is_reproduced is None:
            return "nothing reported" if self.reported is None else "not measured"
        excesses = [(split, measured.excess(figure)) for split, figure, measured in self.pairs]
        wrong = [f"{split} is {abs(by):.3f} {'higher' if by > 0 else 'lower'} here" for split, by in excesses if by]
        if not wrong:
            return "reproduced"
        reason = self.reported.remark if self.reported is not None and self.reported.remark else _NO_REASON
        return f"not reproduced: {' and '.join(wrong)} than margin and rounding allow ({reason})"


_NO_REASON = "the only known difference is the random seed, and the margin already allows for that"

COLUMNS = (
    Column("experiment", number=False, wrap=True),
    Column("after steps"),
    Column("train, reported"),
    Column("train, here"),
    Column("dev, reported"),
    Column("dev, here"),
    Column("n"),
    Column("outcome", number=False, wrap=True),
    Column("source", number=False),
)


def table_rows(found: Sequence[Row]) -> list[tuple[str, ...]]:
    """The rows as text, under COLUMNS."""
    return [
        (
            row.experiment,
            "" if row.steps is None else f"{row.steps:,}",
            (row.reported and row.reported.train) or "",
            str(row.train or ""),
            (row.reported and row.reported.dev) or "",
            str(row.dev or ""),
            str(row.dev.n) if row.dev is not None and row.steps is not None else "",
            row.outcome,
            row.reported.source if row.reported is not None else "",
        )
        for row in found
    ]


def rows(results: Results) -> list[Row]:
    """A row for each reported point, in the order of the experiments; an experiment without one gets its last step."""
    return [
        _row(results, experiment, reported)
        for experiment in results.study.first
        for reported in experiment.reported or (None,)
    ]


def _row(results: Results, experiment: Experiment, reported: Reported | None) -> Row:
    bigram = results.study.bigram
    if experiment.params is None:
        losses = [] if bigram is None else [(bigram.train_nats, bigram.dev_nats)]
        steps = None
    else:
        runs = runs_of(experiment, results.trials)
        at_end = next((run.steps for run in runs), None)
        steps = at_end if reported is None or reported.step is None else reported.step
        losses = [point for run in runs if (point := _losses_at(run, steps)) is not None]
    train, dev = ([pair[i] for pair in losses] for i in (0, 1))
    return Row(
        experiment.title, steps, reported, Measured.of(train) if train else None, Measured.of(dev) if dev else None
    )


def _losses_at(record: TrialRecord, steps: int | None) -> tuple[float, float] | None:
    """Train and dev nats of a run at a step, if it was evaluated there."""
    for point in record.curve:
        if point.step == steps and point.train_nats is not None and point.dev_nats is not None:
            return point.train_nats, point.dev_nats
    return None


def reported_frame(results: Results) -> pd.DataFrame:
    """`reported.csv`: one row per reported point. Losses in nats per symbol, means over `n` seeds."""
    return (
        pd.DataFrame([_numbers(row) for row in rows(results)])
        .astype({"steps": "Int64", "n": "Int64"})
        .assign(corpus=results.study.corpus.label, fingerprint=results.study.corpus.fingerprint)
    )


def _numbers(row: Row) -> dict[str, Any]:
    reported, train, dev = row.reported, row.train, row.dev
    return {
        "experiment": row.experiment,
        "steps": row.steps,
        "reported_train": None if reported is None else reported.train,
        "reported_dev": None if reported is None else reported.dev,
        "train_nats": None if train is None else train.mean,
        "train_margin": None if train is None else train.margin,
        "dev_nats": None if dev is None else dev.mean,
        "dev_margin": None if dev is None else dev.margin,
        "n": None if dev is None else dev.n,
        "comes_out": row.is_reproduced,
        "source": None if reported is None else reported.source,
        "remark": None if reported is None else reported.remark,
    }


@dataclass(frozen=True)
class MapFacts:
    """What a 2-D embedding shows, in numbers."""

    vowels: float
    """Mean distance between two vowels, divided by that between any two letters."""
    as_close: float
    """Share of all sets of as many letters whose mean distance is at most that of the vowels."""
    isolation: dict[str, int]
    """Rank of a symbol by the distance to its nearest neighbour; 1 for the largest distance."""
    symbols: int


def map_facts(table: Tensor, vocabulary: Sequence[str], watched: Sequence[str] = ("q", ".")) -> MapFacts | None:
    """How close the vowels are in a table (V, 2), and how isolated the watched symbols are.

    None with fewer than two vowels, or with more than 40 letters, because all sets of letters are tried.
    """
    letters = [i for i, symbol in enumerate(vocabulary) if symbol.isalpha()]
    vowels = [i for i in letters if vocabulary[i] in "aeiou"]
    if len(vowels) < 2 or len(letters) > 40:
        return None
    distances = torch.cdist(table.double(), table.double())
    sets = torch.tensor(list(combinations(letters, len(vowels))))
    pairs = list(combinations(range(len(vowels)), 2))
    means = torch.stack([distances[sets[:, a], sets[:, b]] for a, b in pairs]).mean(0)
    between_vowels = fmean(float(distances[a, b]) for a, b in combinations(vowels, 2))
    between_letters = fmean(float(distances[a, b]) for a, b in combinations(letters, 2))
    nearest = distances.fill_diagonal_(math.inf).min(1).values
    ranks = (-nearest).argsort().argsort() + 1
    return MapFacts(
        vowels=between_vowels / between_letters,
        as_close=float((means <= between_vowels + 1e-12).double().mean()),
        isolation={symbol: int(ranks[list(vocabulary).index(symbol)]) for symbol in watched if symbol in vocabulary},
        symbols=len(vocabulary),
    )
