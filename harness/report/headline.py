"""A study in one line: what won, by how much over what, on which split."""

from __future__ import annotations

from harness.lecture import LECTURE_DEV
from harness.report.results import Results
from harness.store.finalist_record import Finalist
from harness.store.trial_record import TrialRecord


def headline(results: Results) -> str:
    """What won, by how much over what, on which split; one line."""
    best, reference, won, dev_nats = results.best, results.reference, results.won, results.dev_nats
    if best is None or dev_nats is None:
        return f"{results.study.key}: no complete trial yet"
    if results.study.ranking is not None and won is None:
        return f"{results.study.key}: no finalist stands, each has a seed that did not come to its end"
    line = _of_search(best) if won is None else _of_winner(won)
    if reference is not None and reference.dev_nats is not None and (won is None or won.trial is not None):
        line += (
            f"; {_against(dev_nats, reference.dev_nats)} the lecture's recipe on the same split ({_mean(reference)})"
        )
    if results.study.ngrams is not None:
        ngram = results.study.ngrams.best
        line += f"; {_against(dev_nats, ngram.dev_nats)} a counted {ngram.order}-gram ({ngram.dev_nats:.4f})"
    if reference is None and results.study.corpus.is_the_lectures:
        line += f"; the lecture's own figure is {LECTURE_DEV} (its recipe was not run here)"
    sealed = "sealed" if results.sealed else "opened by an earlier version"
    if results.opening is not None:
        sealed = f"{results.opening.state} {results.opening.scored or ''}".rstrip()
    return f"{line}; {results.label}; test split {sealed}"


def _of_search(best: TrialRecord) -> str:
    return f"best dev {best.dev_nats:.4f} nats (trial {best.number}, train {best.train_nats:.4f}, one seed)"


def _of_winner(won: Finalist) -> str:
    search = "" if won.search_nats is None else f"; {won.search_nats:.4f} in the search"
    return (
        f"winner {won.name}: dev {won.dev_nats:.4f} nats (mean of {len(won.runs)} fresh seeds, 95 % {won.low:.4f} to "
        f"{won.high:.4f}{search}; train {won.train_nats:.4f})"
    )


def _against(nats: float, other: float) -> str:
    return f"{abs(other - nats):.4f} {'below' if nats < other else 'ABOVE'}"


def _mean(record: TrialRecord) -> str:
    spread = f", {record.dev_spread}" if record.seeds else ", one seed"
    return f"{record.dev_nats:.4f}{spread}"
