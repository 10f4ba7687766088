"""`reported.html`, `reported.md` and `reported.csv`: reported figures and the losses measured here, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.files import write_atomically
from harness.lecture import LECTURE_SPLIT
from harness.report.frames import embedding_points
from harness.report.pages import svg
from harness.report.pages.template import render, render_page, text_table
from harness.report.plots import style
from harness.report.plots.model import alt_embedding, draw_embedding
from harness.report.plots.plot import Drawn, Plot, draw
from harness.report.results import Results
from harness.report.tables.reported import COLUMNS, RULE, MapFacts, Row, map_facts, reported_frame, rows, table_rows
from harness.report.tables.table import markdown
from harness.store.storage import Storage
from harness.store.study_record import RangeTest
from harness.store.trial_record import TrialRecord, runs_of
from harness.store.weights import unpack
from harness.study.experiment import Experiment
from harness.words import plural

CLOSE = 0.05
"""Vowels form a group if at most this share of all sets of as many letters are as close together."""
ISOLATED = 3
"""A symbol is isolated if its rank by the distance to its nearest neighbour is at most this."""


class _Network(NamedTuple):
    """A stored network whose embedding is drawn."""

    weights: bytes
    caption: str


_EMBEDDING = Plot[_Network](
    "reported_embedding",
    "The 2-D embedding",
    "Each symbol is drawn at its two coordinates in the embedding. The model treats symbols that are close together as "
    "nearly interchangeable. Vowels are orange.",
    lambda network: embedding_points(network.weights),
    lambda frame, network: draw_embedding(frame, network.caption),
    alt_embedding,
)


def write_reported(storage: Storage, results: Results, folder: Path, drawn: Mapping[str, Drawn]) -> None:
    """Write the page, its Markdown and its csv, if anything was reported of the study's experiments.

    Args:
        drawn: the study's plots by name; the page shows the learning-rate range test among them.

    Raises:
        StorageError: the files cannot be written, or stored weights are missing or corrupt.
    """
    if not any(experiment.reported for experiment in results.study.first):
        return
    found = rows(results)
    embedding = _embedding(storage, results)
    excesses = [measured.excess(figure) for row in found for _, figure, measured in row.pairs]
    content = {
        "study": results.study,
        "label": results.label,
        "compared": len(excesses),
        "reproduced": excesses.count(0.0),
        "rule": RULE,
        "split": _split(results),
        "remarks": _remarks(found),
        "range": _range_test(results),
        "map": None if embedding is None else embedding[1],
        "drawn": results.study.drawn,
    }
    figures = {
        "rows": svg.draw_rows(found),
        "range": drawn.get("lr_range"),
        "map": None if embedding is None else _drawn_map(embedding[0], results, folder),
    }
    page = render_page(
        "reported.html.jinja",
        title=f"{results.study.key}: reported figures",
        table=text_table(COLUMNS, table_rows(found), file="reported.csv"),
        figures=figures,
        **content,
    )
    right = [column.number for column in COLUMNS]
    table = markdown([column.head for column in COLUMNS], table_rows(found), right)
    write_atomically(folder / "reported.csv", reported_frame(results).to_csv(index=False))
    write_atomically(folder / "reported.md", render("reported.md.jinja", table=table, **content))
    write_atomically(folder / "reported.html", page)


def _split(results: Results) -> str:
    """Whether the lecture's figures were measured on this split; empty on any other corpus."""
    corpus = results.study.corpus
    if not corpus.is_the_lectures or "all" not in corpus.examples:
        return ""
    train, dev, every = (corpus.examples[split] for split in ("train", "dev", "all"))
    sizes = tuple(f"{n:,}" for n in (train, dev, every - train - dev))
    published = tuple(f"{n:,}" for n in LECTURE_SPLIT)
    here = f"{'/'.join(sizes)} examples in train, dev and test (counted from item lengths; the test split stays sealed)"
    why = (
        f"The lecture's published notebook prints {'/'.join(published)}. Its own code does not give these numbers on a "
        "fresh list: they come from a list that was shuffled four times, with the generator seeded with 42 each time."
    )
    if sizes == published:
        return f"{why} This corpus is split in the same way: {here}."
    return f"{why} This corpus is shuffled once and has {here}, so no loss here is on the lecture's own split."


