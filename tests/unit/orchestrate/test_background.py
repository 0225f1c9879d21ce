"""``make up`` starts all three servers and tells where they are; ``make down`` ends all three."""

from __future__ import annotations

from pathlib import Path

import pytest

import settings
from orchestrate import airflow_server, background, dashboard_server, login, mlflow_server, processes


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


def test_up_says_which_settings_the_airflow_that_runs_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alert command that was told to a second `make up` would else never run, without a word."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    monkeypatch.setenv("SHOAL_SHOP", "simulated")
    address = airflow_server.Address(8080)
    log = settings.airflow_dir() / "scheduler.log"
    family = airflow_server.FAMILY
    processes.start(family, "scheduler", ["sleep", "60"], airflow_server.environment(address.port), log)
    monkeypatch.setattr(airflow_server, "found", lambda: address)
    try:
        airflow_server.stay()
        assert capsys.readouterr().err == ""
        monkeypatch.setenv("SHOAL_ALERT_COMMAND", "mail somebody@example.org")
        airflow_server.stay()
    finally:
        processes.end(family)
    said = capsys.readouterr().err
    assert "goes on with SHOAL_ALERT_COMMAND as it was" in said and "make down" in said
    assert "somebody" not in said


def test_up_refuses_an_alert_command_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_server, "stay", lambda: pytest.fail("it was started"))
    monkeypatch.setenv("SHOAL_ALERT_COMMAND", " ")
    with pytest.raises(settings.SettingError, match="SHOAL_ALERT_COMMAND=' ' is no command"):
        background.up()


def test_down_ends_every_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for server, count in ((airflow_server, 4), (mlflow_server, 2), (dashboard_server, 1)):
        monkeypatch.setattr(server, "end", lambda count=count: count)
    background.down()
    assert f"ended {4 + 2 + 1} processes" in capsys.readouterr().err
