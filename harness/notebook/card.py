"""A study's HTML card in a notebook: its conclusion, its leaderboard, and the corpus its numbers belong to.

It sets no colours, so that it is readable in light and dark themes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape

from harness.report.conclusion import conclusion
from harness.report.results import Results
from harness.report.tables.leaderboard import caption, columns_of, leaderboard_frame
from harness.report.tables.table import TIED, Cell, cells, chosen
from harness.words import plural

_COLUMNS = (
    "place", "run", "dev", "low", "high", "mixed", "n", "train", "gap", "verdict", "parameters", "seconds", "note",
)  # fmt: skip
"""Columns of the leaderboard, without the empty ones. `StudyResults.leaderboard` has all."""
_SMALL = 'style="font-size: 85%; opacity: 0.8"'
MODEL_OF_A_NOTEBOOK = (
    "Its model is defined only in a notebook, so samples and figures of the model can be made only there. "
    "Saved as a file in studies/, the model can be rebuilt anywhere."
)


def card(results: Results) -> str:
    """The card as an HTML element."""
    study = results.study
    lines = [f"<p><strong>{escape(study.key)}</strong> · {escape(_counts(results))}</p>"]
    lines += [f"<p>{escape(sentence)}</p>" for sentence in conclusion(results)]
    lines += _table(results)
    if study.own_model and not study.file:
        lines.append(f"<p {_SMALL}>{MODEL_OF_A_NOTEBOOK}</p>")
    return "<div>" + "\n".join(lines) + "</div>"


def _counts(results: Results) -> str:
    """`20 trials requested: 12 complete, 7 pruned, 1 diverged`."""
    counter = Counter(record.status for record in results.trials)
    counts = ", ".join(f"{count} {status}" for status, count in counter.most_common()) or "none started"
    return f"{plural(results.study.trials, 'trial')} requested: {counts}"


def _table(results: Results) -> Iterator[str]:
    frame = leaderboard_frame(results)
    columns = [column for column in chosen(columns_of(results), _COLUMNS) if frame[column.name].notna().any()]
    yield '<div style="overflow-x: auto"><table><thead><tr>'
    yield from (f"<th>{escape(column.head)}</th>" for column in columns)
    yield "</tr></thead><tbody>"
    for row in cells(frame, columns):
        yield f"<tr>{''.join(map(_cell, row))}</tr>"
    yield f"</tbody></table></div><p {_SMALL}>{escape(caption(results))}</p>"


def _cell(cell: Cell) -> str:
    text = f"<strong>{escape(cell.text)}</strong>" if cell.best else escape(cell.text)
    side = "right" if cell.number else "left"
    return f'<td style="text-align: {side}">{text}{f" {TIED}" if cell.tied else ""}</td>'
