"""Pages over several studies: `results/index.html` lists all, a comparison shows some side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from harness import paths
from harness.files import write_atomically
from harness.lecture import RECIPE
from harness.report.conclusion import config_rows
from harness.report.pages.study import Shown, render_page
from harness.report.plots import style
from harness.report.plots.compare import COMPARED
from harness.report.plots.plot import draw
from harness.report.results import Results, gather
from harness.report.tables.table import Column, cells, nats, whole
from harness.store.find import searched_studies
from harness.store.storage import Storage

_COLUMNS = (
    Column("study", number=False),
    Column("corpus", number=False),
    Column("fingerprint", number=False),
    Column("chosen", number=False),
    Column("dev", "nats", nats, marked=True),
    Column("n", "seeds", whole),
    Column("low", "nats", nats, words="95 % from"),
    Column("high", "nats", nats, words="95 % to"),
    Column("recipe", "nats", nats, words=RECIPE),
    Column("counted", "nats", nats, words="best counted n-gram"),
    Column("train", "nats", nats),
    Column("verdict", number=False),
    Column("parameters", show=whole),
    Column("complete", show=whole),
    Column("trials", show=whole),
    Column("seconds", show=whole, words="seconds of training"),
    Column("ended_by", number=False),
    Column("test_split", number=False),
)


def studies_frame(several: list[Results]) -> pd.DataFrame:
    """One row per study; `best` marks the lowest dev among studies of one fingerprint, where there are several."""
    frame = pd.DataFrame([_row(results) for results in several], columns=[column.name for column in _COLUMNS])
    lowest = frame.groupby("fingerprint")["dev"].transform("min")
    rivals = frame.groupby("fingerprint")["dev"].transform("count")
    return frame.assign(best=(frame["dev"] == lowest) & (rivals > 1))


def _row(results: Results) -> dict[str, Any]:
    study, chosen, opening = results.study, results.chosen, results.opening
    counted = Counter(record.status for record in results.trials)
    sealed = "sealed" if results.sealed else "opened by an earlier version"
    won = results.won
    row = {
        "study": study.key,
        "corpus": study.corpus.label,
        "fingerprint": study.corpus.fingerprint,
        "dev": results.dev_nats,
        "recipe": None if results.reference is None else results.reference.dev_nats,
        "counted": None if study.ngrams is None else study.ngrams.best.dev_nats,
        "complete": counted["complete"],
        "trials": len(results.trials),
        "seconds": sum(record.seconds or 0.0 for record in results.trials),
        "ended_by": study.ended_by,
        "test_split": sealed if opening is None else f"{opening.state} {opening.scored or opening.claimed}",
    }
    if won is not None:
        row |= {"chosen": won.name, "n": len(won.runs), "low": won.low, "high": won.high, "train": won.train_nats}
        row["parameters"] = won.parameters
    elif chosen is not None:
        trial = chosen.trial
        row |= {"chosen": f"trial {trial.number}", "n": 1, "train": trial.train_nats, "parameters": trial.parameters}
    return row | ({} if chosen is None else {"verdict": chosen.trial.verdict})


def _shown(frame: pd.DataFrame, up: str, caption: str, file: str) -> Shown:
    """The studies without columns that stay empty, each name leading to its page where there is one."""
    columns = [column for column in _COLUMNS if column.name == "study" or frame[column.name].notna().any()]
    rows = cells(frame, columns)
    there = {key for key in frame["study"] if (paths.results_folder() / key / "report.html").exists()}
    linked = [
        [row[0]._replace(link=f"{up}{row[0].text}/report.html") if row[0].text in there else row[0], *row[1:]]
        for row in rows
    ]
    return Shown(columns, linked, caption, file)


def write_index(storage: Storage) -> Path:
    """Write `results/index.html` and `index.csv`: every study of a storage, oldest first."""
    frame = studies_frame([gather(storage, record) for record in searched_studies(storage)])
    folder = paths.results_folder()
    write_atomically(folder / "index.csv", frame.to_csv(index=False))
    text = (
        "Losses in nats per symbol, exact means over whole splits; n = 1 is one run, the best of its search. The "
        "interval is of the mean over fresh seeds. Studies of one fingerprint share corpus and split, and the lowest "
        "of them is bold; losses of different fingerprints cannot be compared."
    )
    shown = _shown(frame, "", text, "index.csv")
    page = render_page("index.html.jinja", title="All studies", studies=shown, count=len(frame))
    write_atomically(folder / "index.html", page)
    return folder / "index.html"


def write_comparison(several: list[Results]) -> Path:
    """Write the page of several studies side by side, with its data, into `results/compare-A-B/`."""
    folder = paths.results_folder() / "-".join(["compare", *(results.study.key for results in several)])[:200]
    frame = studies_frame(several)
    configs = _configs(several)
    write_atomically(folder / "studies.csv", frame.to_csv(index=False))
    write_atomically(folder / "configs.csv", configs.to_csv(index=False))
    with style.look():
        drawn = [draw(plot, several, folder / "plots") for plot in COMPARED]
    page = render_page(
        "compare.html.jinja",
        title=" and ".join(results.study.key for results in several),
        fingerprints=_fingerprints(several),
        studies=_shown(frame, "../", "n = 1 is one run, the best of its search.", "studies.csv"),
        configs=_shown_configs(configs),
        drawn=drawn,
    )
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def _fingerprints(several: list[Results]) -> list[str]:
    return sorted({results.study.corpus.fingerprint for results in several})


def _configs(several: list[Results]) -> pd.DataFrame:
    """Keys of config and space as rows, studies as columns; `differs` where they are not all the same."""
    columns = {}
    for results in several:
        space = {f"space.{name}": "; ".join(kinds) for name, kinds in results.study.space.items()}
        about = {
            "sampler": results.study.sampler,
            "pruner": results.study.pruner,
            "seed of the study": str(results.study.seed),
        }
        columns[results.study.key] = dict(config_rows(results)) | about | space
    frame = pd.DataFrame(columns).rename_axis("key").reset_index()
    keys = list(columns)
    return frame.assign(differs=frame[keys].nunique(axis=1, dropna=False) > 1)


def _shown_configs(configs: pd.DataFrame) -> Shown:
    """What differs first and in bold; the space by its csv alone, for its signature is long."""
    keys = [name for name in configs.columns if name not in ("key", "differs")]
    shown = configs[~configs["key"].str.startswith("space.")].sort_values("differs", ascending=False, kind="stable")
    columns = [Column("key", number=False), *(Column(key, number=False, marked=True, words=key) for key in keys)]
    text = "The chosen trials' configs; rows that differ are bold and come first. The search spaces are in the csv."
    return Shown(columns, cells(shown.rename(columns={"differs": "best"}), columns), text, "configs.csv")
