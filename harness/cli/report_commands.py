"""Commands that show stored results in other forms: a table in a file's format, several studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.console import console, show_json
from harness.cli.facts import about
from harness.cli.options import AsJson, StorageUrl, StoredCorpus, StudyName
from harness.errors import ConfigError, StudyError, nearest
from harness.files import write_atomically
from harness.report.results import gather
from harness.report.tables.leaderboard import SHOWN, leaderboard, leaderboard_frame
from harness.report.tables.table import FORMATS, Format
from harness.store.find import find_study
from harness.store.storage import open_storage


def table(
    name: StudyName,
    columns: Annotated[
        str | None, typer.Option(help="Names with commas between them.", show_default="those of leaderboard.md")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv, md or latex.")] = "md",
    rows: Annotated[int, typer.Option(help="Trials to show.", min=1)] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="A file for it.", show_default="printed")] = None,
    corpus: StoredCorpus = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """A study's leaderboard as csv, Markdown or LaTeX: units, n, spread, the best in bold, ties marked."""
    opened = open_storage(storage)
    results = gather(opened, find_study(opened, name, corpus))
    if as_json:
        frame = leaderboard_frame(results, rows).astype(object)
        show_json(
            {
                "study": results.study.key,
                **about(results.study.corpus),
                "rows": frame.where(frame.notna(), None).to_dict("records"),
            }
        )
        return
    names = () if columns is None else tuple(part.strip() for part in columns.split(","))
    text = leaderboard(results, _format(form), names, rows)
    if out is None:
        typer.echo(text, nl=False)  # as it is: the console would fold long lines
        return
    write_atomically(out, text)
    console.print(str(out))


def compare(
    names: Annotated[list[str], typer.Argument(metavar="STUDY STUDY...", help="Keys or names of studies.")],
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Studies side by side on one page; says so where their corpora differ and losses cannot be compared."""
    opened = open_storage(storage)
    records = {record.key: record for record in (find_study(opened, name) for name in names)}
    if len(records) < 2:
        raise StudyError(f"a comparison needs two studies; got {', '.join(records)}. Name another (harness studies).")
    from harness.report.pages.comparison import write_comparison  # here: the plots take two seconds to load

    page = write_comparison([gather(opened, record) for record in records.values()])
    if as_json:
        show_json({"studies": list(records), "page": str(page)})
    else:
        console.print(str(page))


def _format(form: str) -> Format:
    for known in FORMATS:
        if form == known:
            return known
    raise ConfigError(
        f"a table's format must be {', '.join(FORMATS)}; got {form!r}.{nearest(form, list(FORMATS))} Correct --format."
    )
