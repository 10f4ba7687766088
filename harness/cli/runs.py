"""Commands about single runs: train, sample, test learning rates, overfit one batch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from harness import paths
from harness.cli import overrides
from harness.cli.console import console, progress_console, show_json
from harness.cli.json_header import json_header
from harness.config import TrainConfig
from harness.corpus import Corpus, load
from harness.errors import ConfigError, StorageError, StudyError
from harness.files import replacing
from harness.report.results import Results, gather, samples_of
from harness.store.find import find_study
from harness.store.quiet import quiet_optuna
from harness.store.saved_model import load_model
from harness.store.storage import open_storage
from harness.store.study_record import RangeTest
from harness.store.weights import facts_of, known_folders, save_folder
from harness.train import (
    Diagnosis,
    Evaluation,
    OverfitProbe,
    TrainResult,
    counted_model,
    judge,
    lr_range,
    mix,
    overfit_one_batch,
    train,
)
from harness.train.threads import one_thread
from harness.words import plural


def read_config(file: Path | None, assignments: list[str] | None) -> TrainConfig:
    """The default config or the one in a JSON file, changed by KEY=VALUE assignments."""
    config = TrainConfig()
    if file is not None:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"--config must be a readable JSON file; {file}: {error}. Correct the path.") from None
        config = TrainConfig.parse(document.get("config", document) if isinstance(document, dict) else document)
    return overrides.apply(config, assignments or [])


@one_thread()
def train_model(config: TrainConfig, corpus_name: str, out: Path | None, *, as_json: bool) -> None:
    """Train one model, print its curve and its diagnosis, and save it if a folder is given."""
    corpus = load(corpus_name)
    progress = progress_console(as_json)
    progress.print(f"corpus {corpus.label}, fingerprint {corpus.fingerprint}; config {config.hash()}")
    if corpus.overlap.line:
        progress.print(corpus.overlap.line)
    progress.print("    step   examples  seconds       rate   train     dev  (nats per symbol, whole splits)")

    def on_evaluation(point: Evaluation) -> None:
        progress.print(
            f"{point.step:8,} {point.examples:10,} {point.seconds:8.1f} {point.learning_rate:10.2e} "
            f"{point.train_nats:7.4f} {point.dev_nats:7.4f}"
        )

    result = train(config, corpus, on_evaluation=on_evaluation)
    diagnosis = judge(result, config, corpus)
    mixed = mix(result.model, corpus, config.model.context_length) if result.status == "complete" else None
    progress.print(f"{result.parameters:,} parameters, {result.steps / result.seconds:,.0f} steps/s")
    if mixed is not None:
        progress.print(f"dev {result.dev_nats:.4f} alone, {mixed.line}")
    progress.print(f"{diagnosis.verdict}: {diagnosis.advice}")
    progress.print("  ".join(f"{name} {value:.4f}" for name, value in diagnosis.evidence.items()) + "  (nats)")
    saved = None if diagnosis.verdict == "diverged" else out
    if saved is not None:
        facts = facts_of(config, corpus, result.train_nats, result.dev_nats, mixed)
        save_folder(saved, result.model.tensors(), facts, counted_model(corpus, mixed.order) if mixed else None)
        progress.print(f"saved to {saved}")
    if as_json:
        facts = _result_facts(config, corpus, result) | {"mixed": mixed and asdict(mixed)}
        facts |= _diagnosis_facts(diagnosis)
        show_json(facts | {"saved": saved and str(saved)})


def _result_facts(config: TrainConfig, corpus: Corpus, result: TrainResult) -> dict[str, Any]:
    names = ("status", "train_nats", "dev_nats", "parameters", "steps", "seconds")
    facts = {name: getattr(result, name) for name in names} | {"steps_per_s": result.steps / result.seconds}
    curve = [asdict(point) for point in result.curve]
    return {**json_header(corpus), **_config_facts(config), **facts, "curve": curve}


def _config_facts(config: TrainConfig) -> dict[str, Any]:
    return {"config_hash": config.hash(), "config": config.model_dump(mode="json")}


def _diagnosis_facts(diagnosis: Diagnosis) -> dict[str, Any]:
    following = None if diagnosis.next is None else diagnosis.next.model_dump(mode="json")
    return {
        "verdict": diagnosis.verdict,
        "evidence": diagnosis.evidence,
        "advice": diagnosis.advice,
        "next": following,
    }


@quiet_optuna()
@one_thread()
def draw_samples(
    source: str, corpus: str | None, storage: str | None, *, count: int, seed: int, mixed: bool, as_json: bool
) -> None:
    """Print new items from a saved folder, or from a study's winner or best trial; from its mixture if asked."""
    if Path(source).is_dir() or "/" in source:  # no study has a name with a slash
        model = load_model(source)
        items, fingerprint = model.sample(count, seed, mixed=mixed), model.fingerprint
    else:
        results = _results_of(source, corpus, storage)
        items = samples_of(results, count, seed, mixed=mixed)
        fingerprint = results.study.corpus.fingerprint
        if not items:
            raise StudyError(f"sampling needs a complete trial; {source} has none yet. Run make study again.")
    if as_json:
        facts = {"source": source, "fingerprint": fingerprint, "seed": seed, "mixed": mixed, "n": len(items)}
        show_json(facts | {"items": items})
        return
    for item in items:
        console.print(item)


