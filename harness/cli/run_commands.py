"""Commands about single runs: train, sample, probe learning rates, overfit one batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness import paths
from harness.cli import overrides
from harness.cli.console import console
from harness.config import TrainConfig
from harness.corpus import load
from harness.errors import ConfigError, StorageError, StudyError
from harness.files import replacing
from harness.report.results import gather, samples_of
from harness.search.find import find_study
from harness.search.records import RangeTest
from harness.search.storage import open_storage
from harness.search.weights import draw, facts_of, load_folder, rebuilt, save_folder
from harness.train import Evaluation, judge, overfit_one_batch
from harness.train import lr_range as probe_lr_range
from harness.train import train as train_model

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Config keys, as in batch_size=64 model.hidden_width=300 schedule=linear."
    ),
]
Corpus = Annotated[
    str,
    typer.Option(
        help="names, names-dedup, names-published, ssa-2017 and its variants, or a text file with one item a line."
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
) -> None:
    """Train one model and show its exact losses (nats per symbol) along the way."""
    data = load(corpus)
    chosen = _config(config, settings)
    console.print(f"corpus {data.label}, fingerprint {data.fingerprint}; config {chosen.hash()}")
    console.print("    step   examples  seconds       rate   train     dev  (nats per symbol, whole splits)")

    def show(point: Evaluation) -> None:
        console.print(
            f"{point.step:8,} {point.examples:10,} {point.seconds:8.1f} {point.learning_rate:10.2e} "
            f"{point.train_nats:7.4f} {point.dev_nats:7.4f}"
        )

    result = train_model(chosen, data, on_evaluation=show)
    judged = judge(result, chosen, data)
    console.print(f"{result.parameters:,} parameters, {result.steps / result.seconds:,.0f} steps/s")
    console.print(f"{judged.verdict}: {judged.advice}")
    console.print("  ".join(f"{name} {value:.4f}" for name, value in judged.evidence.items()) + "  (nats)")
    if out is not None and judged.verdict != "diverged":
        facts = facts_of(chosen, data, result.train_nats, result.dev_nats)
        save_folder(out, result.model.tensors(), facts)
        console.print(f"saved to {out}")


def sample(
    source: Annotated[
        str, typer.Argument(help="A study's key or name (its best trial), or a folder with saved weights.")
    ],
    count: Annotated[int, typer.Option(help="Items to draw.", min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0)] = 0,
    corpus: Annotated[str | None, typer.Option(help="The study's corpus, where its name fits several.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="SQLite file or database URL.", show_default="results/studies.db")
    ] = None,
) -> None:
    """Draw new items from a trained model, one a line."""
    if Path(source).is_dir():
        tensors, facts = load_folder(Path(source))
        try:
            items = draw(rebuilt(tensors, facts), facts, count, seed)
        except ValueError as error:
            raise StorageError(f"{source} must hold a CharMLP: {error}. Give another folder.") from None
    else:
        opened = open_storage(storage)
        results = gather(opened, find_study(opened, source, corpus))
        items = samples_of(results, count, seed)
        if not items:
            raise StudyError(f"sampling needs a complete trial; {source} has none yet. Let make study go on.")
    for item in items:
        console.print(item)


def lr_range(
    settings: Settings = None,
    corpus: Corpus = "names",
    config: ConfigFile = None,
    out: Annotated[Path | None, typer.Option(help="Where the plot goes.", show_default="results/lr_range.png")] = None,
) -> None:
    """The lecture's learning-rate range test: one step at each of exponentially growing rates, and a plot."""
    data = load(corpus)
    chosen = _config(config, settings)
    target = out or paths.results_folder() / "lr_range.png"
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"a plot must end in .png, .svg or .pdf; got {target.name!r}. Rename it.")
    found = probe_lr_range(chosen, data)
    label = f"{data.label} · fingerprint {data.fingerprint} · config {chosen.hash()} · from fresh weights"
    from harness.report import style  # here: the plots take two seconds to load
    from harness.report.plots_model import draw_lr_range

    with style.look(), replacing(target) as path:
        draw_lr_range(RangeTest.of(0, chosen, found), label).savefig(path)
    console.print(label)
    console.print(f"{chosen.optimizer.kind}: try learning rates from {found.low:.1e} to {found.high:.1e} ({target})")


def overfit(settings: Settings = None, corpus: Corpus = "names", config: ConfigFile = None) -> None:
    """Drive one fixed batch to its exact floor; exit code 1 if the model cannot."""
    data = load(corpus)
    chosen = _config(config, settings)
    probe = overfit_one_batch(chosen, data)
    console.print(f"{data.label} · fingerprint {data.fingerprint} · config {chosen.hash()} · nats per symbol")
    console.print(
        f"one batch of {probe.examples} examples: {probe.reached:.4f} nats after {probe.steps} steps; "
        f"floor {probe.floor:.4f} (entropy of its targets given their contexts)"
    )
    console.print("passed" if probe.passed else "FAILED: the model is too small for the batch, or cannot learn")
    if not probe.passed:
        raise typer.Exit(1)


def _config(file: Path | None, settings: list[str] | None) -> TrainConfig:
    config = TrainConfig()
    if file is not None:
        try:
            data = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"--config must be a readable JSON file; {file}: {error}. Correct the path.") from None
        config = TrainConfig.parse(data.get("config", data) if isinstance(data, dict) else data)
    return overrides.apply(config, settings or [])
