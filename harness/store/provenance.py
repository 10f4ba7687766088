"""What a run was made with: versions, machine and commit, and the process that owns it."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil
from pydantic import BaseModel

from harness import paths


class Owner(BaseModel, frozen=True):
    """The process that runs a trial. Its start time distinguishes it from a later process with the same id."""

    host: str
    pid: int
    started: float

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()

    def is_dead(self) -> bool:
        """Whether the process is known to have ended. Nothing is known about processes on another host."""
        if not self.is_here:
            return False
        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True


def this_process() -> Owner:
    return Owner(host=socket.gethostname(), pid=os.getpid(), started=psutil.Process().create_time())


@cache
def versions() -> dict[str, str]:
    """What determines a run's exact bits besides its config: library versions and the kind of machine."""
    libraries = {name: version(name) for name in ("torch", "numpy", "optuna", "harness")}
    return {"python": platform.python_version(), **libraries, "machine": machine()}


@cache
def machine() -> str:
    """Processor, number of cores and operating system, for people to read."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


@cache
def commit() -> str | None:
    """The checkout's commit, with `-dirty` if files differ from it; None outside a checkout."""
    return _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(*arguments: str) -> str | None:
    """What git prints in the project's folder; None if it fails there."""
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=paths.home(), capture_output=True, encoding="utf-8", timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def commit_of(folder: str) -> str | None:
    """The last commit that changed a folder of the checkout, with `-dirty` if files in it differ; None outside one.

    Measurements that are stored elsewhere in the checkout do not change it.
    """
    last = _git("log", "-1", "--abbrev=12", "--format=%h", "--", folder)
    return f"{last}-dirty" if last and _git("status", "--porcelain", "--", folder) else last or None


def now() -> str:
    """The time in UTC in ISO 8601 format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
