"""What all pages share: the jinja environment, the style sheet, and tables in the form that templates take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from harness.report import palette
from harness.report.tables.table import Cell, Column


class Shown(NamedTuple):
    """A table as a template takes it."""

    columns: Sequence[Column]
    rows: list[list[Cell]]
    caption: str = ""
    file: str = ""
    """The csv file with the same data, relative to the page."""


def text_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], caption: str = "", file: str = "") -> Shown:
    """A table whose cells are text already."""
    cells = [[Cell(text, text, column.number) for text, column in zip(row, columns, strict=True)] for row in rows]
    return Shown(columns, cells, caption, file)


def render_page(template: str, **content: Any) -> str:
    """An HTML page from a template, with the style sheet inside."""
    sheet = render("style.css", light=palette.css_variables(dark=False), dark=palette.css_variables(dark=True))
    return render(template, css=Markup(sheet), **content)


def render(template: str, **content: Any) -> str:
    """Text from a template; values are escaped if its name ends in `.html.jinja`."""
    return _templates().get_template(template).render(**content)


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"), autoescape=jinja2.select_autoescape(("html.jinja",)),
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
    )  # fmt: skip
