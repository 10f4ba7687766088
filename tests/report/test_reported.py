"""The page of reported figures: which ones are reproduced, from stored trials alone; and the numbers of its map."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from harness import Reported, paths
from harness.cli.app import run
from harness.report.plots.model import LR_RANGE
from harness.report.tables.reported import ONE_RUN, Measured, Row, map_facts, rounding
from harness.store.study_record import CorpusFacts
from tests.tiny_study import workers, write_items, write_reported_study, write_study


@pytest.mark.parametrize(("figure", "half"), [("2.3", 0.05), ("2.17", 0.005), ("2.1260", 0.00005), ("2", 0.5)])
def test_a_figures_rounding_is_half_a_unit_of_its_last_digit(figure: str, half: float):
    assert rounding(figure) == pytest.approx(half)


def test_the_margin_is_the_prediction_interval_of_one_more_seed():
    found = Measured.of([2.10, 2.11, 2.12, 2.13, 2.14])
    # t(0.975, 4) = 2.7764, s = 0.015811, sqrt(1 + 1/5) = 1.0954
    assert found.margin == pytest.approx(2.7764 * 0.015811 * 1.0954, rel=1e-3)
    assert (found.mean, found.n) == (pytest.approx(2.12), 5)
    assert str(found) == "2.120 ± 0.048"


def test_too_few_runs_get_the_margin_of_a_single_run():
    assert Measured.of([2.0]).margin == Measured.of([2.0, 2.5]).margin == ONE_RUN
    assert str(Measured.of([2.0])) == "2.000"


def test_a_figure_is_reproduced_within_margin_and_rounding_and_its_excess_is_what_lies_outside():
    found = Measured.of([2.20])
    assert found.excess("2.17") == found.excess("2.23") == found.excess("2.2") == 0.0
    assert found.excess("2.10") == pytest.approx(0.1 - ONE_RUN - 0.005)
    assert found.excess("2.30") == pytest.approx(-(0.1 - ONE_RUN - 0.005))


def row(reported: Reported | None, measured: Measured | None) -> Row:
    return Row("x", 10, reported, measured, measured)


def test_a_row_says_what_is_not_reproduced_by_how_much_and_why():
    reported = Reported(train="2.20", dev="2.10", source="s", remark="another split")
    assert row(reported, Measured.of([2.20])).outcome == (
        "not reproduced: dev is 0.065 higher here than margin and rounding allow (another split)"
    )
    assert row(reported, Measured.of([2.15])).outcome == (
        "not reproduced: train is 0.015 lower here and dev is 0.015 higher here than margin and rounding allow "
        "(another split)"
    )
    assert row(Reported(dev="2.19", source="s"), Measured.of([2.20])).outcome == "reproduced"
    unexplained = row(Reported(dev="2.0", source="s"), Measured.of([2.20])).outcome
    assert "the only known difference is the random seed" in unexplained


def test_nothing_is_compared_if_nothing_was_reported_or_measured():
    assert row(None, Measured.of([2.0])).outcome == "nothing reported"
    assert row(Reported(dev="2.0", source="s"), None).outcome == "not measured"
    assert row(None, Measured.of([2.0])).is_reproduced is None
    assert row(Reported(source="s"), Measured.of([2.0])).is_reproduced is None


LETTERS = [".", *"abcdefghij"]


def test_vowels_in_one_cluster_are_closer_together_than_any_other_letters():
    table = torch.tensor([[float(i), 0.0] for i in range(11)]) * 10
    for place, letter in enumerate("aei"):
        table[LETTERS.index(letter)] = torch.tensor([0.1 * place, 500.0])
    facts = map_facts(table, LETTERS)
    assert facts.as_close == pytest.approx(1 / 120)  # the best of all sets of three of ten letters
    assert facts.vowels < 0.01
    assert facts.isolation == {".": 1}  # 20 from the next letter on the line, the others 10
    assert facts.symbols == 11


def test_a_map_without_vowels_has_no_facts():
    assert map_facts(torch.zeros(3, 2), [".", "x", "y"]) is None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a searched and reported study; its corpus is deleted. The tests only read it."""
    folder = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patched, workers():
        patched.setattr("harness.report.write.PLOTS", (LR_RANGE,))
        patched.setenv("HARNESS_HOME", str(folder))
        write_reported_study()
        items = write_items(folder / "items.txt")
        assert run(["study", "reported", "--corpus", str(items)]) == 0
    items.unlink()
    return folder


