"""The dashboard as a user sees it: served, and opened in Chromium."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Corpus
from harness.dashboard.board import show_all
from harness.dashboard.server import HOST, make_dashboard
from harness.store.storage import Storage
from tests.browser import CHROMIUM, Page
from tests.four_outcomes import COMPLETE, DIVERGED, KEY, PRUNED, search_four_ways, trial_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine, so the dashboard was not opened in a browser"
    ),
]
IMAGES = "[...document.images].filter(image => image.src.includes('/artifacts/'))"
LOADED = f"{IMAGES}.filter(image => image.complete && image.naturalWidth > 0).length"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, data_folder: Path, small_corpus: Corpus) -> Iterator[Storage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("dashboard")))
        patch.setenv("HARNESS_DATA", str(data_folder))
        found = search_four_ways(small_corpus)
        show_all(found, KEY, ["a finding about it"])
        yield found


@pytest.fixture(scope="module")
def address(storage: Storage) -> Iterator[str]:
    server = make_dashboard(storage, None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{server.server_port}/dashboard"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile"), height=1600) as opened:
        yield opened


@pytest.fixture(autouse=True)
def picture(page: Page, request: pytest.FixtureRequest) -> Iterator[None]:
    """With HARNESS_SCREENSHOTS=folder, each test saves a screenshot of its last page there."""
    yield
    if folder := os.environ.get("HARNESS_SCREENSHOTS"):
        page.picture(Path(folder) / f"{request.node.name}.png")
    assert page.errors == []


def test_the_first_page_lists_the_study(page: Page, address: str):
    page.open(address)
    page.wait_for_text(KEY, "MINIMIZE")


def test_the_studys_page_has_the_metric_with_its_unit_and_our_figures(page: Page, address: str):
    page.open(f"{address}/studies/1")
    page.wait_for_text(
        "dev nats per symbol",
        "Train and dev loss of the best trials",
        "Trial 0, dev",
        "Trial 0, train",
        "The search in order, dev loss",
        "complete (1)",
        "pruned (1)",
        "diverged (1)",
    )
    drawn = (
        "document.getElementById('user-defined-plot:train-and-dev-curves').querySelectorAll('.scatterlayer .js-line')"
    )
    assert page.wait_for(f"{drawn}.length") == 2


def test_the_dashboards_own_axes_end_at_a_uniform_guess(page: Page, address: str, storage: Storage):
    assert trial_of(storage, DIVERGED).dev_nats > 10
    page.open(f"{address}/studies/1")
    page.wait_for_text("Intermediate values", "Include PRUNED trials")
    history = "[...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.querySelector('.ytitle'))"
    named = f"{history}.filter(plot => plot.querySelector('.ytitle').textContent === 'dev nats per symbol')"
    ticks = f"{named}.flatMap(plot => [...plot.querySelectorAll('.ytick')].map(tick => Number(tick.textContent)))"
    assert max(page.wait_for(f"(ticks => ticks.length > 1 && ticks)({ticks})")) < 4


def test_a_trials_note_shows_verdict_advice_losses_samples_and_its_curve(page: Page, address: str, storage: Storage):
    record = trial_of(storage, COMPLETE)
    page.open(f"{address}/studies/1/trials?numbers={COMPLETE}")
    page.wait_for_text(
        f"Verdict: {record.verdict}", record.advice, f"{record.dev_nats:.4f}", "10 items drawn from it", "curve.svg"
    )
    assert page.wait_for(f"{LOADED} >= 2 && {IMAGES}.length") == 2  # in the note, and among its artifacts


def test_pruned_and_diverged_trials_say_so(page: Page, address: str):
    for number, said in ((PRUNED, "Trial 1: pruned at 40% of its run"), (DIVERGED, "Verdict: diverged")):
        page.open(f"{address}/studies/1/trials?numbers={number}")
        page.wait_for_text(said)
        page.wait_for(f"{LOADED} >= 2")


def test_the_studys_note_starts_with_the_headline(page: Page, address: str):
    page.open(f"{address}/studies/1/note")
    page.wait_for_text("best dev ", "1 complete, 1 pruned, 1 diverged, 1 failed of 4", "a finding about it")


def test_the_selection_page_has_short_columns_and_a_gallery_of_curves(page: Page, address: str, storage: Storage):
    page.open(f"{address}/studies/1/smartSelection")
    columns = [f"UserAttribute {name}" for name in ("verdict", "gap", "train_nats", "parameters", "seconds", "status")]
    page.wait_for_text("Show Artifacts")
    table = "[...document.querySelectorAll('th')].map(head => head.textContent)"
    page.wait_for(f"{columns}.every(name => {table}.some(head => head.includes(name)))")
    cells = page.wait_for(
        "(all => all.length && all)([...document.querySelectorAll('td')].map(cell => cell.textContent))"
    )
    assert trial_of(storage, COMPLETE).verdict in cells
    assert max(map(len, cells)) <= 22
    page.run("[...document.querySelectorAll('label')].find(label => label.textContent.includes('Artifacts')).click()")
    assert page.wait_for(f"{LOADED} >= 3 && {IMAGES}.length") == 3  # the failed one has no curve
