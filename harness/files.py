"""Atomic writes, and one-line errors for files that cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StorageError

_MANIFEST = ".written"
"""A file that lists what `rewriting` has written into its folder."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all. Readers never see a partial file. Text is written as UTF-8.

    Raises:
        StorageError: there is no permission or no space to write there.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder. It replaces `path` if the block succeeds and is deleted otherwise."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix must stay last, because some writers (matplotlib, pandas) choose the format by it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def is_utf_8(path: Path) -> bool:
    """Whether a path can be stored and shown: not if its name has bytes that the locale's encoding cannot read."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def rewriting(folder: Path, lasting: tuple[str, ...] = ()) -> Iterator[Path]:
    """A temporary folder beside `folder`. If the block succeeds, its files take their places there, all at the end.

    Files that an earlier block wrote and this one did not are deleted, unless their path starts with one of `lasting`.
    Whatever else is there stays. If the block fails or the process is killed in it, `folder` is unchanged. Only one
    process at a time may write a folder.

    Raises:
        StorageError: there is no permission or no space to write there.
    """
    temporary, manifest = folder.parent / f".{folder.name}.new", folder / _MANIFEST
    with explained(folder):
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        try:
            yield temporary
            written = sorted(path.relative_to(temporary).as_posix() for path in temporary.rglob("*") if path.is_file())
            earlier = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
            write_atomically(manifest, "\n".join(sorted({*earlier, *written})))  # for whoever follows a crash here
            for name in written:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).replace(folder / name)
            for name in set(earlier) - set(written):
                if not name.startswith(lasting):
                    (folder / name).unlink(missing_ok=True)
            write_atomically(manifest, "\n".join(written))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system error into one line with the path and the way out.

    Raises:
        StorageError: there is no permission or no space; other errors are raised unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "Free some space and run the command again; finished work is kept."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            way_out = "Make that path writable, or set HARNESS_HOME to a folder that is."
        else:
            raise
        raise StorageError(f"{path} must be writable; got {error.strerror!r}. {way_out}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
