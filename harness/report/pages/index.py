"""`results/index.html` and `index.csv`: all studies of a storage."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness import paths
from harness.errors import HarnessError, in_one_line
from harness.files import write_atomically
from harness.report.pages.template import Shown, render_page
from harness.report.results import gather
from harness.report.tables.studies import COLUMNS, UNCONFIRMED, studies_frame
from harness.report.tables.table import cells
from harness.store.find import searched_studies
from harness.store.storage import Storage


def write_index(storage: Storage) -> Path:
    """Write the page and its csv, oldest study first; returns the page's path.

    Raises:
        StorageError: the files cannot be written.
    """
    several, left_out = [], []
    for record in searched_studies(storage):
        try:
            several.append(gather(storage, record))
        except HarnessError as error:  # such as lost weights, which its own report says
            left_out.append(f" {record.key} is left out: {in_one_line(error)}")
    frame = studies_frame(several)
    folder = paths.results_folder()
    write_atomically(folder / "index.csv", frame.to_csv(index=False))
    caption = (
        f"Losses in nats per symbol, exact means over whole splits. {UNCONFIRMED.capitalize()}: the best single run of "
        "a search, whose loss is optimistic. The 95 % interval is for the mean over fresh seeds; the value corrected "
        "for selection is a column of its own. Studies with the same fingerprint share corpus and split; the lowest "
        "mean over fresh seeds among them is bold. Losses with different fingerprints cannot be compared."
    )
    studies = shown_studies(frame, "", caption + "".join(left_out), "index.csv")
    page = render_page("index.html.jinja", title="All studies", studies=studies, count=len(frame))
    write_atomically(folder / "index.html", page)
    return folder / "index.html"


def shown_studies(frame: pd.DataFrame, results_folder: str, caption: str, file: str) -> Shown:
    """The studies without empty columns; a study's name links to its page if it has one.

    Args:
        results_folder: the results folder relative to the page: empty, or a path that ends in a slash.
    """
    columns = [column for column in COLUMNS if column.name == "study" or frame[column.name].notna().any()]
    rows = cells(frame, columns)
    for row, key in zip(rows, frame["study"], strict=True):
        if (paths.results_folder() / key / "report.html").exists():
            row[0] = row[0]._replace(link=f"{results_folder}{key}/report.html")
    return Shown(columns, rows, caption, file)
