"""The Optuna dashboard for every study in a storage, on this machine only."""

from __future__ import annotations

import socket
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from harness.errors import ConfigError
from harness.store.storage import Storage

HOST = "127.0.0.1"
"""Loopback only: the dashboard has no authentication, and anyone who can reach it can delete studies."""
DEFAULT_PORT = 8080


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing: a browser polls every few seconds."""


def make_dashboard(storage: Storage, port: int | None) -> WSGIServer:
    """A server that is bound to its port and ready for `serve_forever`.

    Args:
        port: None for 8080, or for the next free port after it.

    Raises:
        ConfigError: the given port is in use or not allowed.
    """
    app = wsgi(storage.backend, artifact_store=storage.artifacts)
    chosen = _free_port(DEFAULT_PORT) if port is None else port
    try:
        return make_server(HOST, chosen, app, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"a port must be free on {HOST}; {chosen}: {getattr(error, 'strerror', None) or error}. "
            "Give another PORT, or none to use a free one."
        ) from None


def _free_port(first: int) -> int:
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    return 0  # the system picks a free port
