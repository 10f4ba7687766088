"""`road.html`, `road.md` and `road.csv`: a study's road as a page, from stored records and weights only."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from harness.files import write_atomically
from harness.lecture import LECTURE_SPLIT
from harness.report.pages import svg
from harness.report.results import Results
from harness.report.tables.reported import RULE, MapFacts, Row, map_facts, road_frame, rows
from harness.store.storage import Storage
from harness.store.study_record import RangeTest
from harness.store.trial_record import TrialRecord, runs_of
from harness.store.weights import unpack
from harness.study.experiment import Experiment


def write_road(storage: Storage, results: Results, folder: Path) -> None:
    """Write the page of a study that has something reported; nothing for any other."""
    if not any(experiment.reported for experiment in results.study.first):
        return
    content = _content(storage, results)
    write_atomically(folder / "road.csv", road_frame(results).to_csv(index=False))
    for name in ("road.html", "road.md"):
        write_atomically(folder / name, _template(f"{name.replace('road', 'reported')}.jinja").render(content))


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.PackageLoader("harness.report")
    environment = jinja2.Environment(
        loader=loader, autoescape=name.endswith(".html.jinja"), trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(name)


def _content(storage: Storage, results: Results) -> dict[str, object]:
    found = rows(results)
    off = [measured.off(figure) for row in found for _, figure, measured in row.pairs]
    embedding = _shown(results)
    return {
        "study": results.study,
        "label": results.label,
        "rows": found,
        "compared": len(off),
        "out": off.count(0.0),
        "rule": RULE,
        "remarks": _remarks(found),
        "split": _split(results),
        "rows_svg": svg.draw_rows(found),
        **_range(results),
        "map": None if embedding is None else _map(storage, *embedding),
        **_drawn(results),
    }


def _shown(results: Results) -> tuple[str, list[TrialRecord]] | None:
    """The experiment that shows its embedding, and its runs."""
    for experiment in results.study.first:
        kept = [record for record in runs_of(experiment, results.trials) if record.weights_artifact is not None]
        if "embedding" in experiment.shows and kept:
            return experiment.title, kept
    return None


def _split(results: Results) -> str:
    """Whether the split is that of the lecture's figures; nothing on a corpus that is not the lecture's."""
    corpus = results.study.corpus
    if not corpus.is_the_lectures or "all" not in corpus.examples:
        return ""
    train, dev, every = (corpus.examples[split] for split in ("train", "dev", "all"))
    sizes = tuple(f"{n:,}" for n in (train, dev, every - train - dev))
    published = tuple(f"{n:,}" for n in LECTURE_SPLIT)
    here = f"{'/'.join(sizes)} examples of train, dev and test (counted from item lengths: the test split stays sealed)"
    why = (
        f"The lecture's published notebook prints {'/'.join(published)}, which is not what its own code gives on a "
        "fresh list: it comes from a list shuffled four times over, the generator re-seeded with 42 before each."
    )
    if sizes == published:
        return f"{why} This corpus is split like that too: {here}."
    return f"{why} This corpus is shuffled once, and has {here}: no loss here is over the lecture's own split."


def _range(results: Results) -> dict[str, object]:
    probe = results.study.range_test
    record = next((r for r in results.trials if probe is not None and r.number == probe.trial), None)
    asked = [e for e in results.study.first if e.range_test is not None and record in runs_of(e, results.trials)]
    if probe is None or record is None or record.config is None or not asked:
        return {"range": None}
    rate = record.config.optimizer.learning_rate
    return {
        "range": probe,
        "range_words": _range_words(asked[0], probe, rate),
        "range_svg": svg.draw_range(probe, rate),
    }


def _range_words(experiment: Experiment, probe: RangeTest, rate: float) -> str:
    assert experiment.range_test is not None  # whoever asked for the test
    lowest, highest, steps = experiment.range_test
    inside = "lies inside" if probe.low <= rate <= probe.high else "lies outside"
    return (
        f"The network of “{experiment.title}” from fresh weights, one step at each of {steps:,} rates from {lowest:g} "
        f"to {highest:g}. The range to try goes from {probe.low:.2g}, where the smoothed loss falls fastest, to "
        f"{probe.high:.2g}, where it is lowest. The rate it is trained at, {rate:g}, {inside} it."
    )


def _remarks(found: list[Row]) -> list[str]:
    """Each once, with where it belongs."""
    said: dict[str, list[str]] = {}
    for row in found:
        if row.reported is not None and row.reported.remark:
            said.setdefault(row.reported.remark, []).append(f"{row.experiment} ({row.reported.source})")
    return [f"{' and '.join(places)}: {remark}." for remark, places in said.items()]


def _drawn(results: Results) -> dict[str, object]:
    drawn = results.study.drawn
    items = () if drawn is None else drawn.items
    return {
        "drawn": drawn,
        "drawn_words": [item + ("*" if seen else "") for item, seen in items],
        "new": sum(not seen for _, seen in items),
    }


def _map(storage: Storage, title: str, runs: list[TrialRecord]) -> dict[str, object] | None:
    """The first run's map, and in words what those of all runs show; None where an embedding is not 2-D."""
    kept = [
        unpack(storage.kept_file(record.weights_artifact)) for record in runs if record.weights_artifact is not None
    ]
    if any("embedding" not in tensors or tensors["embedding"].shape[1] != 2 for tensors, _ in kept):
        return None
    found = [map_facts(tensors["embedding"], facts["vocabulary"]) for tensors, facts in kept]
    tensors, facts = kept[0]
    points = zip(facts["vocabulary"], tensors["embedding"].tolist(), strict=True)
    return {
        "of": title,
        "trials": [record.number for record in runs],
        "svg": svg.draw_map([(symbol, x, y) for symbol, (x, y) in points]),
        "words": _words([facts for facts in found if facts is not None]),
    }


CLOSE = 0.05
"""Share of sets of letters as close as the vowels, up to which they are said to stand together."""
LONELY = 3
"""A symbol among so many with the farthest nearest neighbours is said to stand apart."""


def _words(found: list[MapFacts]) -> list[str]:
    """What the maps show, a sentence each, over all runs."""
    if not found:
        return []
    n = len(found)
    close = sum(facts.as_close <= CLOSE for facts in found)
    lines = [
        f"Vowels stand together in {close} of {n} networks (fewer than {CLOSE:.0%} of all sets of as many letters lie "
        f"as close together); two of them are on average {_span([facts.vowels for facts in found])} times as far "
        "apart as two letters."
    ]
    for symbol in found[0].lonely:
        ranks = [facts.lonely[symbol] for facts in found]
        apart = sum(rank <= LONELY for rank in ranks)
        lines.append(
            f"“{symbol}” stands apart in {apart} of {n}: by the distance to its nearest neighbour it is number "
            f"{', '.join(map(str, ranks))} of {found[0].symbols}."
        )
    return lines


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
