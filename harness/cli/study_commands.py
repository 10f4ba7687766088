"""Commands about studies: search, list, report, look at, open the test split, run a trial again."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from harness import corpus as corpora_module
from harness.cli import complete
from harness.cli.console import beside, console, show_json, show_table
from harness.cli.options import AsJson, StorageUrl, StoredCorpus
from harness.cli.panel import StudyDisplay
from harness.dashboard.live import LiveBoard
from harness.errors import StudyError
from harness.report.conclusion import headline
from harness.report.results import Results, split_sizes
from harness.report.summary import UNIT, summary
from harness.report.tables.finalists import HEAD, table_rows
from harness.search.events import Event, OnEvent
from harness.search.finalists import count_runs
from harness.search.request import Request
from harness.search.session import Session, run_study
from harness.store.find import find_study, searched_studies
from harness.store.opening import recorded as recorded_opening
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import FINISHED, best_trial
from harness.study.load import known_studies

if TYPE_CHECKING:
    from harness.report.write import Report


def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A study in studies/, or a path to a study file.",
            autocompletion=complete.study_files,
        ),
    ],
    called: Annotated[
        str | None, typer.Option("--name", help="Another name for its key and results.", show_default="the study's own")
    ] = None,
    corpus: StoredCorpus = None,
    trials: Annotated[
        int | None, typer.Option(help="Finished trials that end the search.", show_default="the study's own")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes of wall time, finalists included.", show_default="the study's own"),
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
        str | None,
        typer.Option(
            help="An Optuna sampler by name.", show_default="the study's own", autocompletion=complete.samplers
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help="An Optuna pruner by name.", show_default="the study's own", autocompletion=complete.pruners),
    ] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search a study's space on all cores, or carry on where it stopped; write results/KEY."""
    signal.signal(signal.SIGTERM, _interrupt)
    request = Request(name, called, corpus, trials, minutes, finalists, seeds, workers, seed, sampler, pruner, storage)
    with ExitStack() as shown:
        listeners: list[OnEvent] = []

        def on_ready(session: Session) -> None:
            _announce(session, beside(as_json))
            if not session.nothing_left:
                display = shown.enter_context(StudyDisplay(beside(as_json), session))
                listeners.extend((display.on_event, LiveBoard(session, beside(as_json).print).on_event))

        def on_event(event: Event) -> None:
            for listen in listeners:
                listen(event)

        try:
            session = run_study(request, on_ready, on_event)
        except KeyboardInterrupt:
            shown.close()
            typer.echo("harness: stopped; the trials in flight were put back.", err=True)
            typer.echo("make study carries on with them; make report shows what there is.", err=True)
            raise typer.Exit(130) from None
    report = write(session.storage, session.record)
    LiveBoard(session, beside(as_json).print).finish(report.findings)
    if as_json:
        show_json(summary(report.results))
    else:
        _conclude(session, report)


