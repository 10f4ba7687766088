"""The report page: its sections, its figures with captions and data, its numbers, and that it needs no other file."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from harness import load, paths
from harness.cli.app import run
from harness.report import palette
from harness.report.losses import items_frame, samples_frame
from harness.report.pages.comparison import write_comparison
from harness.report.plots.every import PLOTS
from harness.report.plots.model import POSITIONS
from harness.report.plots.plot import inline
from harness.report.results import gather
from harness.store.storage import open_storage
from tests.conftest import Project
from tests.tiny_study import write_items

KEY = "tiny-items"
VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture
def project(finished_project: Project) -> Path:
    """A project with a finished study, its finalists and its page; only read by the tests."""
    return finished_project.folder


@pytest.fixture
def folder(project: Path) -> Path:
    return project / "results" / KEY


@pytest.fixture
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


class Balanced(HTMLParser):
    """Checks that every element is closed; collects ids, figures, links and what a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.figures: list[dict[str, str]] = []
        self.captions = 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids += [given["id"]] if "id" in given else []
        self.loads += [given[name] for name in ("src", "srcset", "data", "action") if name in given]
        self.links += [given["href"]] if tag == "a" else []
        self.loads += [given["href"]] if tag in ("link", "image") else []
        if tag == "h2":
            self.headings.append(given["id"])
        if given.get("role") == "img":
            self.figures.append(given)
        self.captions += tag == "figcaption"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_its_sections_are_in_order(page: str):
    found = Balanced(page)
    assert found.headings == [
        "winner", "leaderboard", "next", "curves", "gap", "search", "range", "embedding", "losses", "samples",
        "environment",
    ]  # fmt: skip
    assert page.index('id="conclusion"') < page.index('id="winner"')
    assert len(found.ids) == len(set(found.ids))


def test_the_page_needs_no_network_and_is_small(page: str):
    found = Balanced(page)
    assert [load for load in found.loads if not load.startswith("data:")] == []
    assert re.findall(r"https?://|@import|url\((?!#)", page) == []
    assert len(page.encode()) < 3_000_000


def test_every_figure_has_an_alternative_text_a_caption_and_its_data(page: str, folder: Path):
    found = Balanced(page)
    assert len(found.figures) == found.captions == page.count("<figure ") == len(PLOTS)
    assert all(len(figure["aria-label"]) > 30 for figure in found.figures)
    local = [link for link in found.links if not link.startswith("#") and link != "../index.html"]
    assert {f"plots/{plot.name}.csv" for plot in PLOTS} <= set(local)
    assert [link for link in local if not (folder / link).is_file()] == []
    assert set(pd.read_csv(folder / "plots" / "history.csv")["fingerprint"]) == set(
        pd.read_csv(folder / "trials.csv")["fingerprint"]
    )


def test_every_reference_inside_a_drawing_has_a_target(page: str):
    wanted = set(re.findall(r'(?:url\(|<use href=")#([\w-]+)', page))
    assert wanted
    assert wanted <= set(Balanced(page).ids)


def test_the_page_has_the_numbers_of_the_csv_files(page: str, folder: Path):
    board = pd.read_csv(folder / "leaderboard.csv")
    assert board["best"].sum() == 1
    for nats in board["dev_nats"]:
        assert f"{nats:.4f}" in page
    winner = board[board["best"]].iloc[0]
    assert f"{winner['run'].capitalize()} won with a dev loss of {winner['dev_nats']:.4f} nats per symbol" in page
    assert f"95 % {winner['low_nats']:.4f} to {winner['high_nats']:.4f}" in page
    finalists = pd.read_csv(folder / "finalists.csv")
    assert winner["dev_nats"] == finalists.loc[finalists["winner"], "dev_nats"].iloc[0]
    items = pd.read_csv(folder / "plots" / "items.csv")
    assert f"{items['nats_per_symbol'].iloc[0]:.4f}" in page
    assert f"{items['nats_per_symbol'].iloc[-1]:.4f}" in page


def test_losses_by_position_symbol_and_item_sum_to_the_dev_loss_of_the_stored_model(folder: Path, project: Path):
    facts = pd.read_json(folder / "best" / "config.json", typ="series")
    for name in ("positions", "symbols"):
        frame = pd.read_csv(folder / "plots" / f"{name}.csv")
        assert (frame["n"] * frame["nats"]).sum() / frame["n"].sum() == pytest.approx(facts["dev_nats"], abs=1e-6)
        assert frame["share"].sum() == pytest.approx(1)
    items = pd.read_csv(folder / "plots" / "items.csv", keep_default_na=False)
    assert items["nats"].sum() / items["symbols"].sum() == pytest.approx(facts["dev_nats"], abs=1e-6)
    corpus = load(str(project / "items.txt"))
    assert sorted(items["item"]) == sorted(corpus.items("dev"))
    assert items["seen_in_train"].tolist() == [item in set(corpus.items("train")) for item in items["item"]]


def test_samples_are_marked_as_new_or_seen_in_train(page: str, folder: Path, project: Path):
    samples = pd.read_csv(folder / "plots" / "samples.csv", keep_default_na=False)
    train = set(load(str(project / "items.txt")).items("train"))
    assert samples["seen_in_train"].tolist() == [sample in train for sample in samples["sample"]]
    assert samples["model"].tolist() == ["network"] * 20 + ["mixture"] * 20
    for model, how in (("network", " alone"), ("mixture", " mixed with the counted 2-gram")):
        new = (~samples.loc[samples["model"] == model, "seen_in_train"]).sum()
        assert re.search(rf"{new} of 20 are new; drawn from winner \(trial \d\){how} with seed 0", page)
    assert page.count("<small>new</small>") == (~samples["seen_in_train"]).sum()


