"""`harness show`: a study's results, or the whole record of one of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import paths
from harness.cli.console import console, show_json, show_pairs, show_table
from harness.cli.json_header import json_header
from harness.cli.sparkline import sparkline
from harness.report.conclusion import headline, overlap_warning
from harness.report.findings import findings
from harness.report.parameters import drawn_parameters
from harness.report.results import Results, gather
from harness.report.summary import summary
from harness.report.tables.finalists import HEAD, remarks, table_rows
from harness.report.tables.segments import changes
from harness.report.tables.table import nats_if_known
from harness.store.find import find_study, find_trial
from harness.store.quiet import quiet_optuna
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord, thinned
from harness.words import plural

_CURVE_ROWS = 10


@quiet_optuna()
def show_study(name: str, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Print a study's results and where to find more."""
    opened = open_storage(storage)
    results = gather(opened, find_study(opened, name, corpus))
    facts = _study_facts(results)
    if as_json:
        show_json(facts)
    else:
        _print_study(results, facts)


@quiet_optuna()
def show_trial(name: str, number: int, corpus: str | None, storage: str | None, *, as_json: bool) -> None:
    """Print everything that is stored about a trial."""
    opened = open_storage(storage)
    study = find_study(opened, name, corpus)
    record = find_trial(opened, study, number)
    facts = _trial_facts(opened, study, record)
    if as_json:
        show_json(facts)
    else:
        _print_trial(study, record, facts)


def _study_facts(results: Results) -> dict[str, Any]:
    """The study's summary with its headline, its findings, its files, and commands to run next."""
    key = results.study.key
    folder = paths.results_folder() / key
    files = [str(path) for name in ("leaderboard.md", "plots", "best") if (path := folder / name).exists()]
    commands = [f"harness show {key} N", f"harness rerun {key} N", f"harness sample {key}", "make dashboard"]
    return summary(results) | {
        "headline": headline(results),
        "overview": findings(results),
        "files": files,
        "commands": commands,
    }


def _trial_facts(storage: Storage, study: StudyRecord, record: TrialRecord) -> dict[str, Any]:
    """A trial's whole record, with what other records say about the trial."""
    repeats = [other.number for other in storage.trials(study.key) if other.root == record.original]
    finalists = () if study.ranking is None else study.ranking.finalists
    finalist = next((f for f in finalists if f.trial == record.number), None)
    weights = record.weights_artifact
    return {"study": study.key, **json_header(study.corpus), **record.model_dump(mode="json")} | {
        "config_hash": None if record.config is None else record.config.hash(),
        "steps_per_s": record.steps_per_s,
        "parameters_drawn": drawn_parameters(study, record),
        "repeated_as": [number for number in repeats if number != record.number],
        "weights_file": None if weights is None else str(paths.results_folder() / "artifacts" / weights),
        "finalist": None if finalist is None else finalist.model_dump(mode="json"),
    }


def _print_study(results: Results, facts: Mapping[str, Any]) -> None:
    record, trials, best = results.study, facts["trials"], results.best
    if warning := overlap_warning(results):
        console.print(warning)
    console.print(facts["headline"])
    ends = ("complete", "pruned", "diverged", "failed", "interrupted")
    counts = ", ".join(f"{trials[end]} {end}" for end in ends if trials[end])
    best_of_search = ""
    if best is not None:
        losses = f"{best.losses}, train {nats_if_known(best.train_nats)}"
        best_of_search = f"trial {best.number}, {losses}, one run, {best.verdict}"
    show_pairs(
        [
            ("corpus", results.label),
            ("trials", f"{counts or 'none'} of {record.trials} requested; ended by {record.ending or 'nothing yet'}"),
            ("best of the search", best_of_search),
            (
                "objective",
                "mixed with the counted n-gram" if record.objective == "mixed" else "the network's own dev loss",
            ),
            ("search", f"{record.sampler}, {record.pruner}, seed {record.seed}"),
            ("weights", f"{len(results.checked)} sets of stored weights have the loss that was recorded"),
            ("started", f"{record.created}, commit {record.commit or 'unknown'}, {record.file or 'a notebook'}"),
        ]
    )
    for line in changes(results):
        console.print(f"  {line}")
    print_finalists(record)
    for line in facts["overview"]:
        console.print(f"  {line}")
    for line in facts["files"]:
        console.print(f"see {line}")
    console.print(f"next: {'; '.join(facts['commands'])}")