def _results_of(source: str, corpus: str | None, storage: str | None) -> Results:
    """A study's results; if there is no such study, an error that also names the folders that hold a model."""
    try:
        opened = open_storage(storage)
        study = find_study(opened, source, corpus)
    except (StudyError, StorageError) as error:
        folders = known_folders(Path(source)).removeprefix(" There are: ")
        raise type(error)(f"{error} Or name a folder with a saved model; there are: {folders}") from None
    return gather(opened, study)


@one_thread()
def probe_learning_rates(config: TrainConfig, corpus_name: str, out: Path | None, *, as_json: bool) -> None:
    """Run the learning-rate range test and plot it."""
    corpus = load(corpus_name)
    target = out or paths.results_folder() / "lr_range.png"
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"a plot must end in .png, .svg or .pdf; got {target.name!r}. Rename it.")
    result = lr_range(config, corpus)
    label = f"{corpus.label} · fingerprint {corpus.fingerprint} · config {config.hash()} · from fresh weights"
    from harness.report.plots import style  # here, because importing the plots takes two seconds
    from harness.report.plots.model import draw_lr_range

    with style.look(), replacing(target) as path:
        draw_lr_range(RangeTest.of(0, config, result), label).savefig(path)
    if as_json:
        header = json_header(corpus, "nats per symbol, of each step's own batch") | _config_facts(config)
        show_json(header | asdict(result) | {"plot": str(target)})
        return
    console.print(label)
    console.print(f"{config.optimizer.kind}: try learning rates from {result.low:.1e} to {result.high:.1e} ({target})")


@one_thread()
def overfit_batch(config: TrainConfig, corpus_name: str, *, as_json: bool) -> None:
    """Overfit one batch; exit code 1 if its floor is not reached."""
    corpus = load(corpus_name)
    probe = overfit_one_batch(config, corpus)
    if as_json:
        unit = "nats per symbol, of one fixed batch of `examples`"
        show_json({**json_header(corpus, unit), **_config_facts(config), **asdict(probe)})
    else:
        _show_probe(probe, config, corpus)
    if not probe.passed:
        raise typer.Exit(1)


def _show_probe(probe: OverfitProbe, config: TrainConfig, corpus: Corpus) -> None:
    console.print(f"{corpus.label} · fingerprint {corpus.fingerprint} · config {config.hash()} · nats per symbol")
    console.print(
        f"one batch of {plural(probe.examples, 'example')}: {probe.reached:.4f} nats after "
        f"{plural(probe.steps, 'step')}; "
        f"floor {probe.floor:.4f} (entropy of its targets given their contexts)"
    )
    console.print("passed" if probe.passed else "FAILED: the model is too small for the batch, or cannot learn")