def _remarks(found: list[Row]) -> list[str]:
    """Each remark once, with the experiments that it belongs to."""
    places: dict[str, list[str]] = {}
    for row in found:
        if row.reported is not None and row.reported.remark:
            places.setdefault(row.reported.remark, []).append(f"{row.experiment} ({row.reported.source})")
    return [f"{' and '.join(where)}: {remark}." for remark, where in places.items()]


def _range_test(results: Results) -> str | None:
    """What the learning-rate range test says, if an experiment asked for one."""
    probe = results.study.range_test
    record = next((r for r in results.trials if probe is not None and r.number == probe.trial), None)
    asked = [e for e in results.study.first if e.range_test is not None and record in runs_of(e, results.trials)]
    if probe is None or record is None or record.config is None or not asked:
        return None
    return _range_words(asked[0], probe, record.config.optimizer.learning_rate)


def _range_words(experiment: Experiment, probe: RangeTest, rate: float) -> str:
    assert experiment.range_test is not None  # the caller has checked it
    lowest, highest, steps = experiment.range_test
    inside = "inside" if probe.low <= rate <= probe.high else "outside"
    return (
        f"The network of “{experiment.title}” starts from fresh weights and takes one step at each of {steps:,} rates "
        f"from {lowest:g} to {highest:g}. The range to try goes from {probe.low:.2g}, where the smoothed loss falls "
        f"fastest, to {probe.high:.2g}, where it is lowest. Its training rate, {rate:g}, is {inside} that range."
    )


def _embedding(storage: Storage, results: Results) -> tuple[_Network, dict[str, Any]] | None:
    """The first run of the experiment that shows its embedding, and what the maps of all its runs show.

    None if no experiment shows one, or if an embedding is not 2-D.
    """
    found = next(((e.title, runs) for e in results.study.first if (runs := _embedding_runs(e, results))), None)
    if found is None:
        return None
    title, runs = found
    contents = [storage.kept_file(run.weights_artifact) for run in runs if run.weights_artifact is not None]
    unpacked = [unpack(content) for content in contents]
    if any("embedding" not in tensors or tensors["embedding"].shape[1] != 2 for tensors, _ in unpacked):
        return None
    facts = [map_facts(tensors["embedding"], about["vocabulary"]) for tensors, about in unpacked]
    numbers = [run.number for run in runs]
    network = _Network(contents[0], f"{title}, trial {numbers[0]} · {results.study.corpus.short}")
    words = _map_words([each for each in facts if each is not None])
    return network, {"title": title, "trials": numbers, "words": words}


def _embedding_runs(experiment: Experiment, results: Results) -> list[TrialRecord]:
    """The runs whose embedding an experiment shows."""
    if "embedding" not in experiment.shows:
        return []
    return [run for run in runs_of(experiment, results.trials) if run.weights_artifact is not None]


def _drawn_map(network: _Network, results: Results, folder: Path) -> Drawn:
    with style.look():
        return draw(_EMBEDDING, network, folder / "plots", fingerprint=results.study.corpus.fingerprint)


def _map_words(found: list[MapFacts]) -> list[str]:
    """What the maps of all runs show, one sentence each."""
    if not found:
        return []
    n = len(found)
    close = sum(facts.as_close <= CLOSE for facts in found)
    lines = [
        f"Vowels form a group in {close} of {plural(n, 'network')}: at most {CLOSE:.0%} of all sets of as many letters "
        f"are as close together. The mean distance between two vowels is "
        f"{_span([facts.vowels for facts in found])} times that between two letters."
    ]
    for symbol in found[0].isolation:
        ranks = [facts.isolation[symbol] for facts in found]
        isolated = sum(rank <= ISOLATED for rank in ranks)
        lines.append(
            f"“{symbol}” is isolated in {isolated} of {plural(n, 'network')}. Its distance to its nearest neighbour "
            f"ranks {', '.join(map(str, ranks))} of {found[0].symbols}, where 1 is the largest."
        )
    return lines


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
