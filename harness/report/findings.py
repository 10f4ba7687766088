"""What to check in a study as a whole before its best trial is trusted.

The questions are those of the Deep Learning Tuning Playbook (Godbole et al. 2023): is the best value at the
edge of its range, did too many trials fail, were runs too short, which parameters mattered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from harness.errors import gist
from harness.report.frames import FEW_TRIALS, importance_frame
from harness.report.parameters import columns_of_study
from harness.report.results import Results
from harness.store.trial_record import TrialRecord
from harness.words import plural

EDGE = 0.05
"""Share of a range, on its own scale, that counts as its edge."""
LOST = 0.2
"""If at least this share of the trials failed or diverged, the space or the code should be checked."""
UNFINISHED = 0.25
"""If at least this share of the complete trials are still improving, the budget is too small."""
_ABSENT = object()
UNIMPORTANT = 0.05
"""A parameter mattered little if the upper end of its importance, over resamples, is below this."""


@dataclass(frozen=True)
class Edge:
    """A good trial's value at an edge of its range, and the range to try next."""

    parameter: str
    value: float
    low: float
    high: float
    next_low: float
    next_high: float

    def words(self, whose: str) -> str:
        """The finding as a sentence; `whose` names the trials with this value, each with it."""
        side = "upper" if self.next_high != self.high else "lower"
        return (
            f"{self.parameter} is at the {side} edge of {self.low:g} to {self.high:g} in {whose}: "
            f"try {self.next_low:.4g} to {self.next_high:.4g} next"
        )


