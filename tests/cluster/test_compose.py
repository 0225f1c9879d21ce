"""docker-compose.yml and the Dockerfile as they are written; nothing is started."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import settings
from cli import ShoalError
from orchestrate import cluster, login
from tests.cluster import stand_in

DATABASES = {"postgres", "redis", "objects"}
PUBLISHED = {"api-server", "mlflow"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return stand_in.load(SHOAL_CLUSTER="/srv/shoal", SHOAL_USER="1000:1000")


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_follows_the_schema_of_compose(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="the schema of compose comes with `make test-all`")
    assert _schema_check(stand_in.FILE) == 0
    spoiled = tmp_path / "docker-compose.yml"
    spoiled.write_text(
        stand_in.FILE.read_text().replace("    restart: unless-stopped", "    restarts: always")
    )
    assert _schema_check(spoiled) == 1


def _schema_check(file: Path) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_nothing_starts_before_somebody_made_the_secrets() -> None:
    with pytest.raises(KeyError, match=r"SHOAL_(USER|CLUSTER)"):
        stand_in.load()


def test_has_a_service_for_every_part(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {
        *("check-secrets", "prepare", *DATABASES, "mlflow"),
        *("api-server", "scheduler", "dag-processor", "triggerer", "worker", "warehouse-worker"),
    }


def test_no_service_runs_as_root_or_gains_rights(services: dict[str, dict[str, Any]]) -> None:
    text = stand_in.FILE.read_text()
    assert set(re.findall(r"^ +user: (.*)$", text, flags=re.MULTILINE)) == {
        "${SHOAL_USER:?run `make secrets` first}"
    }
    for name, service in services.items():
        assert service["user"] == "1000:1000", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_ours_have_a_name_for_a_user_whom_the_image_does_not_know(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow and MLflow ask for it, as here, before they do anything."""

    def find_nobody(user: int) -> None:
        raise KeyError(f"uid not found: {user}")

    monkeypatch.setattr(pwd, "getpwuid", find_nobody)
    for name in services.keys() - DATABASES:
        for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.setenv(variable, services[name]["environment"].get(variable, ""))
        assert getpass.getuser() == "shoal", name


