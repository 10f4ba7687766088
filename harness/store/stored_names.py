"""The names in an SQLite storage at a glance: read only, no schema checks, nothing waited for.

`open_storage` takes a second, which is too long for a shell that completes a word.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from harness.store.keys import stands_beside
from harness.store.storage import default_storage

_STUDIES = "SELECT key FROM harness_studies WHERE key IN (SELECT study_name FROM studies) ORDER BY key"
_TRIALS = "SELECT key, number FROM harness_trials ORDER BY number"


def stored_trials(storage: str | None = None) -> dict[str, list[int]]:
    """Trial numbers by study key; nothing where there is no such file, or it is another database."""
    path = (storage or default_storage()).removeprefix("sqlite:///")
    if "://" in path:
        return {}
    address = f"file:{quote(str(Path(path).expanduser().resolve()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0.1)) as connection:
            found: dict[str, list[int]] = {key: [] for (key,) in connection.execute(_STUDIES) if not stands_beside(key)}
            for key, number in connection.execute(_TRIALS):
                if key in found:
                    found[key].append(number)
            return found
    except sqlite3.Error:
        return {}
