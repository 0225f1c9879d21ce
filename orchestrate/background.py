"""``make up`` and ``make down``: Airflow, MLflow and the dashboard in the background."""

from __future__ import annotations

import settings
from cli import console
from orchestrate import airflow_server, dashboard_server, login, mlflow_server


def up() -> None:
    """Start what does not run yet; print addresses and the log-in."""
    settings.alert_command()  # refused while somebody looks, not when the first alert is lost
    airflow = airflow_server.stay()
    mlflow = mlflow_server.start()
    dashboard = dashboard_server.start()
    console.print(f"Dashboard  {dashboard}")
    console.print(f"Airflow    {airflow.url}")
    console.print(f"MLflow     {mlflow}")
    console.print(f"user       {login.USER}\npassword   {login.password()}")
    console.print("All answer on 127.0.0.1 only; `make down` ends them.")


def down() -> None:
    """End all of it, tasks included."""
    count = airflow_server.end() + mlflow_server.end() + dashboard_server.end()
    console.print(f"ended {count} processes" if count else "nothing was running")