def print_finalists(study: StudyRecord) -> None:
    """The ranking as a table, once there is one."""
    if study.ranking is not None:
        console.print(
            f"finalists: dev nats per symbol over {plural(len(study.ranking.seeds), 'fresh seed')} each, paired; "
            f"ranked by {'the mixed loss' if study.ranking.objective == 'mixed' else 'their own loss'}"
        )
        show_table(HEAD, table_rows(study.ranking))
        for line in remarks(study):
            console.print(f"  {line}")


def _print_trial(study: StudyRecord, record: TrialRecord, facts: Mapping[str, Any]) -> None:
    examples = study.corpus.examples
    verdict = f", {record.verdict}" if record.verdict else ""
    console.print(f"trial {record.number} of {study.key}: {record.status}{verdict}")
    console.print(
        f"{study.corpus.short} · train n={examples['train']:,}, dev n={examples['dev']:,} · exact nats per symbol"
    )
    show_pairs([*_outcome_rows(record), *_origin_rows(record, facts)])
    _print_curve(record)
    if record.config is not None:
        console.print(f"config {facts['config_hash']}")
        show_pairs([(f"  {key}", str(value)) for key, value in record.config.by_key().items()])


def _outcome_rows(record: TrialRecord) -> list[tuple[str, str]]:
    error = "" if record.gap_error is None else f" ± {record.gap_error:.4f} (standard error by items)"
    speed = "" if record.steps_per_s is None else f", {record.steps_per_s:,.0f} steps/s"
    cost = "" if record.seconds is None else f"{record.seconds:.1f} s of training, {record.steps:,} steps{speed}"
    return [
        ("dev", nats_if_known(record.dev_nats)),
        (
            "mixed",
            nats_if_known(record.mixed_nats) if record.mixed is None else record.mixed.line.removeprefix("mixed "),
        ),
        ("train", nats_if_known(record.train_nats)),
        ("gap", "" if record.gap is None else f"{record.gap:.4f}{error}"),
        ("cost", cost),
        ("parameters", "" if record.parameters is None else f"{record.parameters:,}"),
        ("evidence", ", ".join(f"{name} {_short(value)}" for name, value in record.evidence.items())),
        ("advice", record.advice),
        ("failure", record.failure or ""),
        ("pruned", record.pruned_because or ""),
    ]


def _origin_rows(record: TrialRecord, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    owner, finalist = record.owner, facts["finalist"]
    repeats = ", ".join(f"trial {number}" for number in facts["repeated_as"])
    as_finalist = ""
    if finalist is not None:
        as_finalist = (
            f"mean dev {nats_if_known(finalist['dev_nats'])}, mixed {nats_if_known(finalist['mixed_nats']) or '-'}, "
            f"over {plural(len(finalist['runs']), 'fresh seed')}"
        )
    return [
        ("as a finalist", as_finalist),
        ("parameters drawn", ", ".join(f"{name} {_short(value)}" for name, value in facts["parameters_drawn"].items())),
        ("seed", str(record.seed)),
        ("attempt", f"{record.attempt + 1}" + ("" if record.root is None else f", repeats trial {record.root}")),
        ("repeated as", repeats),
        ("owner", "" if owner is None else f"process {owner.pid} on {owner.host}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("weights", facts["weights_file"] or "not kept: a search keeps those of each new best trial"),
    ]


def _print_curve(record: TrialRecord) -> None:
    if not record.curve:
        return
    for split in ("dev", "train"):
        nats = [value for point in record.curve if (value := getattr(point, f"{split}_nats")) is not None]
        if nats:
            console.print(f"{split:>5} {sparkline(nats, 50)} {nats[0]:.4f} to {nats[-1]:.4f}")
    rows = [
        (
            f"{p.step:,}",
            f"{p.seconds:.1f}",
            f"{p.learning_rate:.2e}",
            nats_if_known(p.train_nats),
            nats_if_known(p.dev_nats),
        )
        for p in thinned(list(record.curve), _CURVE_ROWS)
    ]
    show_table(("step", "seconds", "rate", "train", "dev"), rows)
    if len(record.curve) > len(rows):
        console.print(f"{len(rows)} of {len(record.curve)} evaluations; --json has all")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
