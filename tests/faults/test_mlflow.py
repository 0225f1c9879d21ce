"""MLflow gone, slow, full or emptied: the champion that served last scores on, training logs later."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cli
import journal
import settings
from cli import ShoalError
from ml import configs, promote, run_page, tracking, waiting
from ml.__main__ import _parser
from ml.score import score
from ml.segments.behaviour import BehaviourSegments
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


@pytest.fixture
def untouched(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a test an empty data folder, and in it a store of MLflow's that nobody has used."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow itself sets it
    with fresh_tracking():
        yield data_dir


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "make", lambda *_: QUICK)


def registered() -> list[tracking.Version]:
    """Return all versions of the tiny shop's two models."""
    names = [tracking.registered_name("tiny", model) for model in (tracking.HIGH_VALUE, tracking.BEHAVIOUR)]
    return [version for name in names for version in tracking.versions(name)]


def statuses() -> set[str]:
    return {run["status"] for run in tracking.recent_runs("tiny", 100)}


def test_training_without_mlflow_fits_and_waits_and_logs_once_when_it_is_back(
    trained: synthetic.World,
    untouched: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = synthetic.write(users=120)
    never_repeated, of_today = (world.paths.models / "training" / f"{name}.safetensors" for name in "ab")
    of_today.parent.mkdir(parents=True)
    of_today.touch()
    never_repeated.touch()
    os.utime(never_repeated, (time.time() - 3 * 86_400,) * 2)
    serves_no_more = world.paths.models / "embeddings" / "of last year"
    serves_no_more.mkdir(parents=True)
    os.utime(serves_no_more, (time.time() - 365 * 86_400,) * 2)
    with monkeypatch.context() as gone:
        gone.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        gone.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        gone.setenv("MLFLOW_TRACKING_URI", closed_port())
        with fresh_tracking():
            assert cli.run(_parser(), ["train", "--shop", "tiny", "--seed", "9"]) == cli.TRY_LATER
            (line,) = (line for line in capsys.readouterr().err.splitlines() if "python -m ml" in line)
            assert "MLflow at http://127.0.0.1" in line and "hidden" not in line
            assert line.endswith(f"python -m ml train --shop tiny --as-of {world.as_of} --seed 9")
            (began,) = waiting.since(world.paths).values()
            assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.TRY_LATER
            assert waiting.since(world.paths) == {world.as_of: began}, "it waits since the first try"
    capsys.readouterr()
    with fresh_tracking():
        assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.DONE
        assert "going on after step 40 of a run that was stopped" in capsys.readouterr().err
        assert [version.version for version in registered()] == ["1", "1"]
        assert statuses() == {"FINISHED"}
        assert not waiting.since(world.paths)
        assert [*of_today.parent.iterdir()] == [of_today], "what may still be repeated stays"
        assert not serves_no_more.exists()
        score(world.paths, world.as_of)
    found = predictions(world.paths)
    monkeypatch.undo()
    assert found == predictions(trained.paths)


def test_log_in_that_mlflow_refuses_is_no_reason_to_wait(
    untouched: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.exceptions import RestException

    def refuse(*_: object, **__: object) -> None:
        raise RestException({"error_code": "UNAUTHENTICATED", "message": "who are you?"})

    world = synthetic.write(users=120)
    monkeypatch.setattr(tracking, "versions", refuse)
    assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.FAILED
    assert "who are you?" in capsys.readouterr().err
    assert not waiting.since(world.paths)


def test_mlflow_that_fails_in_the_middle_leaves_no_half_champion_and_is_waited_for(
    trained: synthetic.World,
    disk: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its disk is full while a model is uploaded, when one is described, and when the champion is named."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow itself sets it
    upload = mlflow.pyfunc.log_model

    def upload_to_a_full_disk(*arguments: Any, **options: Any) -> Any:
        fill(disk, 100_000)
        return upload(*arguments, **options)

    def on_a_full_disk(*_: object) -> None:
        raise mlflow.MlflowException("database or disk is full")

    with fresh_tracking():
        world = synthetic.write(users=120)
        for place, name, fault in (
            (mlflow.pyfunc, "log_model", upload_to_a_full_disk),
            (tracking.Version, "set_tags", on_a_full_disk),
            (tracking.Version, "set_alias", on_a_full_disk),
        ):
            with monkeypatch.context() as full:
                full.setattr(place, name, fault)
                assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.TRY_LATER
            (line,) = (line for line in capsys.readouterr().err.splitlines() if "python -m ml" in line)
            assert f"the disk of {disk} is full" in line and "make room" in line
            with pytest.raises(ShoalError, match="none was promoted yet"):
                score(world.paths, world.as_of)
            (disk / ".ballast").unlink(missing_ok=True)
        assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.DONE
        assert "fine-tuning BERT: going on after step 40" in capsys.readouterr().err
        assert all("known_through" in version.tags for version in registered())
        assert statuses() == {"FINISHED", "FAILED"}
        score(world.paths, world.as_of)
        found = predictions(world.paths)
    monkeypatch.undo()
    assert found == predictions(trained.paths)


@pytest.mark.parametrize(
    ("place", "name"),
    [(BehaviourSegments, "make"), (run_page, "show_segments")],
    ids=["high value was promoted", "both were promoted"],
)
def test_mlflow_that_fails_after_a_promotion_does_not_register_it_twice(
    untouched: Path, quick: None, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    import mlflow

    def fail(*_: object, **__: object) -> None:
        raise mlflow.MlflowException("gone")

    world = synthetic.write(users=120)
    with monkeypatch.context() as gone:
        gone.setattr(place, name, fail)
        assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.TRY_LATER
    champion = promote.in_force("tiny.high_value", world.as_of)
    assert champion is not None
    assert cli.run(_parser(), ["train", "--shop", "tiny"]) == cli.DONE
    assert [(version.name, version.version) for version in registered()] == [
        ("tiny.high_value", champion.version),
        ("tiny.behaviour_segments", "1"),
    ]
    told = journal.read(world.paths.ops / "model_run.jsonl")
    decided = {one["model"]: one["decision"] for one in told if one["model_version"]}
    assert set(decided.values()) == {"promoted"} and len(decided) == 2
    train(world.paths, world.as_of, QUICK)  # what FORCE=1 does, after a training that ended
    assert [version.version for version in registered()] == ["1", "2", "1", "2"]


def test_what_a_training_left_half_done_is_taken_back_by_the_next_and_nothing_else(untouched: Path) -> None:
    client, name = tracking.client(), tracking.registered_name("tiny", tracking.HIGH_VALUE)
    client.create_registered_model(name)

    def leave(fingerprint: str, status: str, tags: dict[str, str]) -> tuple[str, str]:
        run = client.create_run("0", tags={"fingerprint": fingerprint}).info.run_id
        if status != "RUNNING":
            client.set_terminated(run, status)
        return run, str(client.create_model_version(name, "/nothing", run, tags=tags).version)

    promoted = {"promoted_at": "2026-06-30", "known_through": "2026-06-30"}
    left = {
        "open": leave("this", "RUNNING", {}),
        "failed": leave("this", "FAILED", {}),
        "promoted": leave("this", "RUNNING", promoted),
        "finished": leave("this", "FINISHED", {}),
        "another": leave("other", "RUNNING", {}),
    }
    assert not tracking.take_back([name], "this")
    kept = {version.version for version in tracking.versions(name)}
    assert {what for what, (_, version) in left.items() if version in kept} == {
        *("promoted", "finished", "another")
    }
    found = {what: client.get_run(run).info.status for what, (run, _) in left.items()}
    assert found == {
        **dict.fromkeys(("open", "failed", "promoted"), "FAILED"),
        **{"finished": "FINISHED", "another": "RUNNING"},
    }


def test_training_goes_on_with_what_an_earlier_try_registered_unless_that_ended_or_was_withdrawn(
    untouched: Path,
) -> None:
    client, name = tracking.client(), tracking.registered_name("tiny", tracking.HIGH_VALUE)
    client.create_registered_model(name)
    run = client.create_run("0", tags={"fingerprint": "this"}).info.run_id
    client.set_terminated(run, "FINISHED")

    def register(**tags: str) -> None:
        client.create_model_version(name, "/nothing", run, tags={"fingerprint": "this", **tags})

    register(promoted_at="2026-06-30")
    register(promoted_at="2026-06-30", withdrawn_at="2026-07-01")
    assert {key: one.version for key, one in tracking.take_back([name], "this").items()} == {name: "1"}
    register(complete="this")
    assert tracking.take_back([name], "this") == {}


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
from ml import configs, tracking, waiting
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
