"""`results/compare-A-B/report.html`: several studies side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness import paths
from harness.files import write_atomically
from harness.report.conclusion import config_rows
from harness.report.pages.index import shown_studies
from harness.report.pages.template import Shown, render_page
from harness.report.parameters import columns_of_study
from harness.report.plots import style
from harness.report.plots.compare import COMPARED
from harness.report.plots.plot import draw
from harness.report.results import Results
from harness.report.tables.studies import UNCONFIRMED, studies_frame
from harness.report.tables.table import Column, cells


def write_comparison(several: list[Results]) -> tuple[Path, list[str]]:
    """Write the page and its data into `results/compare-A-B/`; returns the page's path, and what could not be drawn.

    Raises:
        StorageError: the files cannot be written.
    """
    folder = paths.results_folder() / "-".join(["compare", *(results.study.key for results in several)])[:200]
    frame = studies_frame(several)
    configs = _configs(several)
    write_atomically(folder / "studies.csv", frame.to_csv(index=False))
    write_atomically(folder / "configs.csv", configs.to_csv(index=False))
    with style.look():
        drawn = [draw(plot, several, folder / "plots") for plot in COMPARED]
    caption = f"{UNCONFIRMED.capitalize()}: the best single run of a search. The lowest mean over fresh seeds is bold."
    page = render_page(
        "compare.html.jinja",
        title=" and ".join(results.study.key for results in several),
        fingerprints=sorted({results.study.corpus.fingerprint for results in several}),
        studies=shown_studies(frame, "../", caption, "studies.csv"),
        configs=_shown_configs(configs),
        drawn=drawn,
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html", [plot.failure for plot in drawn if plot.failure]


def _configs(several: list[Results]) -> pd.DataFrame:
    """Keys of configs and search spaces as rows, studies as columns; `differs` where the values are not all equal."""
    columns = {}
    for results in several:
        study = results.study
        settings = {"sampler": study.sampler, "pruner": study.pruner, "seed of the study": str(study.seed)}
        names = columns_of_study(study)
        space = {f"space.{names[name]}": "; ".join(kinds) for name, kinds in study.space.items()}
        columns[study.key] = dict(config_rows(results)) | settings | space
    frame = pd.DataFrame(columns).rename_axis("key").reset_index()
    return frame.assign(differs=frame[list(columns)].nunique(axis=1, dropna=False) > 1)


def _shown_configs(configs: pd.DataFrame) -> Shown:
    """The configs, rows that differ first and in bold; the long definitions of the spaces are only in the csv."""
    keys = [name for name in configs.columns if name not in ("key", "differs")]
    shown = configs[~configs["key"].str.startswith("space.")].sort_values("differs", ascending=False, kind="stable")
    columns = [Column("key", number=False), *(Column(key, number=False, marked=True, words=key) for key in keys)]
    caption = "Configs of the chosen trials. Rows that differ come first, in bold. The csv also has the search spaces."
    return Shown(columns, cells(shown.rename(columns={"differs": "best"}), columns), caption, "configs.csv")
