"""Airflow looks at no Host and no Origin; here whatever names another machine is refused before it does.

``SHOAL_AIRFLOW_HOSTS`` adds names to those of this machine: of the service, of a proxy before it.

Every part of Airflow reads this file, and every task: the door itself is imported by the API server alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class OwnPagesOnly:
    """Let requests through that name this server, and that no page of another site sent."""

    def __init__(self, app: ASGIApp) -> None:
        import settings
        from serving.dashboard.door import HOSTS, is_own_request

        self.app = app
        self._is_own, self._hosts = is_own_request, {*HOSTS, *settings.airflow_hosts()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        is_let_in = scope["type"] == "lifespan" or self._is_own(scope, self._hosts)
        app = self.app if is_let_in else PlainTextResponse("this address is not served here", 403)
        await app(scope, receive, send)


class OwnPages(AirflowPlugin):
    """Put the check before everything that the API server answers."""

    name = "own_pages"
    fastapi_root_middlewares = [  # noqa: RUF012 - as the base declares it
        {"name": "own pages only", "middleware": OwnPagesOnly}
    ]
