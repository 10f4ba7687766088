"""The tour notebook is committed without outputs and runs from top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "studies" / "tour.ipynb"


def test_the_tour_is_kept_without_outputs():
    cells = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the client's own warnings; the notebook's are shown in its outputs
def test_the_tour_runs_and_shows_its_card_its_figures_and_samples(home: Path, monkeypatch: pytest.MonkeyPatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (make test installs it)")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed (make test installs it)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (make test installs it)")
    monkeypatch.setenv("PYTHONPATH", str(TOUR.parents[1]))  # the kernel imports this checkout
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tour = nbformat.read(TOUR, as_version=4)
    client.NotebookClient(tour, timeout=120, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    said = "".join(output.text for cell in tour.cells for output in cell.get("outputs", []) if "text" in output)
    assert "Warning" not in said
    assert "A new study" not in said  # Optuna's
    shown = [output.get("data", {}) for cell in tour.cells for output in cell.get("outputs", [])]
    pages = "".join(data.get("text/html", "") for data in shown)
    assert "8 trials requested" in pages
    assert "fingerprint" in pages
    assert sum("image/png" in data for data in shown) >= 12
    assert (home / "results" / "studies.db").is_file()
    assert pages.count("<td>True</td>") + pages.count("<td>False</td>") == 20  # samples
