"""What the dashboard's notes say: of a trial, of a study, and of what stands beside one. Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.config import TrainConfig
from harness.dashboard.curve_picture import outcome, run_name
from harness.report.headline import headline
from harness.report.results import Results, split_sizes
from harness.report.tables.finalists import HEAD, caption, table_rows
from harness.search.trial_queue import MOST_ATTEMPTS
from harness.store.keys import REFERENCE_SEEDS, is_reference
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord

_EVIDENCE = {
    "log_vocabulary": "log V, what guessing blindly scores",
    "ngram_nats": "best counted n-gram of this context length, dev",
    "above_ngram": "dev above that n-gram",
    "fall_at_end": "fall of dev per tenth of the run, over its last third",
    "fall_error": "± of that fall",
    "fall_in_last_tenth": "fall of dev in the last tenth",
    "jitter": "jitter of dev at the end",
    "rise_from_minimum": "dev above its minimum",
    "train_since_minimum": "train's change since that minimum",
}
"""Words for what a verdict rests on beside the losses and their gap."""
_EM_SPACE = "\u2003"
_PRUNED = (
    "**Pruned**: others were better at the same point of their runs. Nothing is wrong with it, and it "
    "has no verdict, for it has not shown what it would have become."
)


def trial_note(record: TrialRecord, study: StudyRecord, picture: str | None, samples: Sequence[str] = ()) -> str:
    """What is to know of one trial.

    Args:
        picture: address of its curve's picture; None for a trial without a curve.
        samples: items drawn from its model, if its weights were kept.
    """
    loss = "" if record.dev_nats is None else f", dev {record.dev_nats:.4f} nats"
    parts = [f"## {run_name(record, study)}: {outcome(record)}{loss}", _judged(record)]
    if picture is not None:
        parts += [f"![train and dev loss along the run]({picture})", _losses(record, study)]
    if record.seeds:
        parts.append(_seeds(record))
    if record.verdict is not None:
        parts.append(_evidence(record))
    if record.config is not None:
        parts.append(_config(record.config))
    if samples:
        drawn = "\n".join(samples)
        parts.append(f"**Drawn from it** (seed 0), {len(samples)} items:\n\n```\n{drawn}\n```")
    return "\n\n".join(parts) + "\n"


def _judged(record: TrialRecord) -> str:
    if record.status in ("failed", "interrupted"):
        again = record.status == "interrupted" or record.attempt + 1 < MOST_ATTEMPTS
        back = "It was put back: the same parameters and seed come again as a later trial." if again else ""
        tried = f"Try {record.attempt + 1} of {MOST_ATTEMPTS}." if record.status == "failed" else ""
        return f"**{record.status.capitalize()}.** {tried} {back}\n\n```\n{record.failure}\n```"
    if record.status == "pruned":
        return _PRUNED
    told = " Optuna is told that it was pruned." if record.status == "diverged" else ""
    return f"**Verdict: {record.verdict}.**{told}\n\n**What to turn next:** {record.advice}"


def _losses(record: TrialRecord, study: StudyRecord) -> str:
    examples = study.corpus.examples
    error = "" if record.gap_error is None else f" ± {record.gap_error:.4f}"
    of = f" ({record.dev_spread})" if record.seeds else ""
    cost = "" if record.seconds is None else f"{record.seconds:.1f} s of training"
    size = "" if record.parameters is None else f"{record.parameters:,} parameters, "
    table = _table(
        ("loss", "nats per symbol", "n"),
        [
            ("dev", f"{_nats(record.dev_nats)}{of}", f"{examples['dev']:,}"),
            ("train", _nats(record.train_nats), f"{examples['train']:,}"),
            ("gap", f"{_nats(record.gap)}{error}", ""),
        ],
    )
    exact = f"Exact means over whole splits{', ± by items' if error else ''}; {study.corpus.short}."
    return f"{table}\n\n{exact} {size}{cost}."


def _evidence(record: TrialRecord) -> str:
    rows = [(words, _nats(record.evidence[name])) for name, words in _EVIDENCE.items() if name in record.evidence]
    return _table(("what the verdict rests on too", "nats per symbol"), rows)


def _seeds(record: TrialRecord) -> str:
    rows = [(str(run.seed), _nats(run.dev_nats), _nats(run.train_nats), run.status) for run in record.seeds]
    return _table(("seed", "dev (nats per symbol)", "train", ""), rows)


def _config(config: TrainConfig) -> str:
    """A row for each part of a config, its settings in a line."""
    parts: dict[str, dict[str, Any]] = {"run": {}}
    for name, value in config.model_dump(mode="json").items():
        parts.update({name: value}) if isinstance(value, dict) else parts["run"].update({name: value})
    return f"**Config** {config.hash()}\n\n" + _table(
        ("part", "settings"), [(name, _settings(settings)) for name, settings in parts.items()]
    )


def _settings(settings: dict[str, Any]) -> str:
    given = {name: value for name, value in settings.items() if value is not None}
    kind = [str(given.pop("kind"))] if "kind" in given else []
    numbers = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()
    ]
    return ", ".join([*kind, *numbers]).replace("_", " ")


def study_note(results: Results, stands_out: Sequence[str] = ()) -> str:
    """What a report of the study says first, its finalists, and what stands out of it as a whole."""
    parts = [f"## {results.study.key}", f"**{headline(results)}**", _counts(results)]
    if results.study.ranking is not None:
        parts += ["### Finalists", _table(HEAD, table_rows(results.study.ranking)), caption(results)]
    if stands_out:
        parts.append("### Looked at as a whole\n\n" + "\n".join(f"- {line}" for line in stands_out))
    parts.append(
        "### How to read the plots\n\n"
        "The objective is the dev loss in nats per symbol, an exact mean over the whole split; lower is better. "
        "Steps of intermediate values are per cent of a run. A pruned trial stands at the loss it was stopped at, "
        "a diverged one is told to Optuna as pruned (column `status` tells them apart), and losses above log V, what "
        "guessing blindly scores, stand just above log V, so that one bad learning rate does not flatten all plots. "
        "Untick *Include PRUNED trials* to see complete ones alone. Train and dev curves of the best trials, and the "
        "search in order, stand among the plots; each trial's own curve, verdict and config in its note."
    )
    return "\n\n".join(parts) + "\n"


def _counts(results: Results) -> str:
    counted = Counter(record.status for record in results.trials)
    shown = ", ".join(
        f"{counted[status]} {status}"
        for status in ("complete", "pruned", "diverged", "failed", "interrupted")
        if counted[status]
    )
    ended = {"trials": "all asked for are finished", "minutes": "the minutes were up"}.get(
        results.study.ended_by or "", results.study.ended_by or "not ended"
    )
    return f"Trials: {shown or 'none finished'} of {results.study.trials} asked for; {ended}."


def note_beside(record: StudyRecord, of: str) -> str:
    """What a study is that no user began: the lecture's recipe, or the finalists' round of study `of`."""
    where = f"{record.corpus.short}; {split_sizes(record)}; nats per symbol."
    if is_reference(record.key):
        return (
            f"## The lecture's recipe, the reference of every study on {record.corpus.label}\n\nOne trial, the mean of "
            f"{record.seeds or REFERENCE_SEEDS} seeds of the lecture's last hand-turned run, never searched. "
            f"It is a study of its own, for a trial without parameters would mislead a sampler.\n\n{where}\n"
        )
    return (
        f"## The finalists of {of}\n\nThe best trials of that search, trained again with fresh seeds, the same ones "
        "for each: `trial` is the search's number, `repeat` counts the seeds. Who won, with intervals, stands in the "
        f"note of {of}. Nothing is searched or pruned here.\n\n{where}\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells end in a wide space: the dashboard sets columns without any between them."""
    ruled = ["".join(f"| {cell}{_EM_SPACE} " for cell in row) + "|" for row in (head, *rows)]
    return "\n".join([ruled[0], "|---" * len(head) + "|", *ruled[1:]])


def _nats(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
