"""The advice compared with random changes: how often each lowered dev, by how much, and with what significance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd
from scipy import stats

from harness.bench.advice import Followed
from harness.train import Nats

_WORST = 1e6
"""Value of a loss that is not finite when losses are ranked; worse than any finite loss."""


@dataclass(frozen=True)
class Compared:
    """A group of trials with advice. Changes of dev are in nats per symbol; below 0 is better."""

    group: str
    trials: int
    advice_lowered: int
    change_lowered: int
    advice_median: Nats
    change_median: Nats
    advice_mean: Nats
    """NaN if one of the losses is not finite."""
    change_mean: Nats
    advice_won: int
    """Trials whose dev was lower after the advice than after the random change."""
    tied: int
    mcnemar_p: float
    """Exact, two-sided; null hypothesis: both lower dev equally often (McNemar 1947)."""
    sign_p: float
    """Exact, two-sided; null hypothesis: each gives the lower dev equally often. Ties are left out."""
    wilcoxon_p: float
    """Two-sided signed-rank test of the differences (Wilcoxon 1945)."""


def compare(rows: Sequence[Followed]) -> list[Compared]:
    """Compare all trials, those without a change of budget, those that did not diverge, and each verdict's trials."""
    with_advice = [row for row in rows if row.advised_nats is not None]
    groups: dict[str, Callable[[Followed], bool]] = {
        "all": lambda _: True,
        "no change of budget on either side": lambda row: "budget" not in (row.advice_knob, row.change_knob),
        "all but diverged": lambda row: row.verdict != "diverged",
    }
    verdicts = dict.fromkeys(row.verdict for row in with_advice)
    found = [(name, [row for row in with_advice if belongs(row)]) for name, belongs in groups.items()]
    found += [(verdict, [row for row in with_advice if row.verdict == verdict]) for verdict in verdicts]
    return [_compared(name, chosen) for name, chosen in found if chosen]


def _compared(group: str, rows: Sequence[Followed]) -> Compared:
    before, advised, changed = (
        [_ranked(nats) for nats in column]
        for column in zip(*((row.dev_nats, row.advised_nats, row.changed_nats) for row in rows), strict=True)
    )
    by_advice = [after - first for after, first in zip(advised, before, strict=True)]
    by_change = [after - first for after, first in zip(changed, before, strict=True)]
    lowered = [(a < 0, c < 0) for a, c in zip(by_advice, by_change, strict=True)]
    differences = [a - c for a, c in zip(advised, changed, strict=True)]
    won, lost = sum(nats < 0 for nats in differences), sum(nats > 0 for nats in differences)
    return Compared(
        group=group,
        trials=len(rows),
        advice_lowered=sum(a for a, _ in lowered),
        change_lowered=sum(c for _, c in lowered),
        advice_median=statistics.median(by_advice),
        change_median=statistics.median(by_change),
        advice_mean=_mean(by_advice),
        change_mean=_mean(by_change),
        advice_won=won,
        tied=len(rows) - won - lost,
        mcnemar_p=_binomial_p(lowered.count((True, False)), lowered.count((False, True))),
        sign_p=_binomial_p(won, lost),
        wilcoxon_p=float(stats.wilcoxon(differences).pvalue) if won + lost else 1.0,
    )


def _ranked(nats: Nats | None) -> Nats:
    assert nats is not None  # only trials with advice get here
    return nats if math.isfinite(nats) else _WORST


def _mean(changes: Sequence[Nats]) -> Nats:
    return statistics.fmean(changes) if max(map(abs, changes)) < _WORST / 2 else math.nan


def _binomial_p(one: int, other: int) -> float:
    """Two-sided p of the null hypothesis that both are equally likely; 1 if there are no cases."""
    return float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0


def followed_frame(rows: Sequence[Followed]) -> pd.DataFrame:
    """One row per trial; the columns are the fields of `Followed`."""
    return pd.DataFrame([asdict(row) for row in rows])


def compared_frame(rows: Sequence[Followed]) -> pd.DataFrame:
    """One row per group, formatted for display. The last row counts the trials with nothing to change."""
    shown = [
        {
            "trials": each.group,
            "n": str(each.trials),
            "advice lowered dev": f"{each.advice_lowered} ({each.advice_lowered / each.trials:.0%})",
            "random change lowered dev": f"{each.change_lowered} ({each.change_lowered / each.trials:.0%})",
            "dev change by advice, median (mean)": f"{each.advice_median:+.4f} ({each.advice_mean:+.4f})",
            "dev change by random change, median (mean)": f"{each.change_median:+.4f} ({each.change_mean:+.4f})",
            "advice ended lower": f"{each.advice_won} of {each.trials - each.tied}",
            "p, McNemar": f"{each.mcnemar_p:.1e}",
            "p, sign": f"{each.sign_p:.1e}",
            "p, Wilcoxon": f"{each.wilcoxon_p:.1e}",
        }
        for each in compare(rows)
    ]
    nothing = sum(row.advised_nats is None for row in rows)
    shown.append({"trials": "nothing to change, not counted above", "n": str(nothing)})
    return pd.DataFrame(shown).fillna("")
