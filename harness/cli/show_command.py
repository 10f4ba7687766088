"""`harness show`: a study's facts, or everything that is kept of one of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from harness import paths
from harness.cli import complete
from harness.cli.console import console, show_json, show_pairs, show_table
from harness.cli.facts import about
from harness.cli.options import AsJson, StorageUrl, StoredCorpus, StudyName
from harness.cli.sparkline import sparkline
from harness.report.conclusion import headline
from harness.report.findings import findings
from harness.report.results import Results, gather
from harness.report.summary import summary
from harness.report.tables.finalists import HEAD, table_rows
from harness.report.tables.table import nats_if_known
from harness.store.find import find_study, find_trial
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord, thinned

_CURVE_ROWS = 10


def show(
    name: StudyName,
    trial: Annotated[
        int | None,
        typer.Argument(help="A trial's number.", show_default="the study", autocompletion=complete.trial_numbers),
    ] = None,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what is stored of a study, or all that is kept of one trial."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    if trial is None:
        results = gather(opened, record)
        facts = study_facts(results)
        if as_json:
            show_json(facts)
        else:
            _show_study(results, facts)
        return
    found = find_trial(opened, record, trial)
    facts = trial_facts(opened, record, found)
    if as_json:
        show_json(facts)
    else:
        _show_trial(record, found, facts)


def study_facts(results: Results) -> dict[str, Any]:
    """The study's summary with what stands out of it, and where to look next."""
    key = results.study.key
    folder = paths.results_folder() / key
    there = [str(path) for name in ("leaderboard.md", "plots", "best") if (path := folder / name).exists()]
    commands = [f"harness show {key} N", f"harness rerun {key} N", f"harness sample {key}", "make dashboard"]
    return summary(results) | {
        "headline": headline(results),
        "overview": findings(results),
        "files": there,
        "commands": commands,
    }


def trial_facts(storage: Storage, study: StudyRecord, record: TrialRecord) -> dict[str, Any]:
    """A trial's whole record, with what other records say of it."""
    repeats = [other.number for other in storage.trials(study.key) if other.root == record.first]
    finalists = () if study.ranking is None else study.ranking.finalists
    finalist = next((f for f in finalists if f.trial == record.number), None)
    return {"study": study.key, **about(study.corpus), **record.model_dump(mode="json")} | {
        "config_hash": None if record.config is None else record.config.hash(),
        "steps_per_s": record.steps_per_s,
        "repeated_as": [number for number in repeats if number != record.number],
        "weights_file": None
        if record.weights_artifact is None
        else str(paths.results_folder() / "artifacts" / record.weights_artifact),
        "finalist": None if finalist is None else finalist.model_dump(mode="json"),
    }


def _show_study(results: Results, facts: Mapping[str, Any]) -> None:
    record, trials, best = results.study, facts["trials"], results.best
    console.print(facts["headline"])
    ends = ("complete", "pruned", "diverged", "failed", "interrupted")
    counts = ", ".join(f"{trials[end]} {end}" for end in ends if trials[end])
    searched = ""
    if best is not None:
        losses = f"dev {nats_if_known(best.dev_nats)}, train {nats_if_known(best.train_nats)}"
        searched = f"trial {best.number}, {losses}, one seed, {best.verdict}"
    show_pairs(
        [
            ("corpus", results.label),
            ("trials", f"{counts or 'none'} of {record.trials} asked; ended by {record.ended_by or 'nothing yet'}"),
            ("best of the search", searched),
            ("searched by", f"{record.sampler}, {record.pruner}, seed {record.seed}"),
            ("begun", f"{record.created}, commit {record.commit or 'unknown'}, {record.file or 'a notebook'}"),
        ]
    )
    if record.ranking is not None:
        console.print(f"finalists: dev nats per symbol over {len(record.ranking.seeds)} fresh seeds each, paired")
        show_table(HEAD, table_rows(record.ranking))
    for line in facts["overview"]:
        console.print(f"  {line}")
    for line in facts["files"]:
        console.print(f"look at {line}")
    console.print(f"then: {'; '.join(facts['commands'])}")


def _show_trial(study: StudyRecord, record: TrialRecord, facts: Mapping[str, Any]) -> None:
    examples = study.corpus.examples
    verdict = f", {record.verdict}" if record.verdict else ""
    console.print(f"trial {record.number} of {study.key}: {record.status}{verdict}")
    console.print(
        f"{study.corpus.short} · train n={examples['train']:,}, dev n={examples['dev']:,} · exact nats per symbol"
    )
    show_pairs([*_outcome_rows(record), *_origin_rows(record, facts)])
    _show_curve(record)
    if record.config is not None:
        console.print(f"config {facts['config_hash']}")
        show_pairs([(f"  {key}", str(value)) for key, value in record.config.by_key().items()])


def _outcome_rows(record: TrialRecord) -> list[tuple[str, str]]:
    error = "" if record.gap_error is None else f" ± {record.gap_error:.4f} (standard error by items)"
    speed = "" if record.steps_per_s is None else f", {record.steps_per_s:,.0f} steps/s"
    cost = "" if record.seconds is None else f"{record.seconds:.1f} s of training, {record.steps:,} steps{speed}"
    return [
        ("dev", nats_if_known(record.dev_nats)),
        ("train", nats_if_known(record.train_nats)),
        ("gap", "" if record.gap is None else f"{record.gap:.4f}{error}"),
        ("cost", cost),
        ("parameters", "" if record.parameters is None else f"{record.parameters:,}"),
        ("evidence", ", ".join(f"{name} {_short(value)}" for name, value in record.evidence.items())),
        ("advice", record.advice),
        ("failure", record.failure or ""),
    ]


def _origin_rows(record: TrialRecord, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    owner, finalist = record.owner, facts["finalist"]
    again = ", ".join(f"trial {number}" for number in facts["repeated_as"])
    fresh = ""
    if finalist is not None:
        fresh = f"mean dev {nats_if_known(finalist['dev_nats'])} over {len(finalist['runs'])} fresh seeds"
    return [
        ("as a finalist", fresh),
        ("drawn", ", ".join(f"{name} {_short(value)}" for name, value in record.params.items())),
        ("seed", str(record.seed)),
        ("attempt", f"{record.attempt + 1}" + ("" if record.root is None else f", repeats trial {record.root}")),
        ("repeated as", again),
        ("owner", "" if owner is None else f"process {owner.pid} on {owner.host}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("weights", facts["weights_file"] or "not kept: only those of the best trial so far are"),
    ]


def _show_curve(record: TrialRecord) -> None:
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
