"""The commands: arguments, options and help.

Each body imports the module that does the work, so that help and shell completion load neither torch nor Optuna.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete
from harness.cli.options import (
    STUDY_HELP,
    STUDYS_OWN,
    AsJson,
    Assignments,
    ConfigFile,
    Corpus,
    StorageUrl,
    StoredCorpus,
    StudyName,
)
from harness.errors import ConfigError


def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A study in studies/, or the path of a study file.",
            autocompletion=complete.study_files,
        ),
    ],
    called: Annotated[
        str | None, typer.Option("--name", help="Another name for its key and results.", show_default=STUDYS_OWN)
    ] = None,
    corpus: StoredCorpus = None,
    trials: Annotated[
        int | None, typer.Option(help="Finished trials at which the search ends.", show_default=STUDYS_OWN)
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Minutes of wall time, finalists and report included.", show_default=STUDYS_OWN)
    ] = None,
    finalists: Annotated[
        int | None, typer.Option(help="Best trials to train again; 0 for none.", show_default=STUDYS_OWN)
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Fresh seeds for each finalist.", show_default=STUDYS_OWN)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, one thread each.", show_default="one for each core")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samplers and trials.", show_default="0")] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="An Optuna sampler by name.", show_default=STUDYS_OWN, autocompletion=complete.samplers),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help="An Optuna pruner by name.", show_default=STUDYS_OWN, autocompletion=complete.pruners),
    ] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search a study's space on all cores, or resume the search; write results/KEY."""
    began = time.time()  # before the imports, which take seconds
    from harness.cli.study import run_search
    from harness.search.request import Request
    from harness.study.settings import Settings

    settings = Settings(
        trials=trials, minutes=minutes, finalists=finalists, seeds=seeds, seed=seed, sampler=sampler, pruner=pruner,
        workers=workers, corpus=corpus, storage=storage,
    )  # fmt: skip
    run_search(Request(study=name, name=called, settings=settings, began=began), as_json=as_json)