def studies(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the studies that can be begun and those in the storage."""
    opened = open_storage(storage)
    stored = [_stored(opened, record) for record in searched_studies(opened)]
    if as_json:
        show_json({"unit": UNIT, "to_begin": known_studies(), "stored": stored})
        return
    console.print(f"in studies/: {', '.join(known_studies()) or 'none'}")
    rows = [
        (
            each["study"],
            f"{each['finished']} of {each['asked']}",
            "-" if each["best_dev_nats"] is None else f"{each['best_dev_nats']:.4f}",
            "-" if each["best_trial"] is None else str(each["best_trial"]),
            each["ended_by"] or "not ended",
            f"{each['corpus']} {each['fingerprint']}",
            each["test_split"],
        )
        for each in stored
    ]
    show_table(("key", "finished", "best dev (nats)", "trial", "ended by", "corpus", "test split"), rows)


def _stored(storage: Storage, record: StudyRecord) -> dict[str, Any]:
    trials = storage.trials(record.key)
    best, opening = best_trial(trials), recorded_opening(storage, record.key)
    sealed = "opened by an earlier version" if storage.is_opened(record.key) else "sealed"
    return {
        "study": record.key,
        "corpus": record.corpus.label,
        "fingerprint": record.corpus.fingerprint,
        "examples": record.corpus.examples,
        "asked": record.trials,
        "finished": sum(trial.status in FINISHED for trial in trials),
        "best_dev_nats": None if best is None else best.dev_nats,
        "best_trial": None if best is None else best.number,
        "winner": None if record.ranking is None else record.ranking.winner,
        "ended_by": record.ended_by,
        "test_split": sealed if opening is None else f"{opening.state} {opening.scored or opening.claimed}",
    }


def corpora(as_json: AsJson = False) -> None:
    """List the corpora known by name, and whether they are at hand without a network."""
    rows = []
    for name, known in corpora_module.KNOWN.items():
        here = corpora_module.at_hand(name)
        for variant in corpora_module.VARIANTS:
            rows.append((name + variant.suffix, here, variant.about if variant.suffix else known.about))
    if as_json:
        show_json({"corpora": [dict(zip(("name", "at_hand", "about"), row, strict=True)) for row in rows]})
        return
    shown = [(name, "yes" if here else "to be fetched", what) for name, here, what in rows]
    show_table(("corpus", "at hand", "what it is"), shown)
    suffixes = " and ".join(f"PATH{variant.suffix}" for variant in corpora_module.VARIANTS if variant.suffix)
    console.print(f"or a path: any UTF-8 text with one item a line ({suffixes} likewise)")


def report(
    name: Annotated[
        str | None,
        typer.Argument(help="A study's key or name.", show_default="all", autocompletion=complete.stored_studies),
    ] = None,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write tables, plots and the dashboard's notes again, from the stored trials."""
    opened = open_storage(storage)
    records = searched_studies(opened) if name is None else [find_study(opened, name, corpus)]
    if not records:
        raise StudyError("a report needs a study; the storage has none yet. Begin one with make study.")
    from harness.dashboard.board import show_all  # here: it takes a second to load

    documents = []
    for record in records:
        folder, results, overview = write(opened, record)
        show_all(opened, record.key, overview)
        beside(as_json).print(f"{folder}: {headline(results)}")
        documents.append({"folder": str(folder), "headline": headline(results), "summary": summary(results)})
    if as_json:
        show_json({"reports": documents})


def dashboard(
    port: Annotated[
        int | None, typer.Option(help="Port on 127.0.0.1.", show_default="8080, or the next free one")
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Serve the Optuna dashboard over every study; Ctrl-C ends it."""
    from harness.dashboard.server import HOST, make_dashboard  # here: it takes a second to load

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


def write(storage: Storage, record: StudyRecord) -> Report:
    from harness.report.write import write_report  # here: the plots take two seconds to load

    return write_report(storage, record)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _announce(session: Session, to: Console) -> None:
    record = session.record
    if session.notice:
        to.print(session.notice)
    to.print(f"{'carrying on with' if session.resumed else 'beginning'} {record.key}")
    to.print(
        f"corpus {record.corpus.label}, fingerprint {record.corpus.fingerprint}, {split_sizes(record)}; "
        f"{record.trials} trials or {session.study.minutes:g} minutes, {session.workers} workers, "
        f"{record.sampler}, {record.pruner}, seed {record.seed}"
    )


def _conclude(session: Session, report: Report) -> None:
    """The last lines of `make study`: what came out, what holds it back, what to look at next."""
    folder, results, overview = report
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
        console.print(f"trial {trial.number} is {trial.verdict}: {results.chosen.advice}")
    for line in overview:
        console.print(f"  {line}")
    key = session.record.key
    if (folder / "reported.html").is_file():
        console.print(f"look at {folder}/reported.html (reported figures and the losses measured here)")
    console.print(f"look at {folder}/report.html")
    console.print("then: make dashboard (every trial)")
    console.print(f"      .venv/bin/harness rerun {key} N (a trial again, to the last bit)")
    if results.opening is None:
        console.print("      make study as before (carry on; TRIALS= for more, MINUTES= for longer)")
        done, wanted = count_runs(session.storage, session.record)
        if done == wanted:
            console.print(f"      make holdout NAME={key} (the sealed test split, once)")


def _show_finalists(session: Session, results: Results) -> None:
    ranking = results.study.ranking
    if ranking is not None:
        console.print(f"finalists: dev nats per symbol over {len(ranking.seeds)} fresh seeds each, paired")
        show_table(HEAD, table_rows(ranking))
    done, wanted = count_runs(session.storage, session.record)
    if done < wanted:
        console.print(f"finalists: {done} of {wanted} runs with fresh seeds are done; make study carries on")
