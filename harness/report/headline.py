"""A study in one line: what won, by how much over what, on which split."""

from __future__ import annotations

from harness.report.results import LECTURE_DEV, Results
from harness.search.records import TrialRecord


def headline(results: Results) -> str:
    """What won, by how much over what, on which split; one line."""
    best, reference = results.best, results.reference
    if best is None or best.dev_nats is None:
        return f"{results.study.key}: no complete trial yet"
    line = f"best dev {best.dev_nats:.4f} nats (trial {best.number}, train {best.train_nats:.4f}, one seed)"
    if reference is not None and reference.dev_nats is not None:
        lower = reference.dev_nats - best.dev_nats
        line += f"; {lower:.4f} below the lecture's recipe on the same split ({_mean_of(reference)})"
    if results.study.ngrams is not None:
        ngram = results.study.ngrams.best
        side = "below" if best.dev_nats < ngram.dev_nats else "ABOVE"
        off = abs(ngram.dev_nats - best.dev_nats)
        line += f"; {off:.4f} {side} a counted {ngram.order}-gram ({ngram.dev_nats:.4f})"
    if reference is None and results.study.corpus.is_the_lectures:
        line += f"; the lecture's own figure is {LECTURE_DEV} (its recipe was not run here)"
    sealed = "sealed" if results.opening is None else f"{results.opening.state} {results.opening.scored or ''}"
    return f"{line}; {results.label}; test split {sealed}"


def _mean_of(record: TrialRecord) -> str:
    spread = f", {record.dev_spread}" if record.seeds else ", one seed"
    return f"{record.dev_nats:.4f}{spread}"