def test_parts_that_need_the_corpus_say_so_without_it(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    storage = open_storage()
    study, another = storage.study(KEY), str(write_items(tmp_path / "items.txt", seed=7))
    moved = study.corpus.model_copy(update={"spec": another})  # a different corpus by now, under the same path
    results = gather(storage, study.model_copy(update={"corpus": moved}))
    assert results.corpus is None
    assert items_frame(results).empty
    assert POSITIONS.data(results).empty
    assert samples_frame(results)["seen_in_train"].isna().all()
    shown = [text.get_text() for text in POSITIONS.draw(POSITIONS.data(results), results).axes[0].texts]
    assert shown == ["no weights stored, or the corpus is not available"]


def test_the_conclusion_says_that_the_test_split_is_sealed(page: str):
    assert "The test split is sealed." in page


@pytest.mark.usefixtures("plotless")
def test_the_conclusion_says_that_the_test_split_was_opened_with_its_scores(project: Path, home: Path):
    shutil.copytree(project, home, dirs_exist_ok=True)
    assert run(["holdout", KEY]) == 0
    folder = paths.results_folder() / KEY
    page = (folder / "report.html").read_text(encoding="utf-8")
    Balanced(page)
    scores = pd.read_csv(folder / "holdout.csv")
    winner = scores[scores["contender"] == scores["contender"].iloc[0]]
    assert re.search(
        r"The test split was opened \S+: [^.]+ scores \d\.\d{4} nats on test, mixed with the counted n-gram \d\.\d+\.",
        page,
    )
    assert f"{winner['test_nats'].mean():.4f}" in page
    assert "test minus dev" in page


def test_the_index_links_every_study(project: Path):
    page = (project / "results" / "index.html").read_text(encoding="utf-8")
    Balanced(page)
    assert f'<a href="{KEY}/report.html">{KEY}</a>' in page
    assert "1 study" in page
    frame = pd.read_csv(project / "results" / "index.csv")
    assert frame["study"].tolist() == [KEY]
    assert f"{frame['dev'].iloc[0]:.4f}" in page


def test_a_comparison_of_different_corpora_has_a_warning(project: Path, home: Path):
    shutil.copytree(project, home, dirs_exist_ok=True)
    storage = open_storage()
    results = gather(storage, storage.study(KEY))
    corpus = results.study.corpus.model_copy(update={"fingerprint": "another"})
    other = replace(results, study=results.study.model_copy(update={"key": "tiny-other", "corpus": corpus}))
    folder = write_comparison([results, other])[0].parent
    assert folder == paths.results_folder() / f"compare-{KEY}-tiny-other"
    page = (folder / "report.html").read_text(encoding="utf-8")
    found = Balanced(page)
    assert "These losses cannot be compared with each other" in page
    assert len(found.figures) == found.captions == 3
    studies = pd.read_csv(folder / "studies.csv")
    assert studies["study"].tolist() == [KEY, "tiny-other"]
    assert not studies["best"].any()
    assert all(f"{nats:.4f}" in page for nats in studies["dev"])
    progress = pd.read_csv(folder / "plots" / "progress_trials.csv")
    assert progress.groupby("study").size().to_dict() == {KEY: 5, "tiny-other": 5}
    assert not pd.read_csv(folder / "configs.csv")["differs"].any()


def test_a_comparison_needs_two_studies(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    assert run(["compare", KEY, KEY]) == 2
    assert "a comparison needs two studies" in capfd.readouterr().err


def test_the_leaderboard_has_the_requested_columns_and_format(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARNESS_HOME", str(project))
    assert run(["table", KEY, "--columns", "run,dev,n,learning_rate", "--rows", "3"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[2] == "| run | dev (nats) | n (seeds) | learning rate |"
    assert [line.split(" | ")[2] for line in lines[4:7]] == ["2", "2", "1"]  # two finalists, one run of the search
    out = tmp_path / "board.tex"
    assert run(["table", KEY, "--format", "latex", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == (project / "results" / KEY / "leaderboard.tex").read_text(
        encoding="utf-8"
    )
    capfd.readouterr()
    assert run(["table", KEY, "--format", "latx"]) == 2
    assert "Did you mean 'latex'?" in capfd.readouterr().err
    assert run(["table", KEY, "--columns", "run,parameter"]) == 2
    assert "Did you mean 'parameters'?" in capfd.readouterr().err


def test_a_drawing_in_a_page_has_its_own_ids_and_the_colours_of_the_page():
    svg = (
        '<?xml version="1.0"?><svg xmlns="x" width="9pt" viewBox="0 0 9 9"><metadata>m</metadata>'
        '<g id="axes_1"><clipPath id="p1"/>'
        '<path clip-path="url(#p1)" style="fill: #0072b2; stroke: #123456"/></g></svg>'
    )
    assert inline(svg, "curves") == (
        '<svg viewBox="0 0 9 9" aria-hidden="true"><g><clipPath id="curves-p1"/>'
        '<path clip-path="url(#curves-p1)" style="fill: var(--blue); stroke: #123456"/></g></svg>'
    )


def test_every_colour_has_a_light_and_a_dark_value():
    light, dark = palette.css_variables(dark=False), palette.css_variables(dark=True)
    names = re.findall(r"--(\w+):", light)
    assert set(names) == set(re.findall(r"--(\w+):", dark))
    assert {variable.removeprefix("var(--").removesuffix(")") for variable in palette.VARIABLES.values()} == set(names)