@pytest.fixture
def folder(project: Path) -> Path:
    return project / "results" / "reported-items"


def test_the_page_compares_each_figure_with_the_measured_loss(folder: Path):
    frame = pd.read_csv(folder / "reported.csv")
    assert list(frame["experiment"]) == ["counted", "narrow", "narrow", "wide"]
    assert list(frame["comes_out"].astype(object).where(frame["comes_out"].notna(), None)) == [False, True, False, None]
    assert list(frame["steps"].fillna(0)) == [0, 20, 40, 40]
    assert list(frame["n"]) == [1, 2, 2, 2]
    page, text = (
        (folder / "reported.html").read_text(encoding="utf-8"),
        (folder / "reported.md").read_text(encoding="utf-8"),
    )
    assert "1 of 3 reported figures are reproduced" in page
    assert "1 of 3 reported figures are reproduced" in text
    assert "(made up)" in page
    assert "page &lt;2&gt;" in page
    curves = pd.read_csv(folder / "curves.csv")
    narrow = curves[curves["trial"].isin([0, 2]) & (curves["step"] == 20)]
    assert frame["train_nats"][1] == pytest.approx(narrow["train_nats"].mean())


def test_the_page_is_one_file_that_loads_nothing_and_marks_samples(folder: Path):
    page = (folder / "reported.html").read_text(encoding="utf-8")
    assert not re.search(r"src=|https?://|@import|url\((?!#)", page)
    assert page.count("<svg") == page.count("<figcaption>") == 3
    assert len(re.findall(r"<li( class=\"seen\")?>[a-z]* <small>(new|in train)</small></li>", page)) == 20
    assert re.search(r"Its training rate, 0.01, is (in|out)side that range", page)


def test_every_file_that_the_page_links_is_there(folder: Path):
    links = re.findall(r'<a href="([^"]+)"', (folder / "reported.html").read_text(encoding="utf-8"))
    assert {"reported.csv", "plots/lr_range.csv", "plots/reported_embedding.csv", "report.html"} <= set(links)
    assert [link for link in links if not (folder / link).is_file()] == []


def test_a_report_without_the_corpus_writes_the_same_bytes_again(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("harness.report.write.PLOTS", (LR_RANGE,))
    shutil.copytree(project, home, dirs_exist_ok=True)
    folder = home / "results" / "reported-items"
    before = (folder / "reported.html").read_bytes()
    (folder / "reported.html").unlink()
    assert run(["report", "reported"]) == 0
    assert (folder / "reported.html").read_bytes() == before


@pytest.mark.usefixtures("one_process", "plotless")
def test_a_study_without_reported_figures_has_no_page(tmp_path: Path):
    write_study("tiny", trials=1)
    assert run(["study", "tiny", "--corpus", str(write_items(tmp_path / "items.txt"))]) == 0
    assert not (paths.results_folder() / "tiny-items" / "reported.html").exists()


def test_both_splits_of_all_names_can_be_compared_with_the_lectures_figures():
    facts = {"spec": "", "label": "", "variant": "", "items": {}, "examples": {}, "by_default": False}
    found = [
        CorpusFacts(fingerprint=f, **facts).is_the_lectures for f in ("14f825ec2506", "c5d3adf15b15", "e2bd45f704e1")
    ]
    assert found == [True, True, False]
