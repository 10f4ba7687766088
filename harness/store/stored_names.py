"""Names of studies and numbers of trials in an SQLite storage, read directly and without waiting for a lock.

Shell completion uses this, because `open_storage` imports Optuna and takes a second.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from harness import paths
from harness.errors import StorageError
from harness.store.keys import is_internal

_STUDIES = "SELECT key FROM harness_studies WHERE key IN (SELECT study_name FROM studies) ORDER BY key"
_TRIALS = "SELECT key, number FROM harness_trials ORDER BY number"


def stored_trials(storage: str | None = None) -> dict[str, list[int]]:
    """Trial numbers by study key; empty if the file is missing, locked or not one of this project's."""
    path = _file(storage) if storage else paths.default_storage()
    if path is None:
        return {}
    address = f"file:{quote(str(path))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0.1)) as connection:
            keys = [key for (key,) in connection.execute(_STUDIES) if not is_internal(key)]
            trials: dict[str, list[int]] = {key: [] for key in keys}
            for key, number in connection.execute(_TRIALS):
                if key in trials:
                    trials[key].append(number)
            return trials
    except sqlite3.Error:
        return {}


def _file(storage: str) -> Path | None:
    if "://" not in storage:
        return Path(storage).expanduser().resolve()
    from harness.store.address import file_of, url_of  # SQLAlchemy is slow to import, and few type a URL

    try:
        return file_of(url_of(storage))
    except StorageError:
        return None
