"""The Markdown notes that the dashboard shows for a trial, a study, and the studies that belong to a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.config import TrainConfig
from harness.dashboard.curve_picture import outcome, run_name
from harness.report.conclusion import headline, overlap_warning
from harness.report.results import Results, split_sizes
from harness.report.tables.finalists import HEAD, caption, remarks, table_rows
from harness.report.tables.table import markdown
from harness.search.trial_queue import MOST_ATTEMPTS, failed_for_good
from harness.store.keys import REFERENCE_RUNS, is_reference, searched_by
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.words import plural

_EVIDENCE = {
    "log_vocabulary": "log V, the loss of a uniform guess",
    "ngram_nats": "best counted n-gram of this context length, dev",
    "above_ngram": "dev above that n-gram",
    "fall_at_end": "fall of dev per tenth of the run, over its last third",
    "fall_error": "± of that fall",
    "fall_in_last_tenth": "fall of dev in the last tenth",
    "jitter": "jitter of dev at the end",
    "rise_from_minimum": "dev above its minimum",
    "train_since_minimum": "train's change since that minimum",
}
"""Names for the evidence of a verdict, apart from the losses and their gap."""
_EM_SPACE = "\u2003"
_PRUNED = (
    "**Pruned**: other trials had lower losses at the same point of their runs. This does not mean that anything is "
    "wrong with it. It has no verdict, since its run was not finished."
)


def trial_note(record: TrialRecord, study: StudyRecord, picture: str | None, samples: Sequence[str] = ()) -> str:
    """The note of one trial.

    Args:
        picture: URL path of the picture of its curve; None for a trial without a curve.
        samples: items drawn from its model, if its weights are stored.
    """
    loss = f", {record.losses} nats" if record.losses else ""
    parts = [f"## {run_name(record, study)}: {outcome(record)}{loss}", _diagnosis(record)]
    if picture is not None:
        parts += [f"![train and dev loss over the run]({picture})", _losses(record, study)]
    if record.seeds:
        parts.append(_seeds(record))
    if record.verdict is not None:
        parts.append(_evidence(record))
    if record.config is not None:
        parts.append(_config(record.config))
    if samples:
        drawn = "\n".join(samples)
        parts.append(f"**{plural(len(samples), 'item')} drawn from it** (seed 0):\n\n```\n{drawn}\n```")
    return "\n\n".join(parts) + "\n"


def _diagnosis(record: TrialRecord) -> str:
    if record.status in ("failed", "interrupted"):
        if record.fails_always:
            return f"**Failed.** suggest() always fails for these parameters.\n\n```\n{record.failure}\n```"
        retry = "" if failed_for_good(record) else "It is tried again: a later trial has the same parameters and seed."
        attempt = f"Attempt {record.attempt + 1} of {MOST_ATTEMPTS}." if record.status == "failed" else ""
        return f"**{record.status.capitalize()}.** {attempt} {retry}\n\n```\n{record.failure}\n```"
    if record.pruned_because is not None:
        return f"**Pruned by the study's own code**, so it has no losses.\n\n```\n{record.pruned_because}\n```"
    if record.status == "pruned":
        return _PRUNED
    optuna_status = " Optuna lists it as pruned." if record.status == "diverged" else ""
    return f"**Verdict: {record.verdict}.**{optuna_status}\n\n**What to change next:** {record.advice}"


def _losses(record: TrialRecord, study: StudyRecord) -> str:
    examples = study.corpus.examples
    error = "" if record.gap_error is None else f" ± {record.gap_error:.4f}"
    spread = f" ({record.dev_spread})" if record.seeds else ""
    table = _table(
        ("loss", "nats per symbol", "n"),
        [
            ("dev", f"{_nats(record.dev_nats)}{spread}", f"{examples['dev']:,}"),
            *_mixed_row(record, examples["dev"]),
            ("train", _nats(record.train_nats), f"{examples['train']:,}"),
            ("gap", f"{_nats(record.gap)}{error}", ""),
        ],
    )
    exact = f"Exact means over whole splits{'; ± is the standard error over items' if error else ''}"
    size = [] if record.parameters is None else [f"{plural(record.parameters, 'parameter')}"]
    cost = [] if record.seconds is None else [f"{record.seconds:.1f} s of training"]
    return f"{table}\n\n{'; '.join([exact, study.corpus.short, *size, *cost])}."


def _mixed_row(record: TrialRecord, examples: int) -> list[tuple[str, str, str]]:
    """The row of the mixture with the counted n-gram, below the network's own loss; none if it was not recorded."""
    if record.mixed_nats is None:
        return []
    what = "n-gram" if record.mixed is None else f"{record.mixed.order}-gram, weight {record.mixed.weight:.2f}"
    return [(f"mixed with the counted {what}", _nats(record.mixed_nats), f"{examples:,}")]


