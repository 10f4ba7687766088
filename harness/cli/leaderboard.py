"""`harness table`: a study's leaderboard in the format of a paper, a README or a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.cli.console import console, show_json
from harness.cli.json_header import json_header
from harness.errors import ConfigError, nearest
from harness.files import write_atomically
from harness.report.results import gather
from harness.report.tables.leaderboard import SHOWN, leaderboard, leaderboard_frame
from harness.report.tables.table import FORMATS, Format
from harness.store.find import find_study
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage


@quiet_optuna()
def show_leaderboard(
    name: str,
    corpus: str | None,
    storage: str | None,
    *,
    columns: str | None,
    form: str,
    rows: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print the leaderboard, or write it to a file."""
    opened = open_storage(storage)
    results = gather(opened, find_study(opened, name, corpus))
    most = rows or SHOWN
    if as_json:
        frame = leaderboard_frame(results, most).astype(object)
        show_json(
            {
                "study": results.study.key,
                **json_header(results.study.corpus),
                "rows": frame.where(frame.notna(), None).to_dict("records"),
            }
        )
        return
    names = () if columns is None else tuple(part.strip() for part in columns.split(","))
    text = leaderboard(results, _format(form), names, most)
    if out is None:
        typer.echo(text, nl=False)  # unchanged, because the console would wrap long lines
        return
    write_atomically(out, text)
    console.print(str(out))


def _format(form: str) -> Format:
    for known in FORMATS:
        if form == known:
            return known
    raise ConfigError(
        f"a table's format must be {', '.join(FORMATS)}; got {form!r}.{nearest(form, list(FORMATS))} Correct --format."
    )
