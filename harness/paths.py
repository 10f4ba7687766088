"""The folders of a project: data, studies and results."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The project folder: `HARNESS_HOME`, else the checkout this package runs from, else the current folder."""
    if given := os.environ.get("HARNESS_HOME"):
        return Path(given).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def data_folder() -> Path:
    return home() / "data"


def studies_folder() -> Path:
    return home() / "studies"


def results_folder() -> Path:
    return home() / "results"


def default_storage() -> Path:
    """The SQLite database that is used where no other storage is named."""
    return results_folder() / "studies.db"


def known_studies() -> list[str]:
    """Names of the study files, without those that begin with an underscore."""
    return sorted(path.stem for path in studies_folder().glob("[!_]*.py"))


def lock_file(name: str) -> Path:
    """The path of a lock file. Its folder is created if it is missing."""
    folder = results_folder() / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
