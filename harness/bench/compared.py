"""Advice beside chance, in figures: how often each lowered dev, by how much, and how sure the difference is."""

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
"""What a loss that is not finite counts as where losses are ranked: worse than any that is."""


@dataclass(frozen=True)
class Compared:
    """A group of trials that had something to turn; changes of dev in nats per symbol, below 0 for the better."""

    group: str
    trials: int
    advice_lowered: int
    change_lowered: int
    advice_median: Nats
    change_median: Nats
    advice_mean: Nats
    """Not finite where one of the losses is not."""
    change_mean: Nats
    advice_won: int
    """Trials whose dev ended lower by the advice than by the random change."""
    tied: int
    mcnemar_p: float
    """Exact, two-sided: that both lower dev as often (McNemar 1947)."""
    sign_p: float
    """Exact, two-sided: that either ends lower as often; ties left out."""
    wilcoxon_p: float
    """Two-sided, of the differences' signed ranks (Wilcoxon 1945)."""


def compare(rows: Sequence[Followed]) -> list[Compared]:
    """All trials together, those without a budget move on either side, those that ran through, and each verdict."""
    turned = [row for row in rows if row.advised_nats is not None]
    groups: dict[str, Callable[[Followed], bool]] = {
        "all": lambda _: True,
        "no change of budget on either side": lambda row: "budget" not in (row.advice_knob, row.change_knob),
        "all but diverged": lambda row: row.verdict != "diverged",
    }
    verdicts = dict.fromkeys(row.verdict for row in turned)
    found = [(name, [row for row in turned if belongs(row)]) for name, belongs in groups.items()]
    found += [(verdict, [row for row in turned if row.verdict == verdict]) for verdict in verdicts]
    return [_compared(name, chosen) for name, chosen in found if chosen]


def _compared(group: str, rows: Sequence[Followed]) -> Compared:
    before, advised, changed = (
        [_ranked(nats) for nats in column]
        for column in zip(*((row.dev_nats, row.advised_nats, row.changed_nats) for row in rows), strict=True)
    )
    by_advice = [after - first for after, first in zip(advised, before, strict=True)]
    by_change = [after - first for after, first in zip(changed, before, strict=True)]
    lowered = [(a < 0, c < 0) for a, c in zip(by_advice, by_change, strict=True)]
    apart = [a - c for a, c in zip(advised, changed, strict=True)]
    won, lost = sum(nats < 0 for nats in apart), sum(nats > 0 for nats in apart)
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
        mcnemar_p=_even(lowered.count((True, False)), lowered.count((False, True))),
        sign_p=_even(won, lost),
        wilcoxon_p=float(stats.wilcoxon(apart).pvalue) if won + lost else 1.0,
    )


def _ranked(nats: Nats | None) -> Nats:
    assert nats is not None  # only trials that were followed and changed get here
    return nats if math.isfinite(nats) else _WORST


def _mean(changes: Sequence[Nats]) -> Nats:
    return statistics.fmean(changes) if max(map(abs, changes)) < _WORST / 2 else math.nan


def _even(one: int, other: int) -> float:
    """Two-sided p that either side is as likely; nothing to tell from is no evidence."""
    return float(stats.binomtest(one, one + other).pvalue) if one + other else 1.0


def followed_frame(rows: Sequence[Followed]) -> pd.DataFrame:
    """One row per trial; columns as `Followed` has them."""
    return pd.DataFrame([asdict(row) for row in rows])


def compared_frame(rows: Sequence[Followed]) -> pd.DataFrame:
    """One row per group, as it is shown; trials with nothing to turn are counted last."""
    shown = [
        {
            "trials": each.group,
            "n": str(each.trials),
            "advice lowered dev": f"{each.advice_lowered} ({each.advice_lowered / each.trials:.0%})",
            "random change did": f"{each.change_lowered} ({each.change_lowered / each.trials:.0%})",
            "change by advice, median (mean)": f"{each.advice_median:+.4f} ({each.advice_mean:+.4f})",
            "by random change": f"{each.change_median:+.4f} ({each.change_mean:+.4f})",
            "advice ended lower": f"{each.advice_won} of {each.trials - each.tied}",
            "p, McNemar": f"{each.mcnemar_p:.1e}",
            "p, sign": f"{each.sign_p:.1e}",
            "p, Wilcoxon": f"{each.wilcoxon_p:.1e}",
        }
        for each in compare(rows)
    ]
    nothing = sum(row.advised_nats is None for row in rows)
    shown.append({"trials": "nothing to turn, left out of all above", "n": str(nothing)})
    return pd.DataFrame(shown).fillna("")
