"""The client of Airflow's interface tries again while the database is busy, and only then."""

from __future__ import annotations

import httpx
import pytest

from cli import ShoalError
from orchestrate import airflow_server

BUSY = httpx.Response(500, json={"detail": {"reason": "Database error"}})


def client(monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response) -> airflow_server.Client:
    monkeypatch.setattr(airflow_server.time, "sleep", lambda seconds: None)
    left = iter(answers)
    made = airflow_server.Client(airflow_server.Address(1))
    made._http = httpx.Client(base_url="http://a", transport=httpx.MockTransport(lambda _: next(left)))
    return made


def test_busy_database_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client(monkeypatch, BUSY, BUSY, httpx.Response(200, json={"a": 1})).get("dags") == {"a": 1}


def test_question_is_asked_again_whatever_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = httpx.Response(500, text="Internal Server Error")
    assert client(monkeypatch, plain, httpx.Response(200, json={"a": 1})).get("assets/events") == {"a": 1}
    with pytest.raises(airflow_server.NotReadyError, match="500 Internal Server Error"):
        client(monkeypatch, plain, httpx.Response(200, json={})).post("dags/x/dagRuns", {})


def test_what_the_first_try_did_all_the_same_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client(monkeypatch, BUSY, httpx.Response(409, json={})).post("dags/x/dagRuns", {}) == {}


def test_conflict_at_the_first_try_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShoalError, match="409"):
        client(monkeypatch, httpx.Response(409, json={})).post("dags/x/dagRuns", {})
