"""MLflow gone, slow or emptied: scoring goes on with the champion that served last, training says why not."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cli
import settings
from cli import ShoalError
from ml import tracking
from ml.__main__ import _parser
from ml.score import score
from ml.train import train
from tests.faults.test_disk_full import fill
from tests.faults.test_kill import predictions
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK, fresh_tracking

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[synthetic.World]:
    """A world that was trained and scored while MLflow was there."""
    with pytest.MonkeyPatch.context() as patch, fresh_tracking():
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("trained")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        world = synthetic.write(users=120)
        train(world.paths, world.as_of, QUICK)
        score(world.paths, world.as_of)
        yield world


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with fresh_tracking():
        yield


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def take() -> None:
            try:
                while True:
                    taken.append(server.accept())
            except OSError:
                return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://shoal:hidden@127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://shoal:hidden@127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["gone", "slow", "emptied"])
def test_scoring_goes_on_with_the_champion_that_served_last(
    trained: synthetic.World,
    impatient: None,
    silent_server: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    expected = predictions(trained.paths)
    elsewhere = {"gone": closed_port(), "slow": silent_server, "emptied": f"sqlite:///{tmp_path}/mlflow.db"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere[fault])
    if fault == "emptied":
        tracking._make_tables(tmp_path / "mlflow.db")
    assert cli.run(_parser(), ["score", "--shop", "tiny"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "scoring goes on with version 1 of tiny.behaviour_segments, kept in" in said
    assert "hidden" not in said
    assert predictions(trained.paths) == expected


def test_training_without_mlflow_fails_in_one_line_and_registers_nothing(
    trained: synthetic.World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [tracking.registered_name("tiny", model) for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR)]
    before = [tracking.versions(name) for name in names]
    with monkeypatch.context() as gone:
        gone.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        gone.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        gone.setenv("MLFLOW_TRACKING_URI", closed_port())
        with fresh_tracking():
            assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.FAILED
    lines = capsys.readouterr().err.strip().splitlines()
    assert (
        len(lines) == 1
        and "MLflow at http://127.0.0.1" in lines[0]
        and "run the same command again" in lines[0]
    )
    with fresh_tracking():
        assert [tracking.versions(name) for name in names] == before


def test_mlflow_that_fails_in_the_middle_leaves_no_half_champion(
    trained: synthetic.World, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its disk is full while a model is uploaded, and once more when the new champion is named."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow itself sets it
    upload = mlflow.pyfunc.log_model

    def upload_to_a_full_disk(*arguments: Any, **options: Any) -> Any:
        fill(disk, 100_000)
        return upload(*arguments, **options)

    def name_on_a_full_disk(*_: object) -> None:
        raise mlflow.MlflowException("database or disk is full")

    def train_quickly(_: argparse.Namespace) -> None:
        train(world.paths, world.as_of, QUICK)

    with fresh_tracking():
        world = synthetic.write(users=120)
        parser = argparse.ArgumentParser("python -m ml train")
        parser.set_defaults(act=train_quickly)
        for place, name, fault in (
            (mlflow.pyfunc, "log_model", upload_to_a_full_disk),
            (tracking.Version, "set_alias", name_on_a_full_disk),
        ):
            with monkeypatch.context() as full:
                full.setattr(place, name, fault)
                assert cli.run(parser, []) == cli.FAILED
            (line,) = (line for line in capsys.readouterr().err.splitlines() if "python -m ml" in line)
            assert f"the disk of {disk} is full" in line and "make room" in line
            with pytest.raises(ShoalError, match="none was promoted yet"):
                score(world.paths, world.as_of)
            (disk / ".ballast").unlink(missing_ok=True)
        train(world.paths, world.as_of, QUICK)
        score(world.paths, world.as_of)
        found = predictions(world.paths)
    monkeypatch.undo()
    assert found == predictions(trained.paths)


def test_kept_champion_with_a_changed_byte_is_refused(
    trained: synthetic.World, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port())
    (weights,) = (trained.paths.models / "champions" / "tiny.behaviour_segments").glob(
        "*/package/classes.safetensors"
    )
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ShoalError, match=r"classes.safetensors is not what was sealed"):
            score(trained.paths, trained.as_of)
    finally:
        weights.write_bytes(content)


FIRST_USERS = """
import os, sys
import mlflow.store.tracking.sqlalchemy_store
from ml import tracking
children = []
for number in range(6):
    pid = os.fork()
    if pid == 0:
        try:
            with tracking.run("encoder", f"run {number}", {"shop": "tiny"}, {}):
                pass
            os._exit(0)
        except BaseException as error:
            print(type(error), error, file=sys.stderr, flush=True)
            os._exit(1)
    children.append(pid)
print([os.waitpid(pid, 0)[1] for pid in children], len(tracking.recent_runs("tiny", 20)))
"""


def test_six_first_users_at_once_make_one_store_after_one_that_died_making_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = tmp_path / "mlflow"
    store.mkdir(mode=0o700)
    (store / ".mlflow.db.new").write_bytes(b"SQLite format 3\0 half of it")
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USERS],
        cwd=settings.ROOT,
        env=settings.environment(SHOAL_DATA=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["[0, 0, 0, 0, 0, 0] 6"], done.stderr[-2000:]
