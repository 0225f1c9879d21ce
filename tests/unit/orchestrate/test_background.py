"""``make up`` starts all three servers and tells where they are; ``make down`` ends all three."""

from __future__ import annotations

import pytest

from orchestrate import airflow_server, background, dashboard_server, login, mlflow_server


def test_up_tells_every_address_and_the_log_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(airflow_server, "stay", lambda: airflow_server.Address(8080))
    monkeypatch.setattr(mlflow_server, "start", lambda: "http://127.0.0.1:5000")
    monkeypatch.setattr(dashboard_server, "start", lambda: "http://127.0.0.1:8501")
    monkeypatch.setattr(login, "password", lambda: "generated")
    background.up()
    said = capsys.readouterr().err
    for told in ("127.0.0.1:8080", "127.0.0.1:5000", "127.0.0.1:8501", login.USER, "generated"):
        assert told in said


def test_down_ends_every_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for server, count in ((airflow_server, 4), (mlflow_server, 2), (dashboard_server, 1)):
        monkeypatch.setattr(server, "end", lambda count=count: count)
    background.down()
    assert f"ended {4 + 2 + 1} processes" in capsys.readouterr().err
