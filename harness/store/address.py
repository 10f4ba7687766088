"""The address of a storage: what a user types as STORAGE, as a database URL that leads to that file and no other.

A path may hold any character; `?` and `%` are escaped in the URL. In a URL that a user types they have the meaning
that they have in URLs.
"""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sql

from harness import paths
from harness.errors import StorageError, first_line

_BACKENDS = re.compile(r"(file|sqlite|postgres|postgresql|mysql|mariadb|oracle|mssql)(\+\w+)?:(?!//)")
"""How a URL begins that lacks its slashes. As a path, it would make a folder of that name."""


def url_of(storage: str | None) -> sql.URL:
    """The URL of a database: SQLite's with an absolute path, any other one as it was typed.

    Args:
        storage: an SQLAlchemy URL or the path of an SQLite file; None or empty for `results/studies.db`.

    Raises:
        StorageError: it is no address, or that of a database in memory, which no other process could see.
    """
    text = (storage or "").strip()
    if not text:
        return _sqlite(default := str(paths.default_storage()), default)
    if text.startswith("file:") or _BACKENDS.match(text):
        raise _refused(text, "it is neither. Write sqlite:///studies.db, or studies.db alone")
    if "://" not in text:
        return _sqlite(text, text)
    try:
        url = sql.engine.make_url(text)
    except (sql.exc.ArgumentError, ValueError) as error:
        raise _refused(text, f"it could not be opened ({first_line(error)}). Correct it") from None
    return _from_url(url, text) if url.get_backend_name() == "sqlite" else url


def file_of(url: sql.URL) -> Path | None:
    """The file of an SQLite database; None for another database."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _from_url(url: sql.URL, text: str) -> sql.URL:
    if url.host or url.username or url.port:
        raise _refused(text, "an SQLite URL has three slashes before a path. Write sqlite:///studies.db")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise _refused(text, "SQLite is used by Python's own driver only. Write sqlite:///studies.db")
    if url.query:
        raise _refused(
            text,
            "SQLite takes no parameters here, and workers need a file that they can write. Leave out what follows "
            "the ?; if it belongs to the file's name, give the path alone, without sqlite:///",
        )
    return _sqlite(url.database or "", text)


def _sqlite(path: str, text: str) -> sql.URL:
    if path.strip().casefold() in ("", ":memory:"):
        raise _refused(text, "a database in memory is lost at the end and shared with no worker. Name a file")
    if path.startswith("file:"):
        raise _refused(text, "SQLite's file: addresses are not used here. Give the path alone")
    try:
        database = str(Path(path).expanduser().resolve())
        database.encode("utf-8")
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown user, a null byte
        raise _refused(text, f"it could not be opened ({first_line(error)}). Correct it") from None
    return sql.URL.create("sqlite", database=database)


def _refused(text: str, why: str) -> StorageError:
    return StorageError(
        f"a storage must be a database URL or the path of an SQLite file; got {without_password(text)!r}: {why}, "
        "or leave STORAGE out for results/studies.db."
    )


def without_password(text: str) -> str:
    """A URL for messages."""
    return re.sub(r"(://[^/:@]*):[^@/]*@", r"\1:***@", text)