def _evidence(record: TrialRecord) -> str:
    rows = [(words, _nats(record.evidence[name])) for name, words in _EVIDENCE.items() if name in record.evidence]
    return _table(("further evidence for the verdict", "nats per symbol"), rows)


def _seeds(record: TrialRecord) -> str:
    rows = [
        (
            str(run.seed),
            _nats(run.dev_nats),
            "" if run.mixed is None else _nats(run.mixed.dev_nats),
            _nats(run.train_nats),
            run.status,
        )
        for run in record.seeds
    ]
    return _table(("seed", "dev (nats per symbol)", "mixed", "train", ""), rows)


def _config(config: TrainConfig) -> str:
    """A row for each part of a config, with its values in one line."""
    parts: dict[str, dict[str, Any]] = {"run": {}}
    for key, value in config.by_key().items():
        part, _, name = key.rpartition(".")
        parts.setdefault(part or "run", {})[name] = value
    rows = [(name, _settings(settings)) for name, settings in parts.items()]
    return f"**Config** {config.hash()}\n\n{_table(('part', 'settings'), rows)}"


def _settings(settings: dict[str, Any]) -> str:
    kind = [str(settings.pop("kind"))] if "kind" in settings else []
    numbers = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
    ]
    return ", ".join([*kind, *numbers]).replace("_", " ")


def study_note(results: Results, findings: Sequence[str] = ()) -> str:
    """The note of a search: the report's headline, the finalists, and the findings about the study as a whole."""
    first = [f"**{line}**" for line in (overlap_warning(results), headline(results)) if line]
    parts = [f"## {results.study.key}", *first, _counts(results)]
    if results.study.ranking is not None:
        parts += ["### Finalists", _table(HEAD, table_rows(results.study.ranking)), caption(results)]
        parts += ["\n".join(f"- {line}" for line in lines)] if (lines := remarks(results.study)) else []
    if findings:
        parts.append("### The study as a whole\n\n" + "\n".join(f"- {line}" for line in findings))
    parts.append(
        "### How to read the plots\n\nThe objective is the dev loss in nats per symbol, an exact mean over the whole "
        "split; lower is better. Intermediate values are plotted against the percentage of the run. A pruned trial has "
        "the loss at which it was stopped. Optuna treats a diverged trial as pruned; its column `status` says "
        "diverged. Losses above log V, the loss of a uniform guess, are plotted just above log V, so that one bad "
        "learning rate does not flatten all plots. Untick *Include PRUNED trials* to see only complete ones. The plots "
        "include the train and dev curves of the best trials and the search in order; each trial's note has its own "
        "curve, verdict and config."
    )
    return "\n\n".join(parts) + "\n"


def _counts(results: Results) -> str:
    counted = Counter(record.status for record in results.trials)
    counts = ", ".join(
        f"{counted[status]} {status}"
        for status in ("complete", "pruned", "diverged", "failed", "interrupted")
        if counted[status]
    )
    ended_by = results.study.ending or "not ended"
    ended = {"trials": "all of them are finished", "minutes": "the time limit was reached"}.get(ended_by, ended_by)
    return f"Trials: {counts or 'none finished'} of {results.study.trials} requested; {ended}."


def side_study_note(record: StudyRecord) -> str:
    """The note of a study that belongs to searches: the lecture's recipe, or a search's finalists."""
    where = f"{record.corpus.short}; {split_sizes(record)}; nats per symbol."
    if is_reference(record.key):
        return (
            f"## The lecture's recipe, the reference of every study on {record.corpus.label}\n\nOne trial, the mean of "
            f"{plural(record.seeds or REFERENCE_RUNS, 'seed')} of the lecture's last hand-tuned run. It is not part of "
            f"any search: a trial without parameters would mislead the sampler.\n\n{where}\n"
        )
    search = searched_by(record.key)
    return (
        f"## The finalists of {search}\n\nThe best trials of that search, trained again with fresh seeds, the same "
        "seeds for each. `trial` is the number in the search, and `repeat` counts the seeds. Nothing is searched or "
        f"pruned here. The note of {search} has the ranking with its intervals.\n\n{where}\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a wide space after each cell, since the dashboard sets columns without space between them."""
    return markdown(head, rows, space=_EM_SPACE)


def _nats(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
