"""Commands about studies: search, list, report, look at, open the test split, run a trial again."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from harness import corpus as corpora_module
from harness.cli.console import console, show_table
from harness.cli.progress import StudyProgress
from harness.errors import StudyError
from harness.report.finalists import HEAD, table_rows
from harness.report.headline import headline
from harness.report.results import Results, split_sizes
from harness.search.finalists import count_runs
from harness.search.find import find_study, searched_studies
from harness.search.holdout import recorded as recorded_opening
from harness.search.records import StudyRecord, best_trial
from harness.search.request import Request
from harness.search.rerun import rerun as run_again
from harness.search.session import Session, run_study
from harness.search.standing import FINISHED
from harness.search.storage import Storage, open_storage
from harness.search.study import known_studies

if TYPE_CHECKING:
    from harness.report.write import Report

Corpus = Annotated[
    str | None,
    typer.Option(
        help="names, names-dedup, names-published, ssa-2017 and its variants, or a text file with one item a line.",
        show_default="names",
    ),
]
StorageUrl = Annotated[str | None, typer.Option(help="SQLite file or database URL.", show_default="results/studies.db")]
StudyName = Annotated[str, typer.Argument(help="A study's key, or its name.")]


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A study in studies/, or a path to a study file.")],
    called: Annotated[
        str | None, typer.Option("--name", help="Another name for its key and results.", show_default="the study's own")
    ] = None,
    corpus: Corpus = None,
    trials: Annotated[
        int | None, typer.Option(help="Finished trials that end the search.", show_default="the study's own")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Minutes of wall time that end it.", show_default="the study's own")
    ] = None,
    finalists: Annotated[
        int | None, typer.Option(help="Best trials to train again; 0 for none.", show_default="the study's own")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Fresh seeds for each of them.", show_default="the study's own")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, one thread each.", show_default="the cores")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samplers and trials.", show_default="0")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="An Optuna sampler by name.", show_default="the study's own")
    ] = None,
    pruner: Annotated[
        str | None, typer.Option(help="An Optuna pruner by name.", show_default="the study's own")
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Search a study's space on all cores, or carry on where it stopped; write results/KEY."""
    signal.signal(signal.SIGTERM, _interrupt)
    request = Request(name, called, corpus, trials, minutes, finalists, seeds, workers, seed, sampler, pruner, storage)
    with ExitStack() as shown:
        progress: list[StudyProgress] = []

        def on_ready(session: Session) -> None:
            _announce(session)
            if not session.nothing_left:
                progress.append(shown.enter_context(StudyProgress(console, session)))

        try:
            session = run_study(request, on_ready, lambda event: progress[0].on_event(event))
        except KeyboardInterrupt:
            shown.close()
            typer.echo("harness: stopped; the trials in flight were put back.", err=True)
            typer.echo("make study carries on with them; make report shows what there is.", err=True)
            raise typer.Exit(130) from None
    _conclude(session)


def studies(storage: StorageUrl = None) -> None:
    """List the studies that can be begun and those in the storage."""
    console.print(f"in studies/: {', '.join(known_studies()) or 'none'}")
    opened = open_storage(storage)
    table = Table("key", "finished", "best dev (nats)", "trial", "ended by", "corpus", "test split", box=None)
    for record in searched_studies(opened):
        trials = opened.trials(record.key)
        finished = sum(trial.status in FINISHED for trial in trials)
        best = best_trial(trials)
        opening = recorded_opening(opened, record.key)
        sealed = "opened by an earlier version" if opened.is_opened(record.key) else "sealed"
        table.add_row(
            record.key,
            f"{finished} of {record.trials}",
            "-" if best is None else f"{best.dev_nats:.4f}",
            "-" if best is None else str(best.number),
            record.ended_by or "not ended",
            f"{record.corpus.label} {record.corpus.fingerprint}",
            sealed if opening is None else f"{opening.state} {opening.scored or opening.claimed}",
        )
    console.print(table)


def corpora() -> None:
    """List the corpora known by name, and whether they are at hand without a network."""
    table = Table("corpus", "at hand", "what it is", box=None)
    for name, known in corpora_module.KNOWN.items():
        here = "yes" if corpora_module.at_hand(name) else "to be fetched"
        for variant in corpora_module.VARIANTS:
            table.add_row(name + variant.suffix, here, variant.about if variant.suffix else known.about)
    console.print(table)
    suffixes = " and ".join(f"PATH{variant.suffix}" for variant in corpora_module.VARIANTS if variant.suffix)
    console.print(f"or a path: any UTF-8 text with one item a line ({suffixes} likewise)")


