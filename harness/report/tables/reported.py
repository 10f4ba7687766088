"""A road: experiments in somebody else's order, what they reported of each beside what is measured here."""

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
from harness.store.trial_record import TrialRecord, runs_of
from harness.study.experiment import Experiment, Reported

ONE_RUN = 0.03
"""What a single run may be off, in nats: five seeds of the lecture's last recipe span 0.022."""
_FEWEST = 3
"""From so many seeds on, their own spread says what a run may be off."""


RULE = (
    "A reported figure comes out if, give or take half of its last digit, it lies within the margin of the mean "
    "measured here. The margin is half of the 95 % prediction interval for one further seed, from the n seeds run; "
    f"below {_FEWEST} of them it is {ONE_RUN} nats, for five seeds of the lecture's last recipe span 0.022."
)


@dataclass(frozen=True)
class Measured:
    """One loss of several runs that differ by their seeds, and where another run would lie."""

    mean: float
    margin: float
    """Half of the 95 % prediction interval for one further run; ONE_RUN where seeds are too few to tell."""
    n: int

    @classmethod
    def of(cls, losses: Sequence[float]) -> Measured:
        n = len(losses)
        if n < _FEWEST:
            return cls(fmean(losses), ONE_RUN, n)
        return cls(fmean(losses), float(student.ppf(0.975, n - 1)) * stdev(losses) * math.sqrt(1 + 1 / n), n)

    def off(self, figure: str) -> float:
        """How far beyond margin and rounding a reported figure lies: 0 if it comes out; above 0 if the loss here is."""
        lower = self.mean - float(figure)
        beyond = max(0.0, abs(lower) - self.margin - rounding(figure))
        return math.copysign(beyond, lower) if beyond else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ± {self.margin:.3f}" if self.n >= _FEWEST else "")


def rounding(figure: str) -> float:
    """Half of a figure's last digit: 2.3 may have been anything from 2.25 to 2.35."""
    return 0.5 * 10.0 ** -len(figure.partition(".")[2])


@dataclass(frozen=True)
class Row:
    """An experiment at one point of its runs."""

    experiment: str
    steps: int | None
    """None for what is counted and takes no steps."""
    reported: Reported | None
    train: Measured | None
    """None while no run is complete."""
    dev: Measured | None

    @property
    def pairs(self) -> list[tuple[str, str, Measured]]:
        """Split, reported figure and measured loss, for each figure that there is."""
        told, sides = self.reported, (("train", self.train), ("dev", self.dev))
        return [
            (split, figure, measured)
            for split, measured in sides
            if measured is not None and told is not None and (figure := getattr(told, split)) is not None
        ]

    @property
    def comes_out(self) -> bool | None:
        """None where there is nothing to compare."""
        return all(measured.off(figure) == 0 for _, figure, measured in self.pairs) if self.pairs else None

    @property
    def verdict(self) -> str:
        """`comes out`, or what does not, by how much, and why as far as is known."""
        if self.comes_out is None:
            return "nothing reported" if self.reported is None else "not measured"
        off = [(split, measured.off(figure)) for split, figure, measured in self.pairs]
        wrong = [f"{split} here is {abs(by):.3f} {'higher' if by > 0 else 'lower'}" for split, by in off if by]
        if not wrong:
            return "comes out"
        why = self.reported.remark if self.reported is not None and self.reported.remark else _NO_REASON
        return f"does not: {' and '.join(wrong)} than margin and rounding allow ({why})"


_NO_REASON = "no difference is known but the generator's draws, which the seeds here vary too"


def rows(results: Results) -> list[Row]:
    """In the road's order, one for each point that was reported; one at the end where none was."""
    found = []
    for experiment in results.study.first:
        for told in experiment.reported or (None,):
            found.append(_row(results, experiment, told))
    return found


def _row(results: Results, experiment: Experiment, told: Reported | None) -> Row:
    bigram = results.study.bigram
    if experiment.params is None:
        losses = [] if bigram is None else [(bigram.train_nats, bigram.dev_nats)]
        steps = None
    else:
        runs = runs_of(experiment, results.trials)
        steps = told.step if told is not None and told.step is not None else next((r.steps for r in runs), None)
        losses = [point for record in runs if (point := _at(record, steps)) is not None]
    train, dev = ([pair[i] for pair in losses] for i in (0, 1))
    return Row(experiment.title, steps, told, Measured.of(train) if train else None, Measured.of(dev) if dev else None)


def _at(record: TrialRecord, steps: int | None) -> tuple[float, float] | None:
    """Train and dev nats of a run where it was evaluated at that step."""
    for point in record.curve:
        if point.step == steps and point.train_nats is not None and point.dev_nats is not None:
            return point.train_nats, point.dev_nats
    return None


def road_frame(results: Results) -> pd.DataFrame:
    """`road.csv`: one row per reported point. Losses in nats per symbol, means over `n` seeds."""
    return (
        pd.DataFrame([_plain(row) for row in rows(results)])
        .astype({"steps": "Int64", "n": "Int64"})
        .assign(corpus=results.study.corpus.label, fingerprint=results.study.corpus.fingerprint)
    )


def _plain(row: Row) -> dict[str, Any]:
    told, train, dev = row.reported, row.train, row.dev
    return {
        "experiment": row.experiment,
        "steps": row.steps,
        "reported_train": None if told is None else told.train,
        "reported_dev": None if told is None else told.dev,
        "train_nats": None if train is None else train.mean,
        "train_margin": None if train is None else train.margin,
        "dev_nats": None if dev is None else dev.mean,
        "dev_margin": None if dev is None else dev.margin,
        "n": None if dev is None else dev.n,
        "comes_out": row.comes_out,
        "source": None if told is None else told.source,
        "remark": None if told is None else told.remark,
    }


@dataclass(frozen=True)
class MapFacts:
    """What a 2-D embedding shows, as numbers."""

    vowels: float
    """Mean distance between two vowels over that between any two letters."""
    as_close: float
    """Share of all sets of as many letters that lie as close together as the vowels, or closer."""
    lonely: dict[str, int]
    """Rank of a symbol's distance to its nearest neighbour; 1 for the one farthest from any other."""
    symbols: int


def map_facts(table: Tensor, vocabulary: Sequence[str], apart: Sequence[str] = ("q", ".")) -> MapFacts | None:
    """Whether vowels stand together and some symbols apart in a table (V, 2); None without letters and vowels."""
    letters = [i for i, symbol in enumerate(vocabulary) if symbol.isalpha()]
    vowels = [i for i in letters if vocabulary[i] in "aeiou"]
    if len(vowels) < 2 or len(letters) > 40:  # all sets of five are gone through
        return None
    distances = torch.cdist(table.double(), table.double())
    sets = torch.tensor(list(combinations(letters, len(vowels))))
    pairs = list(combinations(range(len(vowels)), 2))
    means = torch.stack([distances[sets[:, a], sets[:, b]] for a, b in pairs]).mean(0)
    own = fmean(float(distances[a, b]) for a, b in combinations(vowels, 2))
    nearest = distances.fill_diagonal_(math.inf).min(1).values
    ranks = (-nearest).argsort().argsort() + 1
    return MapFacts(
        vowels=own / fmean(float(distances[a, b]) for a, b in combinations(letters, 2)),
        as_close=float((means <= own + 1e-12).double().mean()),
        lonely={symbol: int(ranks[list(vocabulary).index(symbol)]) for symbol in apart if symbol in vocabulary},
        symbols=len(vocabulary),
    )