def studies(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the study files and the studies in the storage."""
    from harness.cli.lists import list_studies

    list_studies(storage, as_json=as_json)


def corpora(as_json: AsJson = False) -> None:
    """List the known corpora, and which of them are available without a network."""
    from harness.cli.lists import list_corpora

    list_corpora(as_json=as_json)


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
    """Show a study's results, or the whole record of one trial."""
    from harness.cli.show import show_study, show_trial

    if trial is None:
        show_study(name, corpus, storage, as_json=as_json)
    else:
        show_trial(name, trial, corpus, storage, as_json=as_json)


def report(
    name: Annotated[
        str | None, typer.Argument(help=STUDY_HELP, show_default="all", autocompletion=complete.stored_studies)
    ] = None,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Rewrite tables, plots, pages and the dashboard's notes from what is stored."""
    from harness.cli.reports import rewrite_reports

    rewrite_reports(name, corpus, storage, as_json=as_json)


def table(
    name: StudyName,
    columns: Annotated[
        str | None, typer.Option(help="Column names, separated by commas.", show_default="as in leaderboard.md")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv, md or latex.")] = "md",
    rows: Annotated[
        int | None, typer.Option(help="Trials to show.", min=1, show_default="as in leaderboard.md")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="printed")] = None,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """A study's leaderboard as csv, Markdown or LaTeX: units, n, spread, the best in bold, ties marked."""
    from harness.cli.leaderboard import show_leaderboard

    show_leaderboard(name, corpus, storage, columns=columns, form=form, rows=rows, out=out, as_json=as_json)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="Keys or names of studies.")],
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compare studies on one page, with a warning if their corpora differ and their losses are not comparable."""
    from harness.cli.reports import compare_studies

    compare_studies(names, storage, as_json=as_json)


def dashboard(
    port: Annotated[
        int | None, typer.Option(help="Port on 127.0.0.1.", show_default="8080, or the next free one")
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Serve the Optuna dashboard with every study; Ctrl-C stops it."""
    from harness.cli.dashboard import serve

    serve(port, storage)


def holdout(
    name: Annotated[
        str | None, typer.Argument(help=STUDY_HELP, show_default=False, autocompletion=complete.stored_studies)
    ] = None,
    corpus: StoredCorpus = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an opening that crashed before scoring.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only check the ledger of all openings.")] = False,
    head: Annotated[
        str | None, typer.Option(help="With --verify: the hash that an opening printed, to be found in the ledger.")
    ] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Open the test split once, for the study's winner; exit code 3 if it was opened before."""
    from harness.cli.holdout import open_test_split, verify_ledger

    if head is not None and not verify:
        raise ConfigError(f"--head belongs to --verify; got --head {head} alone. Add --verify.")
    if verify:
        verify_ledger(storage, head, as_json=as_json)
    elif name is None:
        raise ConfigError("a holdout needs a study; got none. Give its key or name, or --verify to check the ledger.")
    else:
        open_test_split(name, corpus, storage, resume=resume, as_json=as_json)


def rerun(
    name: StudyName,
    trial: Annotated[int, typer.Argument(help="The trial's number.", autocompletion=complete.trial_numbers)],
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Train a stored trial again and compare its losses bit for bit; exit code 1 if they differ."""
    from harness.cli.checks import rerun_trial

    rerun_trial(name, trial, corpus, storage, as_json=as_json)


def prune_check(
    name: StudyName, corpus: StoredCorpus = None, storage: StorageUrl = None, as_json: AsJson = False
) -> None:
    """Replay pruners on the curves of an unpruned study: training seconds saved, and the dev loss they cost."""
    from harness.cli.checks import check_pruners

    check_pruners(name, corpus, storage, as_json=as_json)


def train(
    settings: Assignments = None,
    corpus: Corpus = "names",
    config: ConfigFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for model.safetensors and config.json.", show_default="not saved")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train one model and show its exact losses (nats per symbol) along the way."""
    from harness.cli.runs import read_config, train_model

    train_model(read_config(config, settings), corpus, out, as_json=as_json)


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
    mixed: Annotated[bool, typer.Option("--mixed", help="Draw from its mixture with the counted n-gram.")] = False,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Draw new items from a trained model, one per line."""
    from harness.cli.runs import draw_samples

    draw_samples(source, corpus, storage, count=count, seed=seed, mixed=mixed, as_json=as_json)


def baselines(
    corpus: Corpus = "names",
    context: Annotated[int, typer.Option(help="Context length.", min=1, max=64)] = 8,
    as_json: AsJson = False,
) -> None:
    """Losses of counted n-grams on a corpus, and the floor of every model of that context length."""
    from harness.cli.checks import count_ngrams

    count_ngrams(corpus, context, as_json=as_json)


def lr_range(
    settings: Assignments = None,
    corpus: Corpus = "names",
    config: ConfigFile = None,
    out: Annotated[Path | None, typer.Option(help="File of the plot.", show_default="results/lr_range.png")] = None,
    as_json: AsJson = False,
) -> None:
    """The lecture's learning-rate range test: one step at each of exponentially growing rates, and a plot."""
    from harness.cli.runs import probe_learning_rates, read_config

    probe_learning_rates(read_config(config, settings), corpus, out, as_json=as_json)


def overfit(
    settings: Assignments = None, corpus: Corpus = "names", config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Train on one fixed batch down to its exact floor; exit code 1 if the model cannot reach it."""
    from harness.cli.runs import overfit_batch, read_config

    overfit_batch(read_config(config, settings), corpus, as_json=as_json)


def bench(
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="Some of steps, neighbour, exact, target, study, advice; or ideas, ideas-best, ideas-cost.",
            show_default="all but these three",
        ),
    ] = None,
    corpus: Annotated[str, typer.Option(help="Corpus to train on; the targets are dev losses on names.")] = "names",
    repeats: Annotated[int, typer.Option(help="Interleaved repeats of steps and exact.", min=3, max=1000)] = 9,
    as_json: AsJson = False,
) -> None:
    """Time this trainer and other ways to train the same model; write tables and a plot to results/bench/.

    All sections take about half an hour. The lecture's recipe in its own loop takes six minutes of it, and the advice
    fifteen. ideas trains every idea of docs/ideas.md that has no row in results/reference/ideas/ yet, ideas-best
    trains configs that combine what pays, ideas-cost times the ideas, and each writes the page again. They take hours
    and can be stopped at any time; several processes share the work.
    """
    from harness.cli.bench import run_bench

    run_bench(sections, corpus, repeats, as_json=as_json)


COMMANDS = (
    study, studies, corpora, show, report, table, compare, dashboard, holdout, rerun, prune_check,
    train, sample, baselines, lr_range, overfit, bench,
)  # fmt: skip
"""In the order of the help."""
