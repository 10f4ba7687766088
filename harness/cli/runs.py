"""Commands about single runs: train, sample, probe learning rates, overfit one batch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import paths
from harness.cli import complete, overrides
from harness.cli.console import beside, console, show_json
from harness.cli.facts import about
from harness.cli.options import AsJson, Corpus, StorageUrl, StoredCorpus
from harness.config import TrainConfig
from harness.corpus import Corpus as TrainCorpus
from harness.corpus import load
from harness.errors import ConfigError, StorageError, StudyError
from harness.files import replacing
from harness.report.results import gather, samples_of
from harness.store.find import find_study
from harness.store.storage import open_storage
from harness.store.study_record import RangeTest
from harness.store.weights import draw, facts_of, load_folder, rebuilt, save_folder
from harness.train import Diagnosis, Evaluation, OverfitProbe, TrainResult, judge, overfit_one_batch
from harness.train import lr_range as probe_lr_range
from harness.train import train as train_model

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Config keys, as in batch_size=64 model.hidden_width=300 schedule=linear."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A config as JSON, or a config.json beside saved weights.", show_default="defaults"),
]


def train(
    settings: Settings = None,
    corpus: Corpus = "names",
    config: ConfigFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for model.safetensors and config.json.", show_default="not saved")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train one model and show its exact losses (nats per symbol) along the way."""
    data = load(corpus)
    chosen = _config(config, settings)
    to = beside(as_json)
    to.print(f"corpus {data.label}, fingerprint {data.fingerprint}; config {chosen.hash()}")
    to.print("    step   examples  seconds       rate   train     dev  (nats per symbol, whole splits)")

    def show(point: Evaluation) -> None:
        to.print(
            f"{point.step:8,} {point.examples:10,} {point.seconds:8.1f} {point.learning_rate:10.2e} "
            f"{point.train_nats:7.4f} {point.dev_nats:7.4f}"
        )

    result = train_model(chosen, data, on_evaluation=show)
    judged = judge(result, chosen, data)
    to.print(f"{result.parameters:,} parameters, {result.steps / result.seconds:,.0f} steps/s")
    to.print(f"{judged.verdict}: {judged.advice}")
    to.print("  ".join(f"{name} {value:.4f}" for name, value in judged.evidence.items()) + "  (nats)")
    saved = None if out is None or judged.verdict == "diverged" else out
    if saved is not None:
        facts = facts_of(chosen, data, result.train_nats, result.dev_nats)
        save_folder(saved, result.model.tensors(), facts)
        to.print(f"saved to {saved}")
    if as_json:
        show_json(_train_facts(chosen, data, result) | _diagnosis_facts(judged) | {"saved": saved and str(saved)})


def _diagnosis_facts(judged: Diagnosis) -> dict[str, Any]:
    following = None if judged.next is None else judged.next.model_dump(mode="json")
    return {"verdict": judged.verdict, "evidence": judged.evidence, "advice": judged.advice, "next": following}


def _train_facts(config: TrainConfig, corpus: TrainCorpus, result: TrainResult) -> dict[str, Any]:
    kept = ("status", "train_nats", "dev_nats", "parameters", "steps", "seconds")
    facts = {name: getattr(result, name) for name in kept} | {"steps_per_s": result.steps / result.seconds}
    curve = [asdict(point) for point in result.curve]
    return {**about(corpus), **_config_facts(config), **facts, "curve": curve}


def sample(
    source: Annotated[
        str,
        typer.Argument(
            help="A study's key or name (its winner, else its best trial), or a folder with saved weights.",
            autocompletion=complete.stored_studies,
        ),
    ],
    count: Annotated[int, typer.Option(help="Items to draw.", min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0)] = 0,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Draw new items from a trained model, one a line."""
    if Path(source).is_dir():
        tensors, facts = load_folder(Path(source))
        try:
            items, fingerprint = draw(rebuilt(tensors, facts), facts, count, seed), facts.get("fingerprint")
        except ValueError as error:
            raise StorageError(f"{source} must hold a CharMLP: {error}. Give another folder.") from None
    else:
        opened = open_storage(storage)
        results = gather(opened, find_study(opened, source, corpus))
        items, fingerprint = samples_of(results, count, seed), results.study.corpus.fingerprint
        if not items:
            raise StudyError(f"sampling needs a complete trial; {source} has none yet. Let make study go on.")
    if as_json:
        show_json({"source": source, "fingerprint": fingerprint, "seed": seed, "n": len(items), "items": items})
        return
    for item in items:
        console.print(item)


def lr_range(
    settings: Settings = None,
    corpus: Corpus = "names",
    config: ConfigFile = None,
    out: Annotated[Path | None, typer.Option(help="Where the plot goes.", show_default="results/lr_range.png")] = None,
    as_json: AsJson = False,
) -> None:
    """The lecture's learning-rate range test: one step at each of exponentially growing rates, and a plot."""
    data = load(corpus)
    chosen = _config(config, settings)
    target = out or paths.results_folder() / "lr_range.png"
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"a plot must end in .png, .svg or .pdf; got {target.name!r}. Rename it.")
    found = probe_lr_range(chosen, data)
    label = f"{data.label} · fingerprint {data.fingerprint} · config {chosen.hash()} · from fresh weights"
    from harness.report.plots import style  # here: the plots take two seconds to load
    from harness.report.plots.model import draw_lr_range

    with style.look(), replacing(target) as path:
        draw_lr_range(RangeTest.of(0, chosen, found), label).savefig(path)
    if as_json:
        head = about(data, "nats per symbol, of each step's own batch") | _config_facts(chosen)
        show_json(head | asdict(found) | {"plot": str(target)})
        return
    console.print(label)
    console.print(f"{chosen.optimizer.kind}: try learning rates from {found.low:.1e} to {found.high:.1e} ({target})")


def overfit(
    settings: Settings = None, corpus: Corpus = "names", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Drive one fixed batch to its exact floor; exit code 1 if the model cannot."""
    data = load(corpus)
    chosen = _config(config, settings)
    probe = overfit_one_batch(chosen, data)
    if as_json:
        unit = "nats per symbol, of one fixed batch of `examples`"
        show_json({**about(data, unit), **_config_facts(chosen), **asdict(probe)})
    else:
        _show_probe(probe, chosen, data)
    if not probe.passed:
        raise typer.Exit(1)


def _show_probe(probe: OverfitProbe, chosen: TrainConfig, corpus: TrainCorpus) -> None:
    console.print(f"{corpus.label} · fingerprint {corpus.fingerprint} · config {chosen.hash()} · nats per symbol")
    console.print(
        f"one batch of {probe.examples} examples: {probe.reached:.4f} nats after {probe.steps} steps; "
        f"floor {probe.floor:.4f} (entropy of its targets given their contexts)"
    )
    console.print("passed" if probe.passed else "FAILED: the model is too small for the batch, or cannot learn")


def _config_facts(config: TrainConfig) -> dict[str, Any]:
    return {"config_hash": config.hash(), "config": config.model_dump(mode="json")}


def _config(file: Path | None, settings: list[str] | None) -> TrainConfig:
    config = TrainConfig()
    if file is not None:
        try:
            data = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"--config must be a readable JSON file; {file}: {error}. Correct the path.") from None
        config = TrainConfig.parse(data.get("config", data) if isinstance(data, dict) else data)
    return overrides.apply(config, settings or [])
