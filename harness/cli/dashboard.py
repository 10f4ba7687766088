"""`harness dashboard`: the Optuna dashboard on this machine."""

from __future__ import annotations

from harness.cli.console import console
from harness.dashboard.server import HOST, make_dashboard
from harness.store.quiet import quiet_optuna
from harness.store.storage import open_storage


@quiet_optuna()
def serve(port: int | None, storage: str | None) -> None:
    """Serve it until Ctrl-C."""
    server = make_dashboard(open_storage(storage), port)
    address = f"http://{HOST}:{server.server_port}"
    console.print(f"Optuna dashboard: {address}  (Ctrl-C stops it)")
    console.print(f"from another machine: ssh -L {server.server_port}:{HOST}:{server.server_port} THIS-MACHINE")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        console.print("dashboard stopped")
    finally:
        server.server_close()
