"""One table in three formats: units, n, the best in bold, ties marked, columns by name."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from harness.errors import ConfigError
from harness.report.tables.table import Column, chosen, markdown, nats, render, short, whole

COLUMNS = (
    Column("run", number=False),
    Column("dev", "nats", nats, marked=True),
    Column("n", "seeds", whole),
    Column("schedule", show=short, number=False),
)
FRAME = pd.DataFrame(
    {
        "run": ["trial 1", "trial 2", "100 % | a_b"],
        "dev": [1.96904222, 1.96960114, None],
        "n": [5, 5, 1],
        "schedule": ["one_cycle", None, "cosine"],
        "best": [True, False, False],
        "tied": [True, True, False],
        "fingerprint": "14f8",
    }
)


def test_markdown_has_units_the_best_in_bold_and_ties_marked():
    assert render(FRAME, COLUMNS, "md", "What it is.") == (
        "What it is.\n\n"
        "| run | dev (nats) | n (seeds) | schedule |\n"
        "| :--- | ---: | ---: | :--- |\n"
        "| trial 1 | **1.9690** | 5 | one-cycle |\n"
        "| trial 2 | 1.9696 † | 5 |  |\n"
        "| 100 % \\| a_b |  | 1 | cosine |\n"
    )


def test_markdown_escapes_what_would_break_a_table_and_can_append_a_space():
    assert markdown(("a", "b"), [("x|y", "two\nlines")], (False, True)) == (
        "| a | b |\n| :--- | ---: |\n| x\\|y | two lines |"
    )
    assert markdown(("a",), [("x",)], space="_") == "| a_ |\n| :--- |\n| x_ |"


def test_latex_is_booktabs_and_escapes_special_characters():
    assert render(FRAME, COLUMNS, "latex", "50 % of a_b · †", "key").splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{50 \% of a\_b -- $\dagger$}",
        r"\label{tab:key}",
        r"\begin{tabular}{lrrl}",
        r"\toprule",
        r"run & dev (nats) & n (seeds) & schedule \\",
        r"\midrule",
        r"trial 1 & \textbf{1.9690} & 5 & one-cycle \\",
        r"trial 2 & 1.9696$^\dagger$ & 5 &  \\",
        r"100 \% | a\_b &  & 1 & cosine \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_csv_has_full_precision_and_columns_for_best_tied_and_fingerprint():
    read = pd.read_csv(io.StringIO(render(FRAME, COLUMNS, "csv", "no caption")))
    assert list(read) == ["run", "dev_nats", "n_seeds", "schedule", "best", "tied", "fingerprint"]
    assert read["dev_nats"].iloc[0] == 1.96904222
    assert read["best"].tolist() == [True, False, False]


def test_columns_are_chosen_by_name_in_the_given_order():
    assert [column.head for column in chosen(COLUMNS, ["n", "run"])] == ["n (seeds)", "run"]


def test_an_unknown_column_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match=r"among run, dev, n, schedule; got 'shedule'. Did you mean 'schedule'\?"):
        chosen(COLUMNS, ["shedule"])


@pytest.mark.parametrize(
    ("value", "text"), [(0.00424252, "0.00424"), (64.0, "64"), (0.0, "0"), ("one_cycle", "one-cycle"), (1024, "1024")]
)
def test_values_are_written_briefly(value: object, text: str):
    assert short(value) == text