def test_every_service_that_stays_has_a_health_check_and_is_started_again(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if name in ("check-secrets", "prepare"):
            assert (service["restart"], service["healthcheck"]) == ("no", {"disable": True}), name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_only_two_publish_a_port_and_only_on_this_machine(services: dict[str, dict[str, Any]]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == PUBLISHED
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_networks_lead_outside_only_for_who_publishes(compose: dict[str, Any]) -> None:
    services = compose["services"]
    outward = {name for name, network in compose["networks"].items() if not network.get("internal")}
    assert outward == {"doors"}
    assert {
        name for name, service in services.items() if outward & {*service.get("networks", ())}
    } == PUBLISHED
    assert services["check-secrets"]["network_mode"] == "none"
    for name, service in services.items():
        assert service.get("networks") or name == "check-secrets", f"{name} would be in the default network"


def test_stores_are_met_only_by_those_who_need_them(services: dict[str, dict[str, Any]]) -> None:
    def in_network(name: str) -> set[str]:
        return {each for each, service in services.items() if name in service.get("networks", ())}

    assert in_network("objects") == {"objects", "prepare", "mlflow"}
    assert not {"worker", "warehouse-worker"} & in_network("metadata")


def test_secrets_are_files_and_nothing_in_the_environment(compose: dict[str, Any]) -> None:
    assert set(compose["secrets"]) == set(cluster.SECRETS)
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            secret = re.search(r"PASSWORD|SECRET|KEY|TOKEN|CREDENTIALS", key)
            assert not secret or "/run/secrets/" in value or key in ("SHOAL_SECRETS",), (name, key)
            assert not re.search(r"//[^/@%]*:[^/@%]+@", value), f"{name}: a password in {key}"


def test_services_get_the_secrets_they_name_and_name_those_they_get(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        text = json.dumps([service.get(key) for key in ("command", "environment", "healthcheck")])
        named = set(re.findall(r"/run/secrets/([\w.]+)", text))
        assert named <= set(service["secrets"]), name
    for name in ("worker", "warehouse-worker"):
        assert set(services[name]["secrets"]) == {"login.json", "redis.password"}, name


def test_both_doors_know_the_names_of_the_services_and_of_no_machine_elsewhere(
    services: dict[str, dict[str, Any]],
) -> None:
    airflow, mlflow = (services[name]["environment"] for name in ("api-server", "mlflow"))
    assert {*airflow["SHOAL_AIRFLOW_HOSTS"].split(",")} == {"api-server:8080", ""}
    assert {*mlflow["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")} == {
        *("mlflow:5000", "localhost:5000", "127.0.0.1:5000")
    }


def test_names_of_a_proxy_are_let_in_where_they_are_given() -> None:
    given = {"SHOAL_AIRFLOW_HOSTS": "airflow.example.org", "SHOAL_MLFLOW_HOST": "mlflow.example.org"}
    services = stand_in.load(SHOAL_CLUSTER="/srv/shoal", SHOAL_USER="1000:1000", **given)["services"]
    airflow, mlflow = (services[name]["environment"] for name in ("api-server", "mlflow"))
    assert "airflow.example.org" in airflow["SHOAL_AIRFLOW_HOSTS"].split(",")
    assert "mlflow.example.org" in mlflow["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert mlflow["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "https://mlflow.example.org"


def test_warehouse_has_one_worker_alone_on_its_queue(services: dict[str, dict[str, Any]]) -> None:
    workers = {
        name: each["command"]
        for name, each in services.items()
        if each["command"][:2] == ["service", "worker"]
    }
    assert workers == {
        "worker": ["service", "worker", "default"],
        "warehouse-worker": ["service", "worker", "warehouse"],
    }
    assert services["warehouse-worker"]["deploy"] == {"replicas": 1}


def test_ours_are_built_from_one_file_that_is_not_root_at_its_end(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service.get("build") == (None if name in DATABASES else "."), name
    lines = (settings.ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 65534:65534"]
    install = next(line for line in lines if "orchestrate/install.py cluster" in line)
    assert "UV_COMPILE_BYTECODE=1" in install, "every process of a service would compile every package anew"
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == ["python", "-m", "orchestrate"]


def test_commands_are_ones_that_we_have(services: dict[str, dict[str, Any]]) -> None:
    from orchestrate.__main__ import parser

    for name, service in services.items():
        if "build" in service:
            assert parser().parse_args(service["command"]).act, name


def test_packages_for_many_processes_change_none_of_the_rest() -> None:
    def locked(name: str) -> set[str]:
        lines = (settings.ROOT / name).read_text().splitlines()
        return {line.partition("==")[0] for line in lines if "==" in line}

    project = tomllib.loads((settings.ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[^\w-]", each)[0] for each in project["optional-dependencies"]["cluster"]}
    assert wanted <= locked("requirements-cluster.lock")
    assert not locked("requirements-cluster.lock") & locked("requirements.lock")


def test_what_a_person_sets_reaches_whoever_runs_or_judges_tasks() -> None:
    """A task's worker tells of its failure; the DAG processor of one whose worker died."""
    given = {"SHOAL_ALERT_COMMAND": "tee -a /shoal/data/alerts.txt", "SHOAL_MEMORY": "8GB"}
    services = stand_in.load(SHOAL_CLUSTER="/srv/shoal", SHOAL_USER="1000:1000", **given)["services"]
    for name in ("worker", "warehouse-worker", "scheduler", "dag-processor"):
        assert given.items() <= services[name]["environment"].items(), name
    environment = stand_in.load(SHOAL_CLUSTER="/srv/shoal", SHOAL_USER="1000:1000")["services"]["worker"][
        "environment"
    ]
    assert (environment["SHOAL_ALERT_COMMAND"], environment["SHOAL_MEMORY"]) == ("", "3GB")


class TestSecrets:
    """What `make secrets` writes, and what a service refuses."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        cluster.write_secrets(tmp_path)
        monkeypatch.setenv("SHOAL_SECRETS", str(tmp_path))
        return tmp_path

    def test_are_for_their_owner_only_and_good(self, folder: Path) -> None:
        cluster.check_secrets()
        files = {path.name: path for path in folder.iterdir()}
        assert set(files) == set(cluster.SECRETS)
        assert {stat.filemode(path.stat().st_mode) for path in files.values()} == {"-rw-------"}
        assert json.loads(files["objects.json"].read_text())["identities"][0]["credentials"][0][
            "secretKey"
        ] in (files["objects.credentials"].read_text())
        assert login.password() == json.loads(files["login.json"].read_text())["shoal"]

    def test_stay_when_they_are_made_again_and_a_lost_file_gets_its_secret_back(self, folder: Path) -> None:
        before = {path.name: path.read_text() for path in folder.iterdir()}
        (folder / "redis.conf").unlink()
        cluster.write_secrets(folder)
        assert {path.name: path.read_text() for path in folder.iterdir()} == before

    @pytest.mark.parametrize("file", sorted(cluster.SECRETS))
    @pytest.mark.parametrize("placeholder", ["", "changeme", "a" * 60])
    def test_placeholder_is_refused_and_not_shown(self, folder: Path, file: str, placeholder: str) -> None:
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace(cluster._secret_in(folder / file), placeholder))
        with pytest.raises(ShoalError, match=rf"{file} holds no secret") as refused:
            cluster.check_secrets()
        assert placeholder == "" or placeholder not in str(refused.value)

    def test_files_that_do_not_agree_are_refused(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        cluster.write_secrets(other)
        (folder / "redis.conf").write_text((other / "redis.conf").read_text())
        with pytest.raises(ShoalError, match=r"redis\.conf and redis\.password .* hold different secrets"):
            cluster.check_secrets()

    def test_root_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 0)
        with pytest.raises(ShoalError, match="would run as root"):
            cluster.make_secrets(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_who_made_them_runs_the_services(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 1234)
        monkeypatch.setattr(settings, "ROOT", tmp_path)
        (tmp_path / ".env").write_text("SHOAL_SHOP=myshop\nSHOAL_USER=1:1\n")
        cluster.make_secrets(tmp_path / "cluster")
        told = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
        assert told == {
            "SHOAL_SHOP": "myshop",
            "SHOAL_USER": f"1234:{os.getgid()}",
            "SHOAL_CLUSTER": str(tmp_path / "cluster"),
        }