def report(
    name: Annotated[str | None, typer.Argument(help="A study's key or name.", show_default="all")] = None,
    corpus: Corpus = None,
    storage: StorageUrl = None,
) -> None:
    """Write tables and plots again, from the stored trials."""
    opened = open_storage(storage)
    records = searched_studies(opened) if name is None else [find_study(opened, name, corpus)]
    if not records:
        raise StudyError("a report needs a study; the storage has none yet. Begin one with make study.")
    for record in records:
        folder, results, _ = write(opened, record)
        console.print(f"{folder}: {headline(results)}")


def dashboard(
    port: Annotated[
        int | None, typer.Option(help="Port on 127.0.0.1.", show_default="8080, or the next free one")
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Serve the Optuna dashboard over every study; Ctrl-C ends it."""
    from harness.report.dashboard import HOST, make_dashboard  # here: it takes a second to load

    server = make_dashboard(open_storage(storage), port)
    address = f"http://{HOST}:{server.server_port}"
    console.print(f"Optuna dashboard: {address}  (Ctrl-C ends it)")
    console.print(f"from another machine: ssh -L {server.server_port}:{HOST}:{server.server_port} THIS-MACHINE")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.print("dashboard closed")
    finally:
        server.server_close()


def rerun(
    name: StudyName,
    trial: Annotated[int, typer.Argument(help="The trial's number.")],
    corpus: Corpus = None,
    storage: StorageUrl = None,
) -> None:
    """Train a stored trial again and compare its losses bit for bit; exit code 1 if they differ."""
    opened = open_storage(storage)
    record = find_study(opened, name, corpus)
    with console.status(f"running trial {trial} again"):
        again = run_again(opened, record, trial)
    console.print(f"trial {trial} of {record.key} ({record.corpus.short}, {split_sizes(record)})")
    show_table(
        ("loss (nats per symbol)", "recorded", "again"),
        [
            ("train", f"{again.record.curve[-1].train_nats!r}", f"{again.train_nats!r}"),
            ("dev", f"{again.record.curve[-1].dev_nats!r}", f"{again.dev_nats!r}"),
        ],
    )
    for what, (then, now) in again.changed.items():
        console.print(f"{what} differs: then {then}, now {now}")
    if again.identical:
        console.print("identical to the last bit" + (", although versions differ" if again.changed else ""))
        return
    console.print(
        "NOT identical" + (": another machine or other versions" if again.changed else ", with the same versions")
    )
    raise typer.Exit(1)


def write(storage: Storage, record: StudyRecord) -> Report:
    from harness.report.write import write_report  # here: the plots take two seconds to load

    return write_report(storage, record)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _announce(session: Session) -> None:
    record = session.record
    if session.notice:
        console.print(session.notice)
    console.print(f"{'carrying on with' if session.resumed else 'beginning'} {record.key}")
    console.print(
        f"corpus {record.corpus.label}, fingerprint {record.corpus.fingerprint}, {split_sizes(record)}; "
        f"{record.trials} trials or {session.study.minutes:g} minutes, {session.workers} workers, "
        f"{record.sampler}, {record.pruner}, seed {record.seed}"
    )


def _conclude(session: Session) -> None:
    """The last lines of `make study`: what came out, what holds it back, what to look at next."""
    folder, results, overview = write(session.storage, session.record)
    finished = sum(trial.status in FINISHED for trial in results.trials)
    if session.nothing_left:
        console.print(
            f"nothing is left to do: {finished} of {session.record.trials} trials are finished (TRIALS=… for more)"
        )
    else:
        ended = {"trials": "all trials asked for are finished", "minutes": "the minutes were up"}
        console.print(f"ended: {ended.get(session.record.ended_by or '', '')}, {finished} of {session.record.trials}")
    _show_finalists(session, results)
    console.print(headline(results))
    if results.chosen is not None and results.chosen.trial.verdict is not None:
        trial = results.chosen.trial
        console.print(f"trial {trial.number} is {trial.verdict}: {trial.advice}")
    for line in overview:
        console.print(f"  {line}")
    key = session.record.key
    if (folder / "road.html").is_file():
        console.print(f"look at {folder}/road.html (each reported figure beside what came out here)")
    console.print(f"look at {folder}/report.html")
    console.print("then: make dashboard (every trial)")
    console.print(f"      .venv/bin/harness rerun {key} N (a trial again, to the last bit)")
    if results.sealed:
        console.print("      make study as before (carry on; TRIALS= for more, MINUTES= for longer)")
        done, wanted = count_runs(session.storage, session.record)
        if done == wanted:
            console.print(f"      make holdout NAME={key} (the sealed test split, once)")


def _show_finalists(session: Session, results: Results) -> None:
    standing = results.study.standing
    if standing is not None:
        console.print(f"finalists: dev nats per symbol over {len(standing.seeds)} fresh seeds each, paired")
        show_table(HEAD, table_rows(standing))
        return
    done, wanted = count_runs(session.storage, session.record)
    if done < wanted:
        console.print(f"finalists: {done} of {wanted} runs with fresh seeds are done; make study carries on")
