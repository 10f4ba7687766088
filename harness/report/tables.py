"""The leaderboard, in Markdown and LaTeX from one frame."""

from __future__ import annotations

import pandas as pd

from harness.report.results import Results
from harness.search.records import TrialRecord
from harness.train.diagnose import SEED_SPAN

_SHOWN = 10


def leaderboard_frame(results: Results) -> pd.DataFrame:
    """The best complete trials, then the lecture's recipe and counted n-grams on the same corpus and split.

    Losses in nats per symbol, exact means over whole splits. A row is one run; the recipe's the mean of its seeds.
    """
    complete = [r for r in results.trials if r.status == "complete" and r.dev_nats is not None]
    best = sorted(complete, key=lambda record: record.dev_nats or 0.0)[:_SHOWN]
    rows = [_row(str(place), f"trial {record.number}", record) for place, record in enumerate(best, start=1)]
    if results.reference is not None:
        seeds = f" ({results.reference.dev_spread})" if results.reference.seeds else ""
        rows.append(_row("", f"lecture's recipe{seeds}", results.reference))
    if results.study.ngrams is not None:
        ngram = results.study.ngrams.best
        row = {"run": f"counted {ngram.order}-gram (Kneser-Ney)", "dev": _nats(ngram.dev_nats)}
        rows.append(row | {"train": _nats(ngram.train_nats), "gap": _nats(ngram.dev_nats - ngram.train_nats)})
    if results.study.bigram is not None:
        bigram = results.study.bigram
        row = {"run": "counted bigram", "dev": f"{bigram.dev_nats:.4f}", "train": f"{bigram.train_nats:.4f}"}
        rows.append(row | {"gap": f"{bigram.dev_nats - bigram.train_nats:.4f}"})
    columns = list(_row("", "", TrialRecord(number=0, seed=0)))
    return pd.DataFrame(rows, columns=columns, dtype="object").fillna("")


def _row(place: str, run: str, record: TrialRecord) -> dict[str, str]:
    row = {
        "": place,
        "run": run,
        "dev": _nats(record.dev_nats),
        "train": _nats(record.train_nats),
        "gap": _nats(record.gap) + ("" if record.gap_error is None else f" ± {record.gap_error:.4f}"),
        "verdict": record.verdict or "",
        "parameters": "" if record.parameters is None else f"{record.parameters:,}",
        "seconds": "" if record.seconds is None else f"{record.seconds:.1f}",
    }
    config = record.config
    described = ("context", "embedding", "hidden", "batch", "optimizer", "rate", "schedule", "dropout")
    if config is None:
        return row | dict.fromkeys(described, "")
    values = (
        config.model.context_length,
        config.model.embedding_size,
        config.model.hidden_width,
        config.batch_size,
        config.optimizer.kind,
        f"{config.optimizer.learning_rate:.1e}",
        config.schedule.kind.replace("_", "-"),
        f"{config.dropout:.2f}",
    )
    return row | dict(zip(described, map(str, values), strict=True))


def _nats(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def caption(results: Results) -> str:
    """What the leaderboard's numbers are, in one sentence."""
    return (
        f"Best trials of {results.study.key}: dev and train loss in nats per symbol, exact means over the whole split "
        f"({results.label}); each row is one run of the search, the best of many: differences below about {SEED_SPAN} "
        "may be the seed's, and finalists.md says who stands. "
        f"± is the gap's standard error by items, the weights held fixed.{_parts(results)}"
    )


def _parts(results: Results) -> str:
    """The best trial's dev loss on items that stand in train too, and on the others."""
    parts = results.study.dev_parts
    if parts is None or parts.seen_nats is None or parts.unseen_nats is None:
        return ""
    return (
        f" {parts.seen_items:,} of {parts.seen_items + parts.unseen_items:,} dev items also stand in train: "
        f"trial {parts.trial}{_over(parts.seeds)} scores {parts.seen_nats:.4f} on them and {parts.unseen_nats:.4f} "
        "on the others."
    )


def _over(seeds: int) -> str:
    return "" if seeds == 1 else f" (mean of {seeds} fresh seeds)"


def to_markdown(results: Results) -> str:
    frame = leaderboard_frame(results)
    return f"{caption(results)}\n\n{frame.to_markdown(index=False, disable_numparse=True)}\n"


def to_latex(results: Results) -> str:
    """A booktabs table with its caption."""
    frame = leaderboard_frame(results)
    text: str = frame.style.hide(axis="index").to_latex(
        hrules=True, caption=_escaped(caption(results)), label=f"tab:{results.study.key}", position_float="centering"
    )
    return text


def _escaped(text: str) -> str:
    for character in "&%#_":
        text = text.replace(character, f"\\{character}")
    return text.replace("·", "--").replace("±", "$\\pm$")
