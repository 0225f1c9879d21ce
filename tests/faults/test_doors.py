"""Doors: what answers without a log-in, what a model file may carry, who may read a secret."""

from __future__ import annotations

import json
import os
import pickle
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import journal
from cli import ShoalError
from landing import pseudonyms, quarantine
from ml import packages
from ml.configs import TextConfig
from ml.encoder.checkpoints import checkpoint_path
from ml.encoder.texts import TextEncoder
from orchestrate import dashboard_server, login, mlflow_server, processes
from serving.dashboard import server
from serving.dashboard.door import COOKIE
from settings import ShopPaths


class Bomb:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_pickle_in_the_place_of_weights_is_refused_even_when_it_was_sealed(tmp_path: Path) -> None:
    package = tmp_path / "package"
    packages.save_tensors(package / "weights.safetensors", {"a": np.arange(4.0)})
    (package / "weights.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    packages.seal(package)
    packages.check(package)
    with pytest.raises(ShoalError, match=r"weights.safetensors is no safetensors file"):
        packages.load_tensors(package / "weights.safetensors")
    assert not (tmp_path / "trace").exists()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The embedded BERT with links for files, so that a test may replace some."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in Path(checkpoint_path(TextConfig().checkpoint)).iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    return folder


def replace(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text()) | changes
    file.unlink()
    file.write_text(json.dumps(content))


def encode(checkpoint: Path) -> None:
    TextEncoder(TextConfig(checkpoint=str(checkpoint)), None).vectors(["a blue mug"])


def test_checkpoint_that_is_a_pickle_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    encode(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(ShoalError, match="no pickles, no code of its own"):
        encode(checkpoint)
    assert not (tmp_path / "trace").exists()


def test_code_that_a_checkpoint_brings_along_never_runs(checkpoint: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (checkpoint / "evil.py").write_text(f"import os\nos.mkdir({str(trace)!r})\nclass Evil: pass\n")
    replace(checkpoint / "config.json", auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"})
    replace(
        checkpoint / "tokenizer_config.json",
        tokenizer_class="Evil",
        auto_map={"AutoTokenizer": ["evil.Evil", None]},
    )
    with pytest.raises(ShoalError, match="no pickles, no code of its own"):
        encode(checkpoint)
    assert not trace.exists()


@pytest.mark.parametrize("placeholder", ["", "changeme", "a" * 60])
def test_placeholder_in_the_place_of_a_secret_is_refused(data_dir: Path, placeholder: str) -> None:
    key = data_dir / "api.key"
    assert len(login.key(key)) >= login.KEY_LETTERS
    key.write_text(placeholder)
    login.file().write_text(json.dumps({login.USER: placeholder}))
    for secret in (lambda: login.key(key), login.password):
        with pytest.raises(ShoalError, match="holds no secret that could have been generated") as refused:
            secret()
        assert placeholder == "" or placeholder not in str(refused.value)


def test_everything_secret_is_for_its_owner_only(data_dir: Path) -> None:
    paths = ShopPaths("tiny")
    before = os.umask(0)
    try:
        pseudonyms.key(paths)
        quarantine.write(paths, "a", [{"table": "events", "row_number": 1, "reasons": [], "columns": {}}])
        journal.append(paths.ledger, [{"file_id": "a"}])
        login.key(data_dir / "flask.key")
        login.password()
        mlflow_server._authorization(data_dir, "sqlite://")
    finally:
        os.umask(before)
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {stat.filemode(path.stat().st_mode) for path in files} == {"-rw-------"}
    folders = {path.parent for path in files} - {data_dir}
    assert {stat.filemode(path.stat().st_mode) for path in folders} == {"drwx------"}


NEEDS_NO_LOG_IN = {
    "/health": 200,
    "/static-files/index.html": 200,
    # Which kind of store it is, asked by the page and by clients before they log in.
    "/api/3.0/mlflow/server-info": 200,
    "/ajax-api/3.0/mlflow/server-info": 200,
}
NEEDS_LOG_IN = [
    *("/", "/version", "/signup", "/metrics", "/graphql", "/docs", "/openapi.json"),
    *("/get-artifact?path=x&run_uuid=y", "/model-versions/get-artifact?name=x&version=1&path=y"),
    *(
        "/api/2.0/mlflow/experiments/search?max_results=5",
        "/ajax-api/2.0/mlflow/experiments/search?max_results=5",
    ),
    *("/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow/users/get?username=shoal"),
]


@pytest.fixture
def mlflow_address(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SHOAL_MLFLOW_PORT", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        yield mlflow_server.start()
    finally:
        mlflow_server.end()


@pytest.mark.slow
def test_mlflow_answers_only_this_machine_and_only_who_is_logged_in(
    mlflow_address: str, data_dir: Path
) -> None:
    listening = {
        connection.laddr.ip
        for process in processes.members(mlflow_server.FAMILY)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    search = "/api/2.0/mlflow/experiments/search?max_results=5"
    with httpx.Client(base_url=mlflow_address, trust_env=False, timeout=60) as anybody:
        assert {path: anybody.get(path).status_code for path in NEEDS_NO_LOG_IN} == NEEDS_NO_LOG_IN
        assert {anybody.get(path).status_code for path in NEEDS_LOG_IN} == {401}
        for path in ("/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/users/create", "/graphql", "/v1/traces"):
            assert anybody.post(path, json={}).status_code == 401, path
        assert anybody.get(search, auth=("admin", "password1234")).status_code == 401
    with httpx.Client(
        base_url=mlflow_address, trust_env=False, timeout=60, auth=(login.USER, login.password())
    ) as known:
        assert known.get(search).status_code == 200
        assert known.get(search, headers={"Host": "evil.example"}).status_code == 403
        made = known.post(
            "/api/2.0/mlflow/experiments/create",
            json={"name": "x"},
            headers={"Origin": "http://evil.example"},
        )
        assert made.status_code == 403
    private = [path for path in data_dir.rglob("*") if path.is_file() and path.suffix != ".pid"]
    assert {
        path.name: stat.filemode(path.stat().st_mode) for path in private if path.stat().st_mode & 0o077
    } == {}


@pytest.fixture
def dashboard_address(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("SHOAL_DASHBOARD_PORT", "0")
    try:
        yield dashboard_server.start()
    finally:
        assert dashboard_server.end() >= 1
        assert processes.members(dashboard_server.FAMILY) == []


def greet(address: str, **headers: str) -> int:
    """Open the dashboard's live connection; return the status that answers."""
    url = address.replace("http", "ws") + "/_stcore/stream"
    try:
        with connect(url, additional_headers=headers, proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.slow
def test_dashboard_answers_only_this_machine_and_only_who_is_logged_in(
    dashboard_address: str, data_dir: Path
) -> None:
    listening = {
        connection.laddr.ip
        for process in processes.members(dashboard_server.FAMILY)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    paths = (
        "/",
        "/runs",
        "/_stcore/health",
        "/_stcore/host-config",
        "/static/index.html",
        "/_stcore/metrics",
    )
    with httpx.Client(base_url=dashboard_address, trust_env=False, timeout=60) as visitor:
        assert {visitor.get(path).status_code for path in paths} == {401}
        assert visitor.post("/_stcore/agent/interact", json={}).status_code == 401
        assert greet(dashboard_address) == 403
        told = visitor.post("/log-in", data={"user": login.USER, "password": login.password()})
        assert told.status_code == 303
        assert {visitor.get(path).status_code for path in paths[:5]} == {200}
        assert visitor.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert visitor.get("/", headers={"Origin": "http://evil.example"}).status_code == 403
        cookie = f"{COOKIE}={visitor.cookies[COOKIE]}"
    assert greet(dashboard_address, Cookie=cookie, Origin=dashboard_address) == 101
    assert greet(dashboard_address, Cookie=cookie, Origin="http://evil.example") == 403
    assert greet(dashboard_address, Cookie=cookie, Host="evil.example") == 403
    private = [path for path in data_dir.rglob("*") if path.is_file() and path.suffix != ".pid"]
    assert {
        path.name: stat.filemode(path.stat().st_mode) for path in private if path.stat().st_mode & 0o077
    } == {}


def test_dashboard_sends_no_usage_data_and_reads_no_file_anew() -> None:
    assert server.OPTIONS["browser.gatherUsageStats"] is False
    assert server.OPTIONS["server.address"] == "127.0.0.1"
    assert server.OPTIONS["server.enableXsrfProtection"] is True
    assert server.OPTIONS["server.enableCORS"] is True