def edges(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> list[Edge]:
    """Values within EDGE of an end of their range. A lower end of 0 is not an edge.

    The next range extends the old one at that end by half of its width, on its own scale.
    """
    found = []
    for name, value in params.items():
        distribution = distributions[name]
        if not isinstance(distribution, FloatDistribution | IntDistribution) or distribution.single():
            continue
        to_scale, from_scale = (np.log, np.exp) if distribution.log else (float, float)
        low, high, at = (float(to_scale(number)) for number in (distribution.low, distribution.high, value))
        ends = [distribution.low, distribution.high]
        if at >= high - EDGE * (high - low):
            beyond = from_scale(high + (high - low) / 2)
            share = distribution.low >= 0 and distribution.high < 1 and not distribution.log
            ends[1] = _upwards(distribution, min(beyond, (1 + distribution.high) / 2) if share else beyond)
        elif at <= low + EDGE * (high - low) and distribution.low != 0:
            least = 1 if isinstance(distribution, IntDistribution) else 0.0
            beyond = from_scale(low - (high - low) / 2)
            ends[0] = _downwards(distribution, max(beyond, least) if distribution.low > 0 else beyond)
        if ends != [distribution.low, distribution.high]:
            found.append(Edge(name, value, distribution.low, distribution.high, *ends))
    return found


def _upwards(distribution: FloatDistribution | IntDistribution, number: float) -> float:
    """A number rounded to two digits, if that leaves it outside the range."""
    rounded = math.ceil(number) if isinstance(distribution, IntDistribution) else float(f"{number:.2g}")
    return rounded if rounded > distribution.high else number


def _downwards(distribution: FloatDistribution | IntDistribution, number: float) -> float:
    rounded = math.floor(number) if isinstance(distribution, IntDistribution) else float(f"{number:.2g}")
    return rounded if rounded < distribution.low else min(number, distribution.low)


def findings(results: Results) -> list[str]:
    """What to know about a study as a whole, one sentence each; while no trial is complete, only what was lost."""
    if results.chosen is None:
        return _outcomes(results)
    return [*_overlap(results), *_edges(results), *_outcomes(results), *_importance(results)]


def _edges(results: Results) -> list[str]:
    """A sentence for each edge at which the chosen trial or a finalist tied with the best is, and which they are."""
    assert results.chosen is not None  # the caller has checked it
    trials, number = results.optuna_study.get_trials(deepcopy=False), results.chosen.trial.number
    ranking = results.study.ranking
    tied = () if ranking is None else (f.trial for f in ranking.finalists if f.tied and f.trial is not None)
    won = ranking is not None and ranking.won is not None and ranking.won.trial == number
    roles = {number: "the winner" if won else "the best of the search"}
    whose: dict[Edge, list[str]] = {}
    for trial in dict.fromkeys((number, *tied)):
        params, kinds = trials[trial].params, trials[trial].distributions
        names = columns_of_study(results.study, params)
        for edge in edges({names[n]: value for n, value in params.items()}, {names[n]: kinds[n] for n in params}):
            same = whose.setdefault(replace(edge, value=0.0), [])  # whatever the value is
            same.append(f"trial {trial} ({roles.get(trial, 'tied with the best')}: {edge.value:.4g})")
    return [edge.words(" and ".join(names)) for edge, names in whose.items()]


def _overlap(results: Results) -> list[str]:
    """Dev items that are in train too, if there are some."""
    overlap = results.study.overlap
    return [overlap.line] if overlap is not None and overlap.line else []


def _outcomes(results: Results) -> list[str]:
    lines = []
    counted = Counter(record.status for record in results.trials)
    all_trials = sum(counted.values())
    if counted["failed"] + counted["diverged"] >= LOST * max(1, all_trials):
        if counted["diverged"]:
            lines.append(f"{counted['diverged']} of {plural(all_trials, 'trial')} diverged: lower the learning rates")
        if counted["failed"]:
            lines.append(f"{counted['failed']} of {plural(all_trials, 'trial')} failed{_failures(results)}")
    refused = sum(record.pruned_because is not None for record in results.trials)
    if refused >= LOST * max(1, all_trials):
        lines.append(
            f"{refused} of {plural(all_trials, 'trial')} were pruned by the study's own code before they had losses: "
            "narrow the ranges to where its conditions hold"
        )
    verdicts = Counter(record.verdict for record in results.trials if record.status == "complete")
    improving, complete = verdicts["still improving"], counted["complete"]
    if complete and improving >= UNFINISHED * complete:
        lines.append(
            f"{improving} of {plural(complete, 'complete trial')} were still improving at their end: raise the budget"
        )
    return lines


def _failures(results: Results) -> str:
    """The commonest reason of the failed trials, what they have in common, and the way out."""
    failed = [record for record in results.trials if record.status == "failed"]
    reasons = Counter(gist(record.failure) for record in failed if record.failure)
    words = ""
    if reasons:
        ((commonest, times),) = reasons.most_common(1)
        reason = next(each.failure for each in failed if each.failure and gist(each.failure) == commonest)
        share = "all" if times == len(failed) else f"{times} of them"
        words = f", {share} with {shorten(reason, 120)!r}"
    if alike := _alike(results, failed):
        return f"{words}, every time where {alike}: fix suggest() or the model there, or take that out of the space"
    return f"{words}: fix suggest() or the model, or narrow the space to where they work"


def _alike(results: Results, failed: list[TrialRecord]) -> str:
    """`kind is 'b'` for every parameter that has one value in all failed trials and another in most of the rest."""
    rest = [record.params for record in results.trials if record.status != "failed"]
    if len({record.original for record in failed}) < 2:  # a single point, perhaps tried again
        return ""
    names = columns_of_study(results.study, failed[0].params)
    found = []
    for name, value in failed[0].params.items():
        apart = [params[name] != value for params in rest if name in params]
        if all(record.params.get(name, _ABSENT) == value for record in failed) and 2 * sum(apart) > len(apart):
            found.append(f"{names[name]} is {value!r}")
    return " and ".join(found)


def _importance(results: Results) -> list[str]:
    frame = importance_frame(results)
    if frame.empty:
        return []
    n = int(frame["n"].iloc[0])
    if n < FEW_TRIALS:
        few = f"{plural(n, 'complete trial')} {'is' if n == 1 else 'are'} too few"
        return [f"{few} to tell which parameters mattered (at least {FEW_TRIALS} are needed)"]
    top = frame.iloc[0]
    if top["low"] <= 1 / len(frame):  # the share that chance alone would give each of them
        return [f"no parameter mattered clearly more than the others (n={plural(n, 'complete trial')})"]
    lines = [
        f"the parameter that mattered most near the optimum: {top['parameter']}, {top['importance']:.0%} "
        f"({top['low']:.0%} to {top['high']:.0%} over resampled trials, n={n})"
    ]
    little = list(frame.loc[frame["high"] < UNIMPORTANT, "parameter"])
    return [*lines, f"parameters that mattered little in these trials: {', '.join(little)}"] if little else lines
