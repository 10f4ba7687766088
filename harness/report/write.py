"""Writes everything in `results/<key>/` from the storage and its artifacts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from harness import paths
from harness.files import rewriting, write_atomically
from harness.report.checked import check_weights
from harness.report.findings import findings
from harness.report.frames import curves_frame, trials_frame
from harness.report.losses import items_frame, samples_frame
from harness.report.pages.index import write_index
from harness.report.pages.reported import write_reported
from harness.report.pages.study import Pieces, report_page
from harness.report.plots import style
from harness.report.plots.every import PLOTS
from harness.report.plots.glyphs import notice
from harness.report.plots.plot import Drawn, draw
from harness.report.results import SAMPLES, Results, gather
from harness.report.summary import to_json
from harness.report.tables import finalists, holdout, segments
from harness.report.tables.leaderboard import leaderboard, leaderboard_frame
from harness.report.tables.table import Format
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.weights import save_folder, unpack

_LASTING = ("best/", "holdout")
"""What an earlier report wrote and a later one may replace but never deletes: a model, and the trace of an opening."""


class Report(NamedTuple):
    """A report that was written."""

    folder: Path
    results: Results
    findings: list[str]
    """What to know about the study as a whole, one sentence each."""
    notice: str
    """A line to show: symbols that no installed font has; empty if there are none."""
    failures: list[str]
    """Plots that could not be drawn, one line each. The report says so in their places."""


def write_report(storage: Storage, study: StudyRecord) -> Report:
    """Write a study's page, tables, plots, best model and samples: all of them, or the earlier report stays.

    Raises:
        StorageError: the files cannot be written, or stored weights are missing or corrupt.
        ModelChanged: stored weights no longer have the loss that was recorded for them.
    """
    results, checked = check_weights(storage, gather(storage, study))
    folder = paths.results_folder() / study.key
    with filelock.FileLock(paths.lock_file(f"{study.key}.report")), rewriting(folder, _LASTING) as new:
        lines, drawn = _write_all(new, storage, results, checked)
    write_index(storage)
    unknown = frozenset[str]().union(*(plot.as_code_points for plot in drawn.values()))
    return Report(folder, results, lines, notice(unknown), [plot.failure for plot in drawn.values() if plot.failure])


def _write_all(folder: Path, storage: Storage, results: Results, checked: str) -> tuple[list[str], dict[str, Drawn]]:
    """Write the report into an empty folder; returns its findings and its plots by name."""
    study = results.study
    write_atomically(folder / "trials.csv", trials_frame(results).to_csv(index=False))
    write_atomically(folder / "curves.csv", curves_frame(results).to_csv(index=False))
    forms: dict[str, Format] = {"csv": "csv", "md": "md", "tex": "latex"}
    for ending, form in forms.items():
        write_atomically(folder / f"leaderboard.{ending}", leaderboard(results, form))
    _write_finalists(folder, results, storage)
    _write_holdout(folder, results, storage)
    lines = findings(results)
    title = f"# {study.key} as a whole\n\n{results.label}\n\n"
    shown = lines or ["no complete trial yet, or nothing to report"]
    write_atomically(folder / "overview.md", title + "".join(f"- {line}\n" for line in shown))
    _write_best(folder, results)
    _write_segments(folder, results)
    drawn = _write_page(folder, results, lines, checked)
    write_reported(storage, results, folder, drawn)
    earlier = paths.results_folder() / study.key / "summary.json"
    write_atomically(folder / "summary.json", to_json(results, _trace_in(earlier, results)))
    return lines, drawn


def _write_finalists(folder: Path, results: Results, storage: Storage) -> None:
    if results.study.distances is not None:
        for name, frame in (
            ("distances", finalists.distances_frame(results)),
            ("distances_items", finalists.distances_items_frame(results, storage)),
        ):
            write_atomically(folder / f"{name}.csv", frame.to_csv(index=False))
    if results.study.ranking is None:
        return
    write_atomically(folder / "finalists.md", finalists.to_markdown(results))
    for name, frame in (
        ("finalists", finalists.finalists_frame(results)),
        ("finalists_runs", finalists.runs_frame(results)),
        ("finalists_items", finalists.items_frame(results, storage)),
    ):
        write_atomically(folder / f"{name}.csv", frame.to_csv(index=False))


def _write_holdout(folder: Path, results: Results, storage: Storage) -> None:
    opening = results.opening
    if opening is None:
        return
    write_atomically(folder / "holdout.md", holdout.to_markdown(opening, results.study))
    write_atomically(folder / "holdout.csv", holdout.runs_frame(opening).to_csv(index=False))
    write_atomically(folder / "holdout_items.csv", holdout.items_frame(opening, storage).to_csv(index=False))


def _trace_in(path: Path, results: Results) -> dict[str, Any] | None:
    """The opening in an earlier summary, if the ledger has lost it: a report must not delete what still tells of it."""
    study = results.study
    if results.opening is not None or not any(each.is_of(study.key, study.created) for each in results.known):
        return None
    try:
        holdout: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")).get("holdout")
    except (OSError, ValueError, AttributeError):
        return None
    return holdout


def _write_best(folder: Path, results: Results) -> None:
    if results.weights is None or results.chosen is None:
        return
    study, number, mixed = results.study, results.chosen.trial.number, results.chosen.mixed
    tensors, facts = unpack(results.weights)
    of_study = {"study": study.key, "trial": number, **facts, "mixed": None if mixed is None else asdict(mixed)}
    save_folder(folder / "best", tensors, of_study, results.counted)
    seed = facts["config"]["seed"]
    title = f"# {study.key}, trial {number} (seed {seed}): {SAMPLES} items drawn with seed 0 · {study.corpus.short}"
    write_atomically(folder / "samples.txt", "\n".join([title, *results.samples]) + "\n")
    if mixed is not None and results.mixed_samples:
        title += f" · mixed with the counted {mixed.order}-gram"
        write_atomically(folder / "samples_mixed.txt", "\n".join([title, *results.mixed_samples]) + "\n")


def _write_segments(folder: Path, results: Results) -> None:
    if results.study.segments:
        write_atomically(folder / "segments.csv", segments.segments_frame(results).to_csv(index=False))
    for number, segment in enumerate(results.study.segments, start=1):
        for name, text in segment.sources.items():
            write_atomically(folder / "segments" / str(number) / name, text)


def _write_page(folder: Path, results: Results, lines: list[str], checked: str) -> dict[str, Drawn]:
    """Write the plots, each with its numbers, and the page that shows them; returns the plots by name."""
    stamp = results.study.corpus.fingerprint
    with style.look():
        drawn = {plot.name: draw(plot, results, folder / "plots", fingerprint=stamp) for plot in PLOTS}
    items, samples = items_frame(results), samples_frame(results)
    for name, frame in (("items", items), ("samples", samples)):
        write_atomically(folder / "plots" / f"{name}.csv", frame.assign(fingerprint=stamp).to_csv(index=False))
    pieces = Pieces(drawn, leaderboard_frame(results), items, samples, lines, checked)
    write_atomically(folder / "report.html", report_page(results, pieces))
    return drawn
