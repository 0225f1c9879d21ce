"""Serve the dashboard on 127.0.0.1, behind its door."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path

import settings
from cli import console
from serving.dashboard import looks
from serving.dashboard.door import Door

SCRIPT = "app.py"

OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.allowedHosts": ["127.0.0.1", "localhost"],
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    # Nobody uploads anything.
    "server.maxUploadSize": 1,
    "browser.serverAddress": "127.0.0.1",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    # What an error says may quote data: it goes to the log, which its owner alone reads.
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    **looks.THEME,
}
"""Settings of Streamlit. It asks for no usage data, shows no menu of its own, and reads no file anew."""


def home() -> Path:
    """Return the folder of the dashboard's key and log."""
    folder = settings.data_dir() / "dashboard"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def serve(port: int, user: str, password: str, key: str) -> None:
    """Serve until stopped."""
    import streamlit
    from starlette.middleware import Middleware

    app = streamlit.App(
        settings.ROOT / "serving" / "dashboard" / SCRIPT,
        middleware=[Middleware(Door, user=user, password=password, key=key)],
    )
    threading.Thread(target=warm_up, daemon=True).start()
    console.print(f"dashboard: http://127.0.0.1:{port}")
    app.run(config=OPTIONS | {"server.port": port, "browser.serverPort": port})


def warm_up() -> None:
    """Import what the first view would wait for."""
    import duckdb  # noqa: F401
    import pandas  # noqa: F401
    import plotly.graph_objects  # noqa: F401

    from serving.dashboard import navigation

    for name in navigation.ICONS:
        import_module(f"serving.dashboard.views.{name}")
