"""Files are written whole or not at all, and refusals of the file system get one line."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StorageError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: readers never meet half of one.

    Raises:
        StorageError: no right or no space to write there.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place if the block succeeds."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last: some writers (matplotlib, pandas) choose a format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the place and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "Free some space and run the command again; nothing finished is lost."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            way_out = "Make that place writable, or set HARNESS_HOME to a folder that is."
        else:
            raise
        raise StorageError(f"{path} must be writable; got {error.strerror!r}. {way_out}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
